"""Which objects of two label images are one: mutual-best overlap, merged by union-find.

All steps are deterministic: ties go to the smaller id.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray


def match_labels(
    first: NDArray[np.integer], second: NDArray[np.integer], *, iou_thresh: float
) -> NDArray[np.int64]:
    """Find the objects that two label images share.

    Two objects match if each has its highest intersection over union with the other and that
    reaches the threshold; so an object has at most one match, and two objects over one stay two.

    Parameters
    ----------
    first, second : ndarray
        Labels of the same pixels, (H, W), 0 is background.
    iou_thresh : float
        Least intersection over union, in (0, 1].

    Returns
    -------
    ndarray
        (K, 2) pairs of an id in `first` and an id in `second`, ordered by the first.
    """
    both = (first > 0) & (second > 0)
    first_ids, second_ids = first[both].astype(np.int64), second[both].astype(np.int64)
    first_areas, second_areas = np.bincount(first.ravel()), np.bincount(second.ravel())
    keys, shared = np.unique(first_ids * second_areas.size + second_ids, return_counts=True)
    ones, others = np.divmod(keys, max(second_areas.size, 1))
    ious = shared / (first_areas[ones] + second_areas[others] - shared)
    kept = mutual_best(ones, others, ious) & (ious >= iou_thresh)
    return np.stack([ones[kept], others[kept]], axis=1)


def mutual_best(
    first: NDArray[np.int64], second: NDArray[np.int64], ious: NDArray[np.float64]
) -> NDArray[np.bool_]:
    """Mark the pairs (K,) whose members each have their highest IoU with the other."""
    return _best(first, second, ious) & _best(second, first, ious)


def _best(
    ids: NDArray[np.int64], partners: NDArray[np.int64], ious: NDArray[np.float64]
) -> NDArray[np.bool_]:
    """Mark the pair with the highest IoU of every id; the smaller partner wins a tie."""
    order = np.lexsort((partners, -ious, ids))
    _, heads = np.unique(ids[order], return_index=True)
    best = np.zeros(ids.size, bool)
    best[order[heads]] = True
    return best


class DisjointSets:
    """Union-find over the numbers 0 to n - 1; a set is named by its smallest number.

    Parameters
    ----------
    size : int
        How many numbers there are; each begins as a set of its own.
    """

    def __init__(self, size: int) -> None:
        self._parents = np.arange(size, dtype=np.int64)

    def find(self, number: int) -> int:
        """Return the smallest number of a number's set."""
        parents = self._parents
        while parents[number] != number:
            parents[number] = parents[parents[number]]
            number = int(parents[number])
        return number

    def union(self, first: int, second: int) -> None:
        """Merge the sets of two numbers."""
        small, large = sorted((self.find(first), self.find(second)))
        self._parents[large] = small

    def roots(self) -> NDArray[np.int64]:
        """Return the smallest number of every number's set, (n,)."""
        roots = self._parents
        while not np.array_equal(roots[roots], roots):
            roots = roots[roots]
        return roots.copy()
