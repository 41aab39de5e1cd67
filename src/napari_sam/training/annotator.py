"""A simulated person who clicks on objects, corrects what is wrong, and draws boxes."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy import ndimage

from napari_sam.segmentation.embedding import ImageEmbedding
from napari_sam.segmentation.prediction import MaskPrediction
from napari_sam.segmentation.predictor import Predictor
from napari_sam.segmentation.prompts import Prompts
from napari_sam.training.metrics import correcting_click, innermost_pixel, mask_iou

Mask = NDArray[np.bool_]


@dataclass(frozen=True, kw_only=True, eq=False)
class TrueObject:
    """An object of the ground truth.

    Attributes
    ----------
    label : int
        Its value in the labels.
    mask : ndarray
        (h, w) bool, within its box.
    corner : (int, int)
        Row and column of the box's first pixel.
    """

    label: int
    mask: Mask
    corner: tuple[int, int]

    @property
    def click(self) -> tuple[int, int]:
        """Row and column of the innermost pixel."""
        row, col = innermost_pixel(self.mask)
        return row + self.corner[0], col + self.corner[1]

    @property
    def box(self) -> tuple[int, int, int, int]:
        """(row_min, col_min, row_max, col_max), inclusive."""
        height, width = self.mask.shape
        row, col = self.corner
        return row, col, row + height - 1, col + width - 1


@dataclass(frozen=True, kw_only=True, eq=False)
class ObjectScore:
    """How well one object was found.

    Attributes
    ----------
    truth : TrueObject
        The object.
    clicks : list of float
        IoU of the best-scored mask after each click.
    single, oracle : float
        After one click: IoU of the answer to unambiguous prompts, and of the best candidate.
    box : float
        IoU after a box.
    iou_errors : list of float
        Absolute difference of predicted and true IoU after each click.
    box_iou_error : float
        The same after a box.
    clicks_to_target : int
        Clicks after which the IoU reached the target; all of them where it never did.
    found : ndarray
        (h, w) bool, the mask after one click, within its box; for pictures of failures.
    corner : (int, int)
        Row and column of its first pixel.
    """

    truth: TrueObject
    clicks: list[float]
    single: float
    oracle: float
    box: float
    iou_errors: list[float]
    box_iou_error: float
    clicks_to_target: int
    found: Mask
    corner: tuple[int, int]


def true_objects(labels: NDArray[np.integer], smallest: int = 10) -> list[TrueObject]:
    """Cut the objects of at least `smallest` pixels out of labels (H, W)."""
    objects = []
    for label, box in enumerate(ndimage.find_objects(labels), start=1):
        if box is None:
            continue
        mask = np.asarray(labels[box] == label)
        if mask.sum() >= smallest:
            corner = (box[0].start, box[1].start)
            objects.append(TrueObject(label=label, mask=mask, corner=corner))
    return objects


def annotate(
    predictor: Predictor,
    embedding: ImageEmbedding,
    objects: Sequence[TrueObject],
    *,
    clicks: int,
    most_clicks: int,
    target: float,
) -> Iterator[ObjectScore]:
    """Click on objects and box them; answers are those of a dock, after a closer look.

    Parameters
    ----------
    predictor, embedding
        Answer the prompts.
    objects : sequence of TrueObject
        What is looked for; all are decoded together.
    clicks : int
        Clicks on every object; the first is the innermost pixel, each next one the innermost pixel
        of the largest region that is wrong.
    most_clicks : int
        Clicks on objects that have not reached the target.
    target : float
        IoU that ends the counting of clicks.
    """
    if not objects:
        return
    singles = predictor.predict(
        embedding, [Prompts(points=[true.click]) for true in objects], multimask_output=False
    )
    boxes = predictor.predict(
        embedding, [Prompts(box=true.box) for true in objects], closer_look=True
    )
    sessions = [ClickSession(true) for true in objects]
    for turn in range(1, max(clicks, most_clicks) + 1):
        active = [s for s in sessions if turn <= clicks or not s.reached(target)]
        if not active:
            break
        prompts = [session.prompts() for session in active]
        answers = predictor.predict(embedding, prompts, closer_look=True)
        for session, answer in zip(active, answers, strict=True):
            session.see(answer)
    for session, single, box in zip(sessions, singles, boxes, strict=True):
        yield session.score(single, box, clicks=clicks, most_clicks=most_clicks, target=target)


class ClickSession:
    """The clicks on one object so far: the first is its innermost pixel.

    Parameters
    ----------
    true : TrueObject
        The object.
    """

    def __init__(self, true: TrueObject) -> None:
        self.true = true
        self._points = [true.click]
        self._kinds = [1]
        self._shown: NDArray[np.float32] | None = None
        self._first: MaskPrediction | None = None
        self._ious: list[float] = []
        self._errors: list[float] = []

    def reached(self, target: float) -> bool:
        """Whether any answer so far had this IoU."""
        return max(self._ious, default=0) >= target

    def prompts(self) -> Prompts:
        """Return the clicks, with the best mask of the last answer."""
        return Prompts(points=self._points, point_labels=self._kinds, mask_input=self._shown)

    def see(self, answer: MaskPrediction) -> None:
        """Take in an answer and decide on the next click."""
        self._first = self._first or answer
        found, truth, corner = side_by_side(answer, answer.best, self.true)
        self._ious.append(mask_iou(found, truth))
        self._errors.append(_error(answer, self._ious[-1]))
        self._shown = answer.low_res_logits[answer.best]
        correction = correcting_click(found, truth)
        if correction is not None:
            (row, col), kind = correction
            self._points = [*self._points, (row + corner[0], col + corner[1])]
            self._kinds = [*self._kinds, kind]

    def score(
        self,
        single: MaskPrediction,
        box: MaskPrediction,
        *,
        clicks: int,
        most_clicks: int,
        target: float,
    ) -> ObjectScore:
        """Return how well the object was found, by clicks and by answers to other prompts."""
        first = self._first
        if first is None:
            raise RuntimeError("An object has no score before it was clicked on")
        reached = [turn for turn, iou in enumerate(self._ious, start=1) if iou >= target]
        found, corner = _trimmed(first, first.best)
        boxed = self._iou(box, box.best)
        return ObjectScore(
            truth=self.true,
            clicks=self._ious[:clicks],
            single=self._iou(single, 0),
            oracle=max(self._iou(first, index) for index in range(len(first))),
            box=boxed,
            iou_errors=self._errors[:clicks],
            box_iou_error=_error(box, boxed),
            clicks_to_target=reached[0] if reached else most_clicks,
            found=found,
            corner=corner,
        )

    def _iou(self, answer: MaskPrediction, index: int) -> float:
        found, truth, _ = side_by_side(answer, index, self.true)
        return mask_iou(found, truth)


def _error(answer: MaskPrediction, iou: float) -> float:
    """Return how far the IoU that was predicted of the best candidate is from the true one."""
    return abs(float(answer.predicted_iou[answer.best]) - iou)


def side_by_side(
    answer: MaskPrediction, index: int, true: TrueObject
) -> tuple[Mask, Mask, tuple[int, int]]:
    """Return a mask and the truth on one canvas, just large enough, and the canvas's corner."""
    found, corner = _trimmed(answer, index)
    pieces = ((found, corner), (true.mask, true.corner))
    used = [(mask, start) for mask, start in pieces if mask.size]
    low = np.min([start for _, start in used], axis=0)
    high = np.max([np.add(start, mask.shape) for mask, start in used], axis=0)
    canvases = []
    for mask, start in pieces:
        canvas = np.zeros(high - low, bool)
        row, col = np.subtract(start, low) if mask.size else (0, 0)
        canvas[row : row + mask.shape[0], col : col + mask.shape[1]] = mask
        canvases.append(canvas)
    return canvases[0], canvases[1], (int(low[0]), int(low[1]))


def _trimmed(answer: MaskPrediction, index: int) -> tuple[Mask, tuple[int, int]]:
    """Return a candidate within its own box, and the box's corner in the image."""
    patch = answer.patches[index]
    found = ndimage.find_objects(patch.astype(np.uint8))
    if not found:
        return np.zeros((0, 0), bool), answer.corner
    rows, cols = found[0]
    return patch[rows, cols], (answer.corner[0] + rows.start, answer.corner[1] + cols.start)
