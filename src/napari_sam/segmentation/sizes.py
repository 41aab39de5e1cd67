"""How large are the objects of an image? Few looks at it, each voting for a diameter.

The first look takes the image as it is; the next one is taken at the scale at which the objects, if
the vote was right, have the size that the network knows best. There it judges most surely.
"""

from __future__ import annotations

import math
from collections.abc import Callable

import numpy as np
from numpy.typing import NDArray

_LOOK = 512
_SMALLEST_LOOK = 96
_LARGEST_SCALE = 4.0
_MOST_LOOKS = 3
_NEAR = 0.35
"""Octaves; a scale this near to one already looked at would show nothing new."""

Look = Callable[[NDArray[np.float32], float], float]


def estimate_diameter(image: NDArray[np.float32], look: Look, known_diameter: float) -> float:
    """Estimate the diameter of an image's objects.

    Parameters
    ----------
    image : ndarray
        (H, W, C).
    look : callable
        Judges a part of the image at a scale: the typical diameter of its objects, pixels of the
        scaled part.
    known_diameter : float
        The diameter that the network knows best, pixels.

    Returns
    -------
    float
        Pixels of the image.
    """
    smallest = min(1.0, _SMALLEST_LOOK / max(image.shape[:2]))
    scale = max(1.0, min(_LARGEST_SCALE, _SMALLEST_LOOK / max(image.shape[:2])))
    seen: dict[float, float] = {}
    for _ in range(_MOST_LOOKS):
        side = math.ceil(_LOOK / scale)
        seen[scale] = look(richest_part(image, side), scale) / scale
        scale = float(np.clip(known_diameter / seen[scale], smallest, _LARGEST_SCALE))
        if any(abs(math.log2(scale / before)) < _NEAR for before in seen):
            break
    return min(seen.items(), key=lambda item: abs(math.log(item[0] * item[1] / known_diameter)))[1]


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
