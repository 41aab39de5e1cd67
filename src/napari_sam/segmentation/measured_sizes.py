"""How large are the objects of an image? Measured on the instances seen at several scales.

A small network sees best where objects have the size it was trained on. Looked at from too far,
objects merge; from too near, they fall apart; either way some size comes out. So a size counts the
more, the closer the objects seen at a scale are to the size that the network knows.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

_FEWEST = 2
_SMALLEST_AREA = 12
_WEIGHT = 0.25
"""Power of the area that an object's say in the typical size grows with."""
_SURENESS = 8
"""Power of the foreground's probability in it: noise looks like specks that are hardly there."""
_TOLERANCE = 0.3
_AT_LEAST = 1e-6


class TypicalSize(NamedTuple):
    """The size of a typical object, and how sure objects are to be there.

    Attributes
    ----------
    diameter : float
        Of a disc of the same area, pixels.
    sure : float
        0 ... 1.
    """

    diameter: float
    sure: float


def typical_size(
    labels: NDArray[np.integer], foreground: NDArray[np.floating]
) -> TypicalSize | None:
    """Return the size of a typical object of labels.

    The median over objects, each weighing as much as the root of its diameter (specks pull down a
    plain median, merged objects push up one over pixels) and as it is surely there.

    Parameters
    ----------
    labels, foreground : ndarray
        (H, W) objects, and the probability that there is one, 0 ... 1.

    Returns
    -------
    TypicalSize or None
        None where there are fewer than two objects to judge by.
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
    return TypicalSize(float(2 * np.sqrt(median / np.pi)), float(np.average(sure, weights=areas)))


def measured_diameter(seen: Mapping[float, TypicalSize], known_diameter: float) -> float | None:
    """Return the diameter of an image's objects.

    Parameters
    ----------
    seen : mapping
        By the scale that the image was looked at: its typical object, pixels of that scale.
    known_diameter : float
        The diameter that the network knows best, pixels.

    Returns
    -------
    float or None
        Pixels of the image; None where nothing was measured.
    """
    if not seen:
        return None
    weights = [found.sure * _nearness(found.diameter / known_diameter) for found in seen.values()]
    logarithms = [math.log(found.diameter / scale) for scale, found in seen.items()]
    return math.exp(float(np.average(logarithms, weights=weights)))


def _nearness(ratio: float) -> float:
    """Return how near a ratio is to one, from almost 0 to 1."""
    return math.exp(-((math.log(ratio) / _TOLERANCE) ** 2) / 2) + _AT_LEAST
