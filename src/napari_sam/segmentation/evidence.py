"""What is known of a mask beside the IoU that the decoder predicts, as numbers to rate it by."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import NamedTuple, TypeAlias

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from napari_sam.model.rater import Rater
from napari_sam.segmentation.prediction import MaskPrediction
from napari_sam.segmentation.prompts import Prompts

_STABLE = 1.0
_WIDELY_STABLE = 3.0
"""Logits at which the stability of a mask is measured."""

Rate: TypeAlias = Callable[[NDArray[np.float32]], NDArray[np.float32]]
"""From evidence (N, F) to the IoU to be expected (N,)."""


class Circumstances(NamedTuple):
    """How an answer came about.

    Attributes
    ----------
    diameter : float
        Of the objects that the network was scaled for, pixels.
    octaves : float
        Binary logarithm of that over the image's usual diameter.
    other_way : bool
        Whether the look was one of those that doubt asks for.
    hinted : bool
        Whether the answer begins from a hint.
    hint : int
        Which candidate is the hint itself; -1 where none is.
    """

    diameter: float
    octaves: float = 0.0
    other_way: bool = False
    hinted: bool = False
    hint: int = -1


class Seen(NamedTuple):
    """An answer, rated by all evidence, and that evidence (M, F); see `model.rater.EVIDENCE`."""

    answer: MaskPrediction
    evidence: NDArray[np.float32]


def rate(rater: Rater | None, answer: MaskPrediction, prompt: Prompts, how: Circumstances) -> Seen:
    """Rate an answer anew.

    Parameters
    ----------
    rater : Rater or None
        Of the network; without one, the answer stays as it is, and nothing is measured.
    answer : MaskPrediction
        To the prompt.
    prompt : Prompts
        As a person gave it, in pixels of the answer's image.
    how : Circumstances
        How the answer came about.
    """
    by = rating_of(rater)
    if by is None:
        return Seen(answer, np.zeros((len(answer), 0), np.float32))
    evidence = measure(answer, prompt, how)
    return Seen(answer.rated(by(evidence)), evidence)


def rating_of(rater: Rater | None) -> Rate | None:
    """Return what rates evidence by a rater, wherever the network is; None without one."""
    return None if rater is None else partial(_rate, rater)


@torch.inference_mode()
def _rate(rater: Rater, evidence: NDArray[np.float32]) -> NDArray[np.float32]:
    rated: Tensor = rater(torch.from_numpy(evidence).to(rater.mean.device))
    return np.asarray(rated.cpu().numpy())


def measure(answer: MaskPrediction, prompt: Prompts, how: Circumstances) -> NDArray[np.float32]:
    """Measure what is known of each candidate; returns (M, F) in the order of `EVIDENCE`."""
    count = len(answer)
    ratings = answer.ratings
    diameters = 2 * np.sqrt(np.maximum(answer.areas, 1) / np.pi)
    clicks = [] if prompt.point_labels is None else np.asarray(prompt.point_labels).tolist()
    columns = [
        ratings,
        answer.predicted_iou,
        ratings - ratings.max(),
        how.octaves,
        how.other_way,
        how.hinted,
        np.arange(count) == how.hint,
        _stability(answer.window_logits, _STABLE),
        _stability(answer.window_logits, _WIDELY_STABLE),
        _sureness(answer.window_logits),
        np.log2(diameters / how.diameter),
        1.0 if answer.box_fit is None else answer.box_fit,
        _share_of_box(answer, prompt),
        _obeyed(answer, prompt),
        len(clicks),
        clicks.count(0),
        prompt.box is not None,
        prompt.mask_input is not None,
    ]
    return np.stack([np.broadcast_to(column, count) for column in columns], 1).astype(np.float32)


def _stability(logits: NDArray[np.float32], offset: float) -> NDArray[np.float64]:
    """Return the IoU (M,) of masks cut above and below zero."""
    inner, outer = ((logits > height).sum((1, 2)) for height in (offset, -offset))
    return np.asarray(inner / np.maximum(outer, 1))


def _sureness(logits: NDArray[np.float32]) -> NDArray[np.float64]:
    """Return the mean probability (M,) inside each mask; zero where it is empty."""
    inside = logits > 0
    probability = np.where(inside, 1 / (1 + np.exp(-np.maximum(logits, 0))), 0)
    return np.asarray(probability.sum((1, 2)) / np.maximum(inside.sum((1, 2)), 1))


def _share_of_box(answer: MaskPrediction, prompt: Prompts) -> NDArray[np.float64] | float:
    """Return each mask's area over the box's; zero without a box."""
    if prompt.box is None:
        return 0.0
    top, left, bottom, right = np.asarray(prompt.box)
    return np.asarray(answer.areas / ((bottom - top + 1) * (right - left + 1)))


def _obeyed(answer: MaskPrediction, prompt: Prompts) -> NDArray[np.float64] | float:
    """Return the share (M,) of clicks that lie in a mask or outside it as they should."""
    if prompt.points is None:
        return 1.0
    places = np.rint(np.asarray(prompt.points)).astype(int) - answer.corner
    inside = ((places >= 0) & (places < answer.patches.shape[1:])).all(1)
    rows, cols = np.where(inside[:, None], places, 0).T
    covered = inside if not answer.patches.size else answer.patches[:, rows, cols] & inside
    return np.asarray((covered == (np.asarray(prompt.point_labels) == 1)).mean(-1))
