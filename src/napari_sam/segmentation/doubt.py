"""How much a mask that nobody looked at is to be doubted: one number for what the network tells.

Kirillov et al. 2023, section 4, let a confident stage annotate first and people do the rest; what
"confident" means is put together here from predicted IoU, stability and the three candidates.

Docks read its limit when they open, so torch is loaded only when masks are judged.
"""

from __future__ import annotations

import math
from collections.abc import Generator, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from napari_sam.segmentation.progress import Progress

if TYPE_CHECKING:
    from napari_sam.segmentation.patches import MaskPatch
    from napari_sam.segmentation.prediction import MaskPrediction
    from napari_sam.segmentation.redrawing import MaskPredictor

STABILITY_OFFSET = 1.0
"""Logits that the threshold is moved by, as in the reference mask generator."""

MAX_DOUBT = 0.4
"""Masks in more doubt are better left to a person: nearly all good ones are in less."""
_WEIGHTS = (4, 1, 4)
"""Of predicted IoU, stability, agreement. Stability tells least of them: small networks are sure of
specks, and unsure of the rims of large objects."""


@dataclass(frozen=True, kw_only=True)
class Confidence:
    """What the network tells of a mask.

    Attributes
    ----------
    predicted_iou : float
        What it expects the mask's IoU with the truth to be.
    stability_score : float
        How little the mask depends on its threshold, 0 ... 1; see `stability_score`.
    disagreement : float
        0 ... 1: one less the mean IoU of the mask with the candidates that the decoder draws for
        the object, each weighted by its predicted IoU. 0 where all of them are the same mask.
    """

    predicted_iou: float
    stability_score: float
    disagreement: float

    @property
    def doubt(self) -> float:
        """All of it in one number; see `doubt_of`."""
        return doubt_of(self.predicted_iou, self.stability_score, self.disagreement)


def doubt_of(
    predicted_iou: float | None,
    stability_score: float | None = None,
    disagreement: float | None = None,
) -> float:
    """Return how much a mask is to be doubted.

    Parameters
    ----------
    predicted_iou, stability_score, disagreement : float or None
        As in `Confidence`; None where it is not known.

    Returns
    -------
    float
        0 ... 1: one less the weighted geometric mean of predicted IoU, stability and agreement (one
        less the disagreement), weights 4 : 1 : 4. A mean over what is known, so that masks of which
        more is known are not doubted more for it; a geometric one, so that one thing that is bad
        makes a mask doubtful. 0 where nothing is known.
    """
    agreement = None if disagreement is None else 1 - disagreement
    known = [
        (min(max(trust, 0.0), 1.0), weight)
        for trust, weight in zip((predicted_iou, stability_score, agreement), _WEIGHTS, strict=True)
        if trust is not None
    ]
    whole = sum(weight for _, weight in known)
    return 1 - math.prod(trust ** (weight / whole) for trust, weight in known) if known else 0.0


def iter_confidence(
    predictor: MaskPredictor, embedding: Any, patches: Sequence[MaskPatch], batch: int = 64
) -> Generator[Progress, None, list[Confidence]]:
    """Ask the mask decoder what it thinks of masks, whatever drew them.

    Each is given to it as a box and a point; of its candidates that which is most like the mask
    lends its predicted IoU and stability.

    Parameters
    ----------
    predictor : Predictor
        Or anything with its `predict`.
    embedding : ImageEmbedding
        Of the image.
    patches : sequence of MaskPatch
        None of them empty.
    batch : int
        Masks decoded at once.

    Returns
    -------
    list of Confidence
        In the order of the masks.
    """
    from napari_sam.segmentation.mask_prompts import point_and_box

    judged: list[Confidence] = []
    for start in range(0, len(patches), batch):
        yield Progress(start, len(patches), "Judging masks")
        some = patches[start : start + batch]
        prompts = [point_and_box(patch) for patch in some]
        answers = predictor.predict(embedding, prompts)
        judged += [confidence_in(*pair) for pair in zip(some, answers, strict=True)]
    return judged


def confidence_in(patch: MaskPatch, answer: MaskPrediction) -> Confidence:
    """Return what an answer to the prompts of an object tells of a mask of it, drawn or not."""
    import torch

    from napari_sam.segmentation.masks import stability_score

    overlaps = patch.iou(answer.patches, answer.corner)
    nearest = int(overlaps.argmax())
    stability = stability_score(torch.from_numpy(answer.window_logits[nearest]), STABILITY_OFFSET)
    return Confidence(
        predicted_iou=float(np.clip(answer.predicted_iou[nearest], 0, 1)),
        stability_score=float(stability),
        disagreement=1 - _weighted_mean(overlaps, answer.predicted_iou),
    )


def _weighted_mean(values: NDArray[np.floating], weights: NDArray[np.floating]) -> float:
    weights = np.clip(weights, 1e-6, None)
    return float((values * weights).sum() / weights.sum())
