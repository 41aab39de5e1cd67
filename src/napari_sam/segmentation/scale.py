"""How large are the objects of an image? Measured on the instances seen at several scales.

A small network sees best where objects have the size it was trained on. Looked at from too far,
objects merge; from too near, they fall apart; either way some size comes out. So the image is
looked at at several scales, and a size counts the more, the closer the objects seen there are to
the size that the network knows.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator

import numpy as np
from numpy.typing import NDArray

from napari_sam.segmentation.sizes import SCALES, richest_part

_LOOK = 512
_SMALLEST_LOOK = 48
_FEWEST = 3
_SMALLEST_AREA = 12
_WEIGHT = 0.25
"""Power of the area that an object's say in the typical size grows with."""
_TOLERANCE = 0.3


def _looks(
    image: NDArray[np.float32],
) -> Iterator[tuple[float, NDArray[np.float32]]]:
    """Yield scales, and the part of an image (H, W, C) to be looked at at each.

    Parts span at most 512 pixels after scaling; of nine places the one with most contrast is taken.
    """
    for scale in SCALES:
        if max(image.shape[:2]) * scale < _SMALLEST_LOOK:
            continue
        side = int(_LOOK / scale)
        yield scale, richest_part(image, side)


def typical_size(labels: NDArray[np.integer]) -> float | None:
    """Return a typical equivalent diameter of the objects of labels (H, W), pixels.

    The median over objects, each weighing as much as the root of its diameter: specks pull down a
    plain median, merged objects push up one over pixels.

    Returns
    -------
    float or None
        None where there are fewer than three objects to judge by.
    """
    areas = np.bincount(labels.ravel())[1:]
    areas = np.sort(areas[areas >= _SMALLEST_AREA])
    if len(areas) < _FEWEST:
        return None
    weights = (areas**_WEIGHT).cumsum()
    median = areas[np.searchsorted(weights, weights[-1] / 2)]
    return float(2 * np.sqrt(median / np.pi))


def diameter_of_instances(
    image: NDArray[np.float32],
    segment: Callable[[NDArray[np.float32], float], NDArray[np.integer]],
    known_diameter: float,
) -> float | None:
    """Estimate the diameter of an image's objects.

    Parameters
    ----------
    image : ndarray
        (H, W, C).
    segment : callable
        Segments a part of the image at a scale; returns labels in pixels of the scaled part.
    known_diameter : float
        The diameter that the network knows best, pixels.

    Returns
    -------
    float or None
        Pixels of the image; None where too few objects were seen at any scale.
    """
    weights, logarithms = [], []
    for scale, part in _looks(image):
        seen = typical_size(segment(part, scale))
        if seen is None:
            continue
        off = math.log(seen / known_diameter) / _TOLERANCE
        weights.append(math.exp(-(off**2) / 2) + 1e-6)
        logarithms.append(math.log(seen / scale))
    if not weights:
        return None
    return math.exp(float(np.average(logarithms, weights=weights)))
