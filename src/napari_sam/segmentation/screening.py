"""What half precision decides of a grid's masks, and what it leaves to float32.

A grid decodes a thousand points, and a few dozen masks become records. The rest fails a threshold
or duplicates a better mask, most of it by far. So all points are screened in half precision, where
a device gains by it, and whatever half precision cannot decide is decoded again in float32. A
candidate is

- dropped at once if it misses a threshold by more than the errors of half precision;
- dropped as a duplicate if its box surely overlaps that of a mask that is kept, decided in float32,
  and surely better;
- decoded again, with the other candidates of its point, in every other case: it is kept, or it is
  too close to call.

By induction from the best score down, these are the records of float32, with float32's masks and
scores, as long as errors stay within their margins: every kept mask is float32's, and every dropped
one has a kept one that float32 drops it for, too. Masks of half precision are never returned, so
no outline moves and no score is off; on photographs that costs about as many points in float32 as
there are records. Candidates near a threshold are not decoded again as such (official weights let
two of three candidates pass the predicted IoU, and half precision could drop few more of them):
nearly all are duplicates of a better mask, which tells their fate without asking what they score.

Where records are nearly as many as points, little is saved. Adaptive grids choose points by the
masks found before, and masks that are kept for other thresholds must be right at all of them: both
are decoded in float32 alone.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
import torch
from numpy.typing import NDArray

from napari_sam.segmentation.masks import box_iou, non_maximum_suppression

_SCORE = 0.5
_SCORE_OF_SCORER = 4
_STABILITY = 4


class Margins(NamedTuple):
    """How far off what half precision says may be.

    They are multiples of the precision's step, between 1 and the next number. Largest errors of the
    image tokens in half precision (prompts' tokens in float32) over 300 masks each of four
    photographs with `nano`, and 192 of two with random official decoders: predicted IoU 0.45 of
    bfloat16's steps and 0.3 of float16's without a mask scorer, 2.5 and 3.4 with one; stability of
    `nano`'s masks 1.8 and 3.5. Boxes of masks stable to 0.9 hardly moved; those of very unstable
    masks may move by more than is allowed for.

    Attributes
    ----------
    dtype : torch.dtype
        The precision.
    score : float
        Of predicted IoU.
    stability : float
        Of stability.
    pixels : int
        Low-resolution pixels of a mask that may also come or go, whatever its size.
    overlap : float
        Of the IoU of boxes, share of what is missing from the threshold to one.
    edge : int
        Of the sides of boxes near the edge of a crop, pixels.
    """

    dtype: torch.dtype
    score: float
    stability: float
    pixels: int
    overlap: float
    edge: int

    @classmethod
    def of(cls, dtype: torch.dtype, *, mask_scorer: bool) -> Margins:
        """Return those of a precision, for networks with or without a mask scorer."""
        if dtype == torch.float32:
            return EXACT
        step = torch.finfo(dtype).eps
        score = _SCORE_OF_SCORER if mask_scorer else _SCORE
        return cls(dtype, score * step, _STABILITY * step, 1, 1 / 3, 4)


EXACT = Margins(torch.float32, 0, 0, 0, 0, 0)


class Verdict(NamedTuple):
    """Which candidates are kept, best first, and which must be decoded again before that holds."""

    kept: NDArray[np.intp]
    open: NDArray[np.intp]


def judge(
    boxes: NDArray[np.floating],
    scores: NDArray[np.floating],
    exact: NDArray[np.bool_],
    iou_thresh: float,
    margins: Margins,
) -> Verdict:
    """Suppress duplicates as far as that can be decided.

    Parameters
    ----------
    boxes, scores : ndarray
        (K, 4) and (K,) of candidates that pass the thresholds, or may.
    exact : ndarray
        (K,) bool, which of them are of float32.
    iou_thresh : float
        See `non_maximum_suppression`.
    margins : Margins
        Of the others.
    """
    kept = non_maximum_suppression(boxes, scores, iou_thresh)
    unsure = kept[~exact[kept]]
    if len(unsure):
        return Verdict(kept, unsure)
    left = np.flatnonzero(~exact)
    least = iou_thresh + margins.overlap * (1 - iou_thresh)
    for best in kept:
        surely = box_iou(boxes[best], boxes[left]) > least
        surely &= scores[best] > scores[left] + margins.score
        left = left[~surely]
    return Verdict(kept, left)
