"""How large an image's objects are: what the network's instances and its size decoder say.

The image is looked at as it is; what is seen tells which scale would show objects as the network
knows them. Looks go on until the two scales nearest to that have been seen: mostly two or three
looks, each at a small part.

Large objects may be made of small ones, as glands are of cells. Then small ones are meant: where
objects turn out to be large, such of at most a quarter of that size are looked for.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from functools import cache
from typing import NamedTuple

import numpy as np
import torch
from numpy.typing import NDArray

from napari_sam.model.sam import Sam
from napari_sam.model.size_decoder import bin_octaves
from napari_sam.segmentation.embedding import ImageEmbedding
from napari_sam.segmentation.instances import instances_from_maps
from napari_sam.segmentation.measured_sizes import TypicalSize, measured_diameter, typical_size
from napari_sam.segmentation.voted_sizes import voted_diameter

_SCALES = (0.125, 0.25, 0.5, 1.0, 2.0, 4.0)
_NEEDED = 2
"""So many scales, those nearest to the one that suits the objects, are looked at."""
_SIDE = 384
"""Of the part that is looked at, network input pixels."""
_SMALLEST_SIDE = 96
"""An image is not shrunk below this longest side, network input pixels."""
_SMALLER = 4.0
"""Objects within others are at least so many times smaller."""
_SURE_ENOUGH = 0.09
"""How sure objects within others are to be there; noise looks like some of 0.06 at most."""
_SUITS = 0.75
"""Octaves that objects may be off the size that the network knows, where they are seen well."""
_SEED_PROMINENCE = 0.2
_SEED_SMOOTHING = 1.0
"""Pixels of the scaled part."""

Look = Callable[[NDArray[np.float32], float], ImageEmbedding]
"""Embeds a part of a displayed image (H, W, C) at a scale."""


class _Sight(NamedTuple):
    """What one look shows: the typical instance, and log probabilities of diameters."""

    instance: TypicalSize | None
    votes: NDArray[np.float64] | None


def object_size(
    model: Sam, displayed: NDArray[np.float32], known_diameter: float, look: Look
) -> float:
    """Estimate the diameter of an image's objects, pixels.

    The geometric mean of what is measured on instances and what the size decoder says, or what
    there is of these.

    Parameters
    ----------
    model : Sam
        A network whose input may have any size.
    displayed : ndarray
        (H, W, C) in 0 ... 255.
    known_diameter : float
        The diameter that the network knows best, and the answer where nothing is seen.
    look : callable
        Embeds a part of the image at a scale.
    """
    longest = max(displayed.shape[:2])
    scales = [scale for scale in _SCALES if longest * scale >= _SMALLEST_SIDE] or [_SCALES[-1]]

    @cache
    def sight(scale: float) -> _Sight:
        part = richest_part(displayed, math.ceil(_SIDE / scale))
        return _sight(model, look(part, scale))

    diameter = _walk(sight, _nearest(1.0, scales)[0], scales, known_diameter)
    if model.instance_decoder is None:
        return diameter
    finer = [scale for scale in scales if diameter * scale >= _SMALLER * known_diameter]
    for scale in finer:
        if _shows_objects(sight(scale), known_diameter):
            return _diameter({scale: sight(scale)}, known_diameter)
    return diameter


def _walk(
    sight: Callable[[float], _Sight], start: float, scales: list[float], known_diameter: float
) -> float:
    """Return the diameter that is found by looks at one scale and those that it leads to."""
    seen: dict[float, _Sight] = {}
    diameter = known_diameter
    wanted = [start]
    while wanted:
        seen[wanted[0]] = sight(wanted[0])
        diameter = _diameter(seen, known_diameter)
        nearest = _nearest(known_diameter / diameter, scales)[:_NEEDED]
        wanted = [scale for scale in nearest if scale not in seen]
    return diameter


def _shows_objects(sight: _Sight, known_diameter: float) -> bool:
    """Tell whether one look shows objects, surely and of about the size that the network knows.

    Texture and noise look like objects, too, but of what size, instances and votes do not agree.
    """
    if sight.instance is None or sight.votes is None or sight.instance.sure < _SURE_ENOUGH:
        return False
    voted = voted_diameter({1.0: sight.votes}, _octaves(), known_diameter)
    judged = (sight.instance.diameter, voted)
    return all(abs(math.log2(d / known_diameter)) < _SUITS for d in judged if d is not None)


def _nearest(scale: float, scales: list[float]) -> list[float]:
    """Return scales, the most similar to one first."""
    return sorted(scales, key=lambda other: abs(math.log2(other / scale)))


@torch.inference_mode()
def _sight(model: Sam, embedding: ImageEmbedding) -> _Sight:
    """Judge the sizes of objects by one look."""
    height, width = embedding.geometry.input_shape
    instance, votes = None, None
    if model.instance_decoder is not None:
        maps = model.instance_maps(embedding.image)[0].sigmoid()[:, :height, :width].cpu().numpy()
        labels = instances_from_maps(
            maps, seed_prominence=_SEED_PROMINENCE, smoothing=_SEED_SMOOTHING
        )
        instance = typical_size(labels, maps[0])
    if model.size_decoder is not None:
        votes = model.size_votes(embedding.image, (height, width))[0].double().cpu().numpy()
    return _Sight(instance, votes)


def _diameter(seen: dict[float, _Sight], known_diameter: float) -> float:
    """Return what all looks so far say, pixels of the image."""
    instances = {scale: sight.instance for scale, sight in seen.items() if sight.instance}
    votes = {scale: sight.votes for scale, sight in seen.items() if sight.votes is not None}
    judged = (
        measured_diameter(instances, known_diameter),
        voted_diameter(votes, _octaves(), known_diameter),
    )
    known = [diameter for diameter in judged if diameter is not None]
    return float(np.exp(np.mean(np.log(known)))) if known else known_diameter


def _octaves() -> NDArray[np.float64]:
    return np.asarray(bin_octaves().double())


def richest_part(image: NDArray[np.float32], side: int) -> NDArray[np.float32]:
    """Return of nine parts (side, side, C) of an image (H, W, C) the one with most contrast."""
    height, width = image.shape[:2]
    parts = [
        image[top : top + side, left : left + side]
        for top in _starts(height, side)
        for left in _starts(width, side)
    ]
    return max(parts, key=lambda part: float(part[::4, ::4].std()))


def _starts(length: int, side: int) -> list[int]:
    spare = max(0, length - side)
    return sorted({0, spare // 2, spare})
