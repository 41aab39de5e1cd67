"""How large are the objects of an image? Looks at several scales, each voting for diameters.

A network judges sizes best near the one it knows; from too far or too near it tends to answer with
what is usual. Where all looks agree that a diameter is possible, their log probabilities add up.
"""

from __future__ import annotations

import math
from collections.abc import Callable

import numpy as np
from numpy.typing import NDArray

SCALES = (0.5, 1.0, 2.0, 4.0)
_LOOK = 512
_SMALLEST_LOOK = 96
_REACH = 7.0
_STEP = 1 / 16

Look = Callable[[NDArray[np.float32], float], NDArray[np.float64]]


def estimate_diameter(
    image: NDArray[np.float32], look: Look, octaves: NDArray[np.float64], known_diameter: float
) -> float:
    """Estimate the diameter of an image's objects.

    Parameters
    ----------
    image : ndarray
        (H, W, C).
    look : callable
        Judges a part of the image at a scale: log probabilities (bins,) of the typical diameter of
        its objects, in pixels of the scaled part.
    octaves : ndarray
        (bins,) rising; what each bin stands for, binary logarithms over `known_diameter`.
    known_diameter : float
        The diameter that the network knows best, pixels.

    Returns
    -------
    float
        Pixels of the image.
    """
    scales = [scale for scale in SCALES if max(image.shape[:2]) * scale >= _SMALLEST_LOOK]
    grid = np.arange(-_REACH, _REACH + _STEP, _STEP)
    votes = np.zeros_like(grid)
    for scale in scales or SCALES[-1:]:
        seen = look(richest_part(image, math.ceil(_LOOK / scale)), scale)
        votes += np.interp(
            grid + math.log2(scale), octaves, seen, left=seen.min(), right=seen.min()
        )
    shares = np.exp((votes - votes.max()) / max(1, len(scales))).cumsum()
    median = grid[np.searchsorted(shares, shares[-1] / 2)]
    return float(known_diameter * 2**median)


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
