"""Everything that a grid of points gave, to be drawn at other settings without decoding again."""

from __future__ import annotations

from collections.abc import Generator, Sequence
from dataclasses import replace

import numpy as np
from numpy.typing import NDArray

from napari_sam.segmentation.everything_config import EverythingConfig
from napari_sam.segmentation.grid import iter_candidates
from napari_sam.segmentation.labels import labels_from_records
from napari_sam.segmentation.part_tree import PartTree
from napari_sam.segmentation.progress import Progress
from napari_sam.segmentation.record_seams import merge_records
from napari_sam.segmentation.records import MaskRecord, PackedRecord
from napari_sam.segmentation.selection import Selector, clean_record, without_small_regions
from napari_sam.segmentation.tiled_everything import (
    Scene,
    TilingPredictor,
    iter_found,
    look_over,
)

LENIENT = 0.5
"""Masks are kept from this predicted IoU and stability on: worse ones help nobody."""


def iter_decoded(
    predictor: TilingPredictor,
    image: NDArray[np.generic],
    config: EverythingConfig | None = None,
    *,
    contrast_limits: tuple[float, float] | None = None,
) -> Generator[Progress, None, DecodedMasks]:
    """Decode a grid of points, keeping masks that score lower than the thresholds, too.

    An adaptive grid leaves out points by the masks that pass; so it keeps only these.

    Parameters
    ----------
    predictor, image, config, contrast_limits
        As in `segment_everything`, whatever `config.mode` says.

    Yields
    ------
    Progress

    Returns
    -------
    DecodedMasks
        Its labels at `config` are those of `segment_everything` in mode ``"grid"``.
    """
    config = _lenient(config or EverythingConfig())
    scene = look_over(predictor, image, config, contrast_limits)
    found = yield from iter_found(predictor, scene, iter_candidates)
    count = len(scene.tiles)
    if count > 1:
        yield Progress(count, count, "done")
    return DecodedMasks(found, scene)


def _lenient(config: EverythingConfig) -> EverythingConfig:
    if config.points == "adaptive":
        return config
    return replace(
        config,
        pred_iou_thresh=min(config.pred_iou_thresh, LENIENT),
        stability_score_thresh=min(config.stability_score_thresh, LENIENT),
    )


class DecodedMasks:
    """The masks of one image, before any was dropped, which are drawn at any settings at once.

    Free are `level`, `min_mask_region_area`, `box_nms_thresh`, `crop_nms_thresh`, and the two
    thresholds of scores from those of the decoding on. What was worked out for the last settings
    is kept; for one thread at a time.

    Parameters
    ----------
    candidates : sequence of sequences of PackedRecord
        Those of each tile, in the coordinates of the image, in the order of decoding.
    scene : Scene
        How they were decoded.
    """

    def __init__(self, candidates: Sequence[Sequence[PackedRecord]], scene: Scene) -> None:
        self._candidates = candidates
        self._tiles, self._shape, self._margin = scene.tiles, scene.shape, scene.margin
        self.config = scene.config
        self._selectors: tuple[float, list[Selector[PackedRecord]]] | None = None
        self._selected: tuple[EverythingConfig, list[MaskRecord]] | None = None
        self._tree: PartTree | None = None
        self._repaired: dict[tuple[PackedRecord, int], MaskRecord | None] = {}

    def records(self, config: EverythingConfig) -> list[MaskRecord]:
        """Return what `generate_masks` does at some settings."""
        at = replace(config, level="all")
        if self._selected is None or self._selected[0] != at:
            self._selected = at, self._select(at)
            self._tree = None
        return list(self._selected[1])

    def labels(self, config: EverythingConfig) -> NDArray[np.uint32]:
        """Return what `segment_everything` does at some settings, labels (H, W)."""
        records = self.records(config)
        if self._tree is None and config.level != "all":
            self._tree = PartTree.of(records)
        return labels_from_records(records, self._shape, config.level, tree=self._tree)

    def _select(self, config: EverythingConfig) -> list[MaskRecord]:
        thresh = config.box_nms_thresh
        if self._selectors is None or self._selectors[0] != thresh:
            self._selectors = thresh, [Selector(found, thresh) for found in self._candidates]
        found = [self._select_in_tile(selector, config) for selector in self._selectors[1]]
        if len(found) == 1:
            return found[0]
        return merge_records(
            found, self._tiles, self._shape, margin=self._margin, box_nms_thresh=thresh
        )

    def _select_in_tile(
        self, selector: Selector[PackedRecord], config: EverythingConfig
    ) -> list[MaskRecord]:
        kept = selector.select(
            pred_iou_thresh=config.pred_iou_thresh,
            stability_score_thresh=config.stability_score_thresh,
            crop_nms_thresh=config.crop_nms_thresh if config.crop_n_layers else None,
        )
        records = {one.unpacked(): one for one in kept}
        min_area = config.min_mask_region_area
        if not min_area:
            return list(records)
        thresh = max(config.box_nms_thresh, config.crop_nms_thresh)
        return without_small_regions(
            list(records), thresh, lambda record: self._clean(record, records[record], min_area)
        )

    def _clean(self, record: MaskRecord, packed: PackedRecord, min_area: int) -> MaskRecord:
        """Clean a record, which is not kept where there is nothing to do."""
        key = packed, min_area
        if key not in self._repaired:
            cleaned = clean_record(record, min_area)
            self._repaired[key] = None if cleaned is record else cleaned
        return self._repaired[key] or record
