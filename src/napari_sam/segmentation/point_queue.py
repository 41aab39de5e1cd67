"""Which points of a grid are decoded, and in which order."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

_STRIDES = (8, 4, 2, 1)
_ENOUGH = 2
"""Masks of so many points cover a place well."""
_LIKENESS = 0.93
_MARGIN = 0.05
_NEIGHBOURS = 3


class PointQueue:
    """Hands out the points of a square grid, batch by batch.

    With features the queue is adaptive. It begins with a coarse grid, refines it, and leaves out
    what would tell little: points in the accepted masks of two other points; and points whose
    features are those of points that gave nothing, rather than of any that gave a mask. Which
    thresholds lose hardly any object was measured on microscopy of many kinds (see the docs).

    Parameters
    ----------
    side : int
        Points along one side; points are numbered row by row.
    features : ndarray, optional
        (side ** 2, C) unit vectors, what the image shows at each point.
    """

    def __init__(self, side: int, features: NDArray[np.float32] | None = None) -> None:
        self._features = features
        self._left = np.arange(side**2) if features is None else coarse_to_fine(side)
        self._cover = np.zeros(side**2, np.int64)
        self._taken = np.zeros(0, np.intp)
        self._gave_masks = np.zeros(0, np.intp)
        self._gave_nothing = np.zeros(0, np.intp)

    def __len__(self) -> int:
        """Return how many points are left."""
        return len(self._left)

    def take(self, count: int) -> NDArray[np.intp]:
        """Return the numbers of the next points, at most so many."""
        self._taken, self._left = self._left[:count], self._left[count:]
        return self._taken

    def learn(self, origins: NDArray[np.integer], covered: NDArray[np.bool_]) -> None:
        """Learn what the points that were taken gave, and leave out what is not worth asking.

        Parameters
        ----------
        origins : ndarray
            (K,) number of the point that gave each accepted mask.
        covered : ndarray
            (K, side ** 2) the points that lie in each mask.
        """
        if self._features is None:
            return
        good = np.unique(origins)
        for origin in good:
            self._cover += covered[origins == origin].any(0)
        empty = np.setdiff1d(self._taken, good)
        self._gave_masks = np.concatenate([self._gave_masks, good])
        self._gave_nothing = np.concatenate([self._gave_nothing, empty[self._cover[empty] == 0]])
        known = (self._cover[self._left] >= _ENOUGH) | self._looks_empty(self._features)
        self._left = self._left[~known]

    def _looks_empty(self, features: NDArray[np.float32]) -> NDArray[np.bool_]:
        """Tell which of the points that are left look like those that gave nothing."""
        own = features[self._left]
        if not len(self._gave_nothing):
            return np.zeros(len(own), bool)
        to_empty = np.sort(own @ features[self._gave_nothing].T, axis=1)
        likeness = to_empty[:, -_NEIGHBOURS:].mean(1)
        to_masks = (own @ features[self._gave_masks].T).max(1, initial=-1.0)
        looks_empty: NDArray[np.bool_] = likeness > np.maximum(_LIKENESS, to_masks + _MARGIN)
        return looks_empty


def coarse_to_fine(side: int) -> NDArray[np.intp]:
    """Order the points of a grid: every eighth along both sides, every fourth, second, the rest.

    Within one of these grids the order is mixed, so that neighbours seldom share a batch.
    """
    rows, cols = np.divmod(np.arange(side**2), side)
    level = np.full(side**2, len(_STRIDES) - 1)
    for number, stride in reversed(list(enumerate(_STRIDES))):
        middle = stride // 2
        level[(rows % stride == middle) & (cols % stride == middle)] = number
    mixed = np.random.default_rng(0).permutation(side**2)
    return mixed[np.argsort(level[mixed], kind="stable")]
