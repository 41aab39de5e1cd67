"""Instances as prompts: each is given back to the mask decoder, which draws its outline anew.

The instance decoder finds and parts objects; the mask decoder, told where one is, draws it better.
"""

from __future__ import annotations

from collections.abc import Generator, Sequence
from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray
from scipy import ndimage

from napari_sam.segmentation.instances import consecutive
from napari_sam.segmentation.mask_prompts import inner_points
from napari_sam.segmentation.patches import MaskPatch
from napari_sam.segmentation.prediction import MaskPrediction
from napari_sam.segmentation.progress import Progress
from napari_sam.segmentation.prompts import Prompts

LEAST_OVERLAP = 0.5
"""A mask that overlaps its instance less has strayed; the instance stays as it was."""


class MaskPredictor(Protocol):
    """What the masks are asked of."""

    def predict(
        self, embedding: Any, prompts: Sequence[Prompts], *, multimask_output: bool = True
    ) -> list[MaskPrediction]:
        """Answer the prompts of many objects."""
        ...


def iter_redraw(
    predictor: MaskPredictor, embedding: Any, labels: NDArray[np.integer], batch: int
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

    Returns
    -------
    ndarray
        (H, W) uint32, ids 1 ... m. Where masks overlap, the better scored one is on top.
    """
    boxes = ndimage.find_objects(labels)
    patches = [
        MaskPatch.cut(labels[box] == label, (box[0].start, box[1].start))
        for label, box in enumerate(boxes, start=1)
        if box is not None
    ]
    drawn: list[tuple[float, MaskPatch]] = []
    for start in range(0, len(patches), batch):
        yield Progress(start, len(patches), "drawing masks")
        some = patches[start : start + batch]
        prompts = [Prompts(points=inner_points(patch)[:1], box=patch.box) for patch in some]
        answers = predictor.predict(embedding, prompts, multimask_output=False)
        drawn += [_better(patch, answer) for patch, answer in zip(some, answers, strict=True)]
    redrawn = np.zeros(labels.shape, np.uint32)
    for label, (_, patch) in enumerate(sorted(drawn, key=lambda one: one[0]), start=1):
        redrawn[patch.slices][patch.mask] = label
    return consecutive(redrawn)


def _better(patch: MaskPatch, answer: MaskPrediction) -> tuple[float, MaskPatch]:
    """Return the score and mask of an object: the answer, unless it strayed."""
    mask = MaskPatch.cut(answer.patches[0], answer.corner)
    if mask.area and patch.iou_with(mask) >= LEAST_OVERLAP:
        return float(answer.predicted_iou[0]), mask
    return 0.0, patch
