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
_FEWEST = 2
_SMALLEST_AREA = 12
_WEIGHT = 0.25
"""Power of the area that an object's say in the typical size grows with."""
_SURENESS = 8
"""Power of the foreground's probability in it: noise looks like specks that are hardly there."""
_TOLERANCE = 0.3
_AT_LEAST = 1e-6

Segmented = tuple[NDArray[np.integer], NDArray[np.floating]]
"""Labels (H, W), and the probability of foreground (H, W)."""


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


def typical_size(
    labels: NDArray[np.integer], foreground: NDArray[np.floating]
) -> tuple[float, float] | None:
    """Return a typical equivalent diameter of the objects of labels, and how sure they are.

    The median over objects, each weighing as much as the root of its diameter (specks pull down a
    plain median, merged objects push up one over pixels) and as it is surely there.

    Parameters
    ----------
    labels, foreground : ndarray
        (H, W) objects, and the probability that there is one, 0 ... 1.

    Returns
    -------
    (diameter, sureness) or None
        Pixels, and 0 ... 1, of the objects' pixels; None where there are fewer than two objects to
        judge by.
    """
    pixels = np.bincount(labels.ravel())[1:]
    seen = np.bincount(labels.ravel(), foreground.ravel())[1:]
    large = pixels >= _SMALLEST_AREA
    areas = pixels[large]
    if len(areas) < _FEWEST:
        return None
    sure = (seen[large] / areas) ** _SURENESS
    rising = np.argsort(areas)
    weights = (areas**_WEIGHT * sure)[rising].cumsum()
    median = areas[rising][np.searchsorted(weights, weights[-1] / 2)]
    return float(2 * np.sqrt(median / np.pi)), float(np.average(sure, weights=areas))


def diameter_of_instances(
    image: NDArray[np.float32],
    segment: Callable[[NDArray[np.float32], float], Segmented],
    known_diameter: float,
) -> float | None:
    """Estimate the diameter of an image's objects.

    Parameters
    ----------
    image : ndarray
        (H, W, C).
    segment : callable
        Segments a part of the image at a scale; returns labels and the foreground's probability,
        both in pixels of the scaled part.
    known_diameter : float
        The diameter that the network knows best, pixels.

    Returns
    -------
    float or None
        Pixels of the image; None where too few objects were seen at any scale.
    """
    weights, logarithms = [], []
    for scale, part in _looks(image):
        found = typical_size(*segment(part, scale))
        if found is None:
            continue
        diameter, sure = found
        off = math.log(diameter / known_diameter) / _TOLERANCE
        weights.append(sure * (math.exp(-(off**2) / 2) + _AT_LEAST))
        logarithms.append(math.log(diameter / scale))
    if not weights:
        return None
    return math.exp(float(np.average(logarithms, weights=weights)))
