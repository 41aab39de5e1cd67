"""What objects would have of the next slice, and which of them gets a pixel that several want.

Networks answer a prompt even where the object has ended, and in tissue their masks spill into
neighbours. So the answer is averaged with the mask of the slice before and with what the instance
decoder sees there, and the objects of a slice compete for its pixels.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import NamedTuple, Protocol

import numpy as np
import torch
from numpy.typing import NDArray

from napari_sam.segmentation.embedding import ImageEmbedding
from napari_sam.segmentation.mask_prompts import CERTAIN, patch_logits, patch_prompts
from napari_sam.segmentation.patches import MaskPatch
from napari_sam.segmentation.prediction import MaskPrediction
from napari_sam.segmentation.prompts import Prompts
from napari_sam.segmentation.sightings import SeeingPredictor, Sightings
from napari_sam.segmentation.upscaling import upscale_window

_MEMORY = 0.75
"""Weight of the mask before; below 1, so that a network that is certain has its way."""
_SIGHT = 0.6
"""Weight of the object that the instance decoder sees."""
_CLEARNESS = 0.3
"""Weight, in certainty, of how clearly it sees a middle; the rest is the predicted IoU's."""


class PromptPredictor(SeeingPredictor, Protocol):
    """What propagation asks of a predictor."""

    def predict(
        self, embedding: ImageEmbedding, prompts: Sequence[Prompts], /
    ) -> list[MaskPrediction]:
        """Answer the prompts of many objects."""


class Claim(NamedTuple):
    """What an object would have of a slice.

    Attributes
    ----------
    logits : ndarray
        (h, w) float32 in the image's pixels, cut to where they are positive.
    corner : (int, int)
        Row and column of their first pixel in the image.
    predicted_iou : float
        What the network expects of its mask.
    certainty : float
        How surely the object is there: the predicted IoU or, for networks with an instance decoder,
        the weighted geometric mean of it and of how clearly a middle is seen.
    """

    logits: NDArray[np.float32]
    corner: tuple[int, int]
    predicted_iou: float
    certainty: float

    @property
    def slices(self) -> tuple[slice, slice]:
        """Rows and columns of the image that `logits` cover."""
        (row, col), (height, width) = self.corner, self.logits.shape
        return slice(row, row + height), slice(col, col + width)


def claims_from_masks(
    predictor: PromptPredictor,
    embedding: ImageEmbedding,
    patches: Sequence[MaskPatch],
    seen: Sightings | None = None,
) -> list[Claim]:
    """Ask for objects by their masks in the slice before: logits, box and points.

    Of the candidates, that with the highest product of predicted IoU and IoU with the mask before
    is taken. Its logits are added to those of the mask before, and of what the instance decoder
    sees in its place.

    Parameters
    ----------
    predictor : Predictor
        Answers.
    embedding : ImageEmbedding
        Of the slice.
    patches : sequence of MaskPatch
        The objects in the slice before, not empty.
    seen : Sightings, optional
        What the instance decoder sees in the slice.

    Returns
    -------
    list of Claim
    """
    before = [patch_logits(patch, embedding) for patch in patches]
    prompts = [patch_prompts(patch, logits) for patch, logits in zip(patches, before, strict=True)]
    claims = []
    for answer, patch, own in zip(
        predictor.predict(embedding, prompts), patches, before, strict=True
    ):
        alike = patch.iou(answer.patches, answer.corner)
        chosen = int((answer.predicted_iou * alike).argmax())
        logits = np.clip(answer.window_logits[chosen], -CERTAIN, CERTAIN)
        (row, col), (height, width) = answer.window_corner, logits.shape
        window = slice(row, row + height), slice(col, col + width)
        expected = _MEMORY * own[window]
        sighted = None if seen is None else seen.like(patch)
        if sighted is not None:
            expected += _SIGHT * patch_logits(sighted, embedding)[window]
        logits = logits + expected
        claims.append(_claim(answer, chosen, logits, embedding, seen))
    return claims


def claims_from_boxes(
    predictor: PromptPredictor,
    embedding: ImageEmbedding,
    patches: Sequence[MaskPatch],
    seen: Sightings | None = None,
) -> list[Claim]:
    """Ask for objects by the boxes of their masks in the slice before, the plain way.

    Parameters
    ----------
    predictor, embedding, patches, seen
        As in `claims_from_masks`; of what is seen, only certainty follows.

    Returns
    -------
    list of Claim
    """
    answers = predictor.predict(embedding, [Prompts(box=patch.box) for patch in patches])
    return [
        _claim(answer, answer.best, answer.window_logits[answer.best], embedding, seen)
        for answer in answers
    ]


def _claim(
    answer: MaskPrediction,
    chosen: int,
    window_logits: NDArray[np.float32],
    embedding: ImageEmbedding,
    seen: Sightings | None,
) -> Claim:
    fine = upscale_window(
        torch.from_numpy(window_logits),
        answer.window_corner,
        answer.low_res_shape,
        embedding.geometry,
    )
    values = fine.values.numpy()
    patch = MaskPatch.cut(values > 0, fine.corner)
    (row, col), (height, width) = np.subtract(patch.corner, fine.corner), patch.mask.shape
    cut = np.ascontiguousarray(values[row : row + height, col : col + width])
    certainty = expected = float(answer.predicted_iou[chosen])
    if seen is not None:
        clearness = seen.clearness(patch.mask, patch.corner)
        certainty = max(expected, 0.0) ** (1 - _CLEARNESS) * clearness**_CLEARNESS
    return Claim(cut, patch.corner, expected, certainty)


def share_pixels(
    claims: Sequence[Claim], taken: Iterable[MaskPatch], shape: tuple[int, int]
) -> list[MaskPatch]:
    """Give every pixel to the object with the highest logit.

    Parameters
    ----------
    claims : sequence of Claim
        They may overlap; of equal logits the earlier one's counts.
    taken : iterable of MaskPatch
        Pixels that none of them gets.
    shape : (int, int)
        Height and width of the slice.

    Returns
    -------
    list of MaskPatch
        One for each claim; no two overlap.
    """
    highest = np.zeros(shape, np.float32)
    for patch in taken:
        highest[patch.slices][patch.mask] = np.inf
    for claim in claims:
        wanted = highest[claim.slices]
        np.maximum(wanted, claim.logits, out=wanted)
    free = np.ones(shape, bool)
    patches = []
    for claim in claims:
        place = free[claim.slices]
        mask = (claim.logits > 0) & (claim.logits >= highest[claim.slices]) & place
        place &= ~mask
        patches.append(MaskPatch.cut(mask, claim.corner))
    return patches
