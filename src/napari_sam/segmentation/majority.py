"""One mask from all that was seen of an object: what most candidates agree on.

Looks at other scales, mirrored or from a hint err in different places, and where one candidate is a
part of the object, others are the whole. So each pixel is decided by a vote in which the better
rated count far more.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence
from typing import TypeVar

import numpy as np
from numpy.typing import NDArray

from napari_sam.segmentation.prediction import NOTHING, MaskPrediction

_POWER = 16
"""Of a candidate's rating, for its weight; chosen on training images."""
_LEAST_WEIGHT = 0.01
"""Candidates with less, where the best one has 1, are not heard."""

Corner = tuple[int, int]
Value = TypeVar("Value", np.bool_, np.float32)


def majority(answers: Sequence[MaskPrediction]) -> MaskPrediction:
    """Return the best rated answer with its best mask redrawn by all candidates' vote.

    Parameters
    ----------
    answers : sequence of MaskPrediction
        To the same prompt, some rated above 0; their low-resolution logits are of the same image.
    """
    best = max(answers, key=lambda answer: answer.rating)
    top = best.rating
    heard = [
        (answer, index, float(weight))
        for answer in answers
        for index, weight in enumerate((answer.ratings.clip(min=0) / top) ** _POWER)
        if weight >= _LEAST_WEIGHT
    ]
    weights = np.array([weight for *_, weight in heard])
    masks = [(answer.patches[index], answer.corner) for answer, index, _ in heard]
    logits = [(answer.window_logits[index], answer.window_corner) for answer, index, _ in heard]
    votes, corner = _mean(masks, weights, 0.0)
    height, window_corner = _mean(logits, weights, NOTHING)
    patches = _moved(best.patches, best.corner, votes, corner, fill=False)
    patches[best.best] = votes > 0.5
    window_logits = _moved(best.window_logits, best.window_corner, height, window_corner, NOTHING)
    window_logits[best.best] = height
    return dataclasses.replace(
        best,
        patches=patches,
        corner=corner,
        window_logits=window_logits,
        window_corner=window_corner,
    )


def _mean(
    pieces: Sequence[tuple[NDArray[np.bool_ | np.float32], Corner]],
    weights: NDArray[np.float64],
    fill: float,
) -> tuple[NDArray[np.float32], Corner]:
    """Return the weighted mean of pieces of an image, with `fill` around each, and its corner."""
    low = np.min([corner for _, corner in pieces], axis=0)
    high = np.max([np.add(corner, piece.shape) for piece, corner in pieces], axis=0)
    mean = np.full(high - low, fill, np.float32)
    for (piece, corner), share in zip(pieces, weights / weights.sum(), strict=True):
        mean[_place(piece.shape, corner, low)] += (piece.astype(np.float32) - fill) * share
    return mean, (int(low[0]), int(low[1]))


def _moved(
    stack: NDArray[Value], corner: Corner, canvas: NDArray[np.float32], low: Corner, fill: float
) -> NDArray[Value]:
    """Return a stack (M, h, w) on a canvas that it lies in."""
    moved = np.full((len(stack), *canvas.shape), fill, stack.dtype)
    moved[(slice(None), *_place(stack.shape[1:], corner, low))] = stack
    return moved


def _place(
    shape: tuple[int, ...], corner: Corner, low: Corner | NDArray[np.intp]
) -> tuple[slice, ...]:
    starts = np.subtract(corner, low).tolist()
    return tuple(slice(start, start + n) for start, n in zip(starts, shape, strict=True))
