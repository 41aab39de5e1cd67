"""Instances as prompts: each is given back to the mask decoder, which draws its outline anew.

The instance decoder finds and parts objects; the mask decoder, told where one is, draws it better.
"""

from __future__ import annotations

from collections.abc import Generator, Sequence
from typing import Any, NamedTuple, Protocol

import numpy as np
from numpy.typing import NDArray

from napari_sam.segmentation.labels import draw_in_order
from napari_sam.segmentation.mask_prompts import point_and_box
from napari_sam.segmentation.patches import MaskPatch, patches_of
from napari_sam.segmentation.prediction import MaskPrediction
from napari_sam.segmentation.progress import Progress
from napari_sam.segmentation.prompts import Prompts

LEAST_OVERLAP = 0.5
"""A mask that overlaps its instance less has strayed; the instance stays as it was."""


class Drawn(NamedTuple):
    """A mask and its score; 0 where it strayed, unjudged where it was not drawn anew."""

    score: float
    patch: MaskPatch
    is_judged: bool = True


class MaskPredictor(Protocol):
    """What the masks are asked of."""

    def predict(
        self, embedding: Any, prompts: Sequence[Prompts], *, multimask_output: bool = True
    ) -> list[MaskPrediction]:
        """Answer the prompts of many objects."""
        ...


def iter_redraw(
    predictor: MaskPredictor,
    embedding: Any,
    labels: NDArray[np.integer],
    batch: int,
    least_share: float = 0.0,
) -> Generator[Progress, None, NDArray[np.uint32]]:
    """Draw every instance anew by the mask decoder.

    Parameters
    ----------
    predictor : Predictor
        Or anything with its `predict`.
    embedding : ImageEmbedding
        Of the image.
    labels : ndarray
        (H, W) instances, ids 1 ... n, 0 is background.
    batch : int
        Objects decoded at once.
    least_share : float
        As in `draw`.

    Returns
    -------
    ndarray
        (H, W) uint32, ids 1 ... m. Where masks overlap, the better scored one is on top.
    """
    drawn = yield from iter_drawn(predictor, embedding, patches_of(labels), batch)
    return draw(drawn, (labels.shape[0], labels.shape[1]), least_share)


def iter_drawn(
    predictor: MaskPredictor, embedding: Any, patches: Sequence[MaskPatch], batch: int
) -> Generator[Progress, None, list[Drawn]]:
    """Draw patches of the embedded image anew, in their order; see `iter_redraw`."""
    drawn: list[Drawn] = []
    for start in range(0, len(patches), batch):
        yield Progress(start, len(patches), "drawing masks")
        some = patches[start : start + batch]
        prompts = [point_and_box(patch) for patch in some]
        answers = predictor.predict(embedding, prompts, multimask_output=False)
        drawn += [_better(patch, answer) for patch, answer in zip(some, answers, strict=True)]
    return drawn


def draw(
    drawn: Sequence[Drawn], shape: tuple[int, int], least_share: float = 0.0
) -> NDArray[np.uint32]:
    """Draw masks into labels (H, W), the better scored one on top; ids 1 ... m.

    Masks whose score is less than `least_share` of the median are left out: the decoder, asked for
    the object that the instance decoder saw, found none that it believes in. How high scores are
    at all depends on the kind of image, hence the median.
    """
    scores = [one.score for one in drawn if one.score > 0]
    least = least_share * float(np.median(scores)) if scores else 0.0
    kept = [one for one in drawn if one.score >= least or not one.is_judged]
    kept.sort(key=lambda one: one.score)
    return draw_in_order([one.patch for one in kept], shape)


def _better(patch: MaskPatch, answer: MaskPrediction) -> Drawn:
    """Return the score and mask of an object: the answer, unless it strayed."""
    mask = MaskPatch.cut(answer.patches[0], answer.corner)
    if mask.area and patch.iou_with(mask) >= LEAST_OVERLAP:
        return Drawn(float(answer.predicted_iou[0]), mask)
    return Drawn(0.0, patch)
