"""Which points of a grid are decoded, and in which order."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

_STRIDES = (8, 4, 2, 1)
_ROUNDS = 32
"""An adaptive grid is decoded in about so many rounds, if none is left out."""
_LEAST_ROUND = 16
"""Points; fewer tell too little of what is new."""
_LEAST = 0.3
"""So much of it is decoded in any case."""
_NEWS = 0.02
"""It ends when the last two rounds found less than this share of all masks found so far."""
_ENOUGH = 2
"""Masks of so many points cover a place well."""
_RIDGE = 2.0


class PointQueue:
    """Hands out the points of a square grid, batch by batch.

    With features the queue is adaptive: a search that learns from the image itself. It begins with
    a coarse grid. From what points gave, a ridge regression on their features predicts what the
    others are worth: their best predicted IoU, and one more for a mask that passes all filters.
    Next come the points that promise most; those in the accepted masks of two other points come
    last. It ends when hardly anything new is found (see the docs for what that loses).

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
        self._round = max(_LEAST_ROUND, side**2 // _ROUNDS)
        self._taken = np.zeros(0, np.intp)
        self._cover = np.zeros(side**2, np.int64)
        self._worth = np.full(side**2, np.nan)
        self._found = [0]

    def __len__(self) -> int:
        """Return how many points are left."""
        return len(self._left)

    def take(self, count: int) -> NDArray[np.intp]:
        """Return the numbers of the next points, at most so many."""
        if self._features is not None:
            count = min(count, self._round)
        self._taken, self._left = self._left[:count], self._left[count:]
        return self._taken

    def learn(
        self,
        best_iou: NDArray[np.floating],
        origins: NDArray[np.integer],
        covered: NDArray[np.bool_],
        found: int,
    ) -> None:
        """Learn what the points that were taken gave: others come next, or none.

        Parameters
        ----------
        best_iou : ndarray
            (N,) highest predicted IoU of each point that was taken, whether it is accepted or not.
        origins : ndarray
            (K,) number of the point that gave each accepted mask.
        covered : ndarray
            (K, side ** 2) the points that lie in each of these masks.
        found : int
            Accepted masks of all points so far, without duplicates.
        """
        if self._features is None:
            return
        self._worth[self._taken] = best_iou + np.isin(self._taken, origins)
        for origin in np.unique(origins):
            self._cover += covered[origins == origin].any(0)
        self._found += [found] * len(self._taken)
        if self._is_done():
            self._left = self._left[:0]
            return
        promise = self._promise(self._features)
        self._left = self._left[np.lexsort((-promise, self._cover[self._left] >= _ENOUGH))]

    def _is_done(self) -> bool:
        """Tell whether enough was decoded, and the last of it found hardly anything new."""
        decoded = len(self._found) - 1
        before = self._found[max(0, decoded - 2 * self._round)]
        news = self._found[-1] - before
        return decoded >= _LEAST * len(self._worth) and news <= _NEWS * self._found[-1]

    def _promise(self, features: NDArray[np.float32]) -> NDArray[np.float64]:
        """Predict what the points that are left are worth."""
        known = np.flatnonzero(~np.isnan(self._worth))
        middle = features[known].mean(0)
        inputs, worth = features[known] - middle, self._worth[known]
        gram = inputs.T @ inputs + _RIDGE * np.eye(inputs.shape[1])
        slope = np.linalg.solve(gram, inputs.T @ (worth - worth.mean()))
        promise: NDArray[np.float64] = (features[self._left] - middle) @ slope
        return promise


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
