"""How large are the objects of an image? Looks at several scales, each voting for diameters.

A network judges sizes best near the one it knows; from too far or too near it tends to answer with
what is usual. Where all looks agree that a diameter is possible, their log probabilities add up.
"""

from __future__ import annotations

import math
from collections.abc import Mapping

import numpy as np
from numpy.typing import NDArray

_REACH = 7.0
_STEP = 1 / 16


def voted_diameter(
    seen: Mapping[float, NDArray[np.float64]], octaves: NDArray[np.float64], known_diameter: float
) -> float | None:
    """Return the diameter of an image's objects.

    Parameters
    ----------
    seen : mapping
        By the scale that the image was looked at: log probabilities (bins,) of the typical
        diameter of its objects, in pixels of that scale.
    octaves : ndarray
        (bins,) rising; what each bin stands for, binary logarithms over `known_diameter`.
    known_diameter : float
        The diameter that the network knows best, pixels.

    Returns
    -------
    float or None
        Pixels of the image; None without votes.
    """
    if not seen:
        return None
    grid = np.arange(-_REACH, _REACH + _STEP, _STEP)
    votes = np.zeros_like(grid)
    for scale, shares in seen.items():
        least = shares.min()
        votes += np.interp(grid + math.log2(scale), octaves, shares, left=least, right=least)
    together = np.exp((votes - votes.max()) / len(seen)).cumsum()
    median = grid[np.searchsorted(together, together[-1] / 2)]
    return float(known_diameter * 2**median)
