"""Which of the masks that were decoded are kept: scores, duplicates, small regions.

What the reference does to its candidates between the mask decoder and the records (Kirillov et al.
2023, appendix B), apart from decoding, so that other thresholds need no decoding again.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Sequence
from typing import Generic, TypeVar

import numpy as np
import torch
from numpy.typing import NDArray

from napari_sam.segmentation.masks import (
    box_area,
    box_iou,
    clean_mask,
    mask_boxes,
    non_maximum_suppression,
)
from napari_sam.segmentation.records import FoundMask, MaskRecord

Found = TypeVar("Found", bound=FoundMask)


class Selector(Generic[Found]):
    """Drops records with low scores, then duplicates; which boxes overlap is worked out once.

    Parameters
    ----------
    records : sequence of MaskRecord or PackedRecord
        Candidates, in the order in which they were decoded.
    box_nms_thresh : float
        Of masks of one crop whose boxes overlap more, the one with the better predicted IoU stays;
        of equals the earlier.
    """

    def __init__(self, records: Sequence[Found], box_nms_thresh: float) -> None:
        scores = np.array([record.predicted_iou for record in records], np.float32)
        order = np.argsort(-scores, kind="stable")
        self._records = [records[index] for index in order]
        self._scores = scores[order]
        self._stability = np.array([r.stability_score for r in self._records], np.float32)
        self._boxes = _inclusive_boxes(self._records)
        self._thresh = box_nms_thresh
        crops = dict.fromkeys(record.crop_box for record in records)
        numbers = {crop: number for number, crop in enumerate(crops)}
        self._crops = np.array([numbers[record.crop_box] for record in self._records], np.intp)
        self._beaten: dict[int, NDArray[np.intp]] = {}

    def select(
        self,
        *,
        pred_iou_thresh: float,
        stability_score_thresh: float,
        crop_nms_thresh: float | None = None,
    ) -> list[Found]:
        """Select records at some thresholds.

        Parameters
        ----------
        pred_iou_thresh, stability_score_thresh : float
            Kept are a predicted IoU above, and a stability score of at least this.
        crop_nms_thresh : float or None
            As `box_nms_thresh`, between crops; the smaller crop's mask stays. None where there are
            no crops.

        Returns
        -------
        list of the records' type
            Best first; with crops, crop by crop.
        """
        left = self._scores > np.float32(pred_iou_thresh)
        left &= self._stability >= np.float32(stability_score_thresh)
        kept = []
        for index in np.flatnonzero(left).tolist():
            if left[index]:
                kept.append(index)
                left[self._beaten_by(index)] = False
        kept.sort(key=self._crops.__getitem__)
        records = [self._records[index] for index in kept]
        if crop_nms_thresh is None:
            return records
        fineness = [1 / box_area(record.crop_box) for record in records]
        return _without_duplicates(records, fineness, crop_nms_thresh)

    def _beaten_by(self, index: int) -> NDArray[np.intp]:
        """Return the worse records (n,) of the same crop that are duplicates of a record."""
        if index not in self._beaten:
            overlap = box_iou(self._boxes[index], self._boxes[index + 1 :])
            same_crop = self._crops[index + 1 :] == self._crops[index]
            beaten = np.flatnonzero((overlap > self._thresh) & same_crop)
            self._beaten[index] = beaten + index + 1
        return self._beaten[index]


def clean_record(record: MaskRecord, min_area: int) -> MaskRecord:
    """Fill small holes and drop small islands of a mask, see `clean_mask`.

    Returns
    -------
    MaskRecord
        The record itself where there is nothing to do.
    """
    mask, changed = clean_mask(np.pad(record.mask, 1), min_area, framed=True)
    return _with_mask(record, mask[1:-1, 1:-1]) if changed else record


def without_small_regions(
    records: Sequence[MaskRecord],
    iou_thresh: float,
    clean: Callable[[MaskRecord], MaskRecord],
) -> list[MaskRecord]:
    """Clean records, then drop duplicates, keeping masks that needed no repair.

    Parameters
    ----------
    records : sequence of MaskRecord
        What was selected.
    iou_thresh : float
        Of masks whose boxes overlap more, one stays.
    clean : callable
        Cleans a record, or returns it as it is: `clean_record`, or something that remembers.

    Returns
    -------
    list of MaskRecord
        Those that needed no repair first.
    """
    cleaned = [clean(record) for record in records]
    untouched = [float(new is old) for new, old in zip(cleaned, records, strict=True)]
    return _without_duplicates(cleaned, untouched, iou_thresh)


def _without_duplicates(
    records: Sequence[Found], scores: Sequence[float], iou_thresh: float
) -> list[Found]:
    kept = non_maximum_suppression(_inclusive_boxes(records), np.array(scores), iou_thresh)
    return [records[index] for index in kept]


def _inclusive_boxes(records: Sequence[FoundMask]) -> NDArray[np.float64]:
    """Boxes (N, 4) that end on the mask's last pixel, as the reference compares them."""
    boxes = np.array([record.box for record in records], np.float64).reshape(-1, 4)
    return boxes - (0, 0, 1, 1)


def _with_mask(record: MaskRecord, mask: NDArray[np.bool_]) -> MaskRecord:
    """Return a record with another mask in the same box, cut to that mask's own box."""
    top, left, bottom, right = mask_boxes(torch.from_numpy(mask)[None])[0].tolist()
    row, col = record.box[:2]
    cut = mask[top:bottom, left:right]
    return dataclasses.replace(
        record,
        mask=cut,
        box=(row + top, col + left, row + bottom, col + right),
        area=int(cut.sum()),
    )
