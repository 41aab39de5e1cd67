"""Which objects of two label images are one: mutual-best overlap, merged by union-find.

All steps are deterministic: ties go to the smaller id, and sets do not depend on the order in which
they were merged.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

Ints = NDArray[np.int64]
_CHUNK = 2**20
_DENSE = 4
"""Pairs are counted in a table where that has at most so many times as many cells as pixels."""


@dataclass(frozen=True, kw_only=True, eq=False)
class Overlaps:
    """The pairs of objects of two label images that share pixels.

    Attributes
    ----------
    first, second : numpy.ndarray
        (K,) their ids, ordered by the first, then by the second.
    shared : numpy.ndarray
        (K,) pixels that both cover.
    first_areas, second_areas : numpy.ndarray
        (n + 1,) pixels by id; entry 0 is background.
    """

    first: Ints
    second: Ints
    shared: Ints
    first_areas: Ints
    second_areas: Ints

    @property
    def ious(self) -> NDArray[np.float64]:
        """(K,) intersection over union."""
        union = self.first_areas[self.first] + self.second_areas[self.second] - self.shared
        ious: NDArray[np.float64] = self.shared / union
        return ious

    def find(self, first: Ints, second: Ints) -> Ints:
        """Return where pairs (M,) stand, or -1 for those that share nothing, (M,)."""
        if not self.first.size:
            return np.full(len(first), -1)
        width = self.second_areas.size
        keys, wanted = self.first * width + self.second, first * width + second
        places = np.minimum(np.searchsorted(keys, wanted), keys.size - 1)
        return np.where(keys[places] == wanted, places, -1)


def find_overlaps(first: NDArray[np.integer], second: NDArray[np.integer]) -> Overlaps:
    """Count what the objects of two label images (H, W) of the same pixels share."""
    first_areas, second_areas = np.bincount(first.ravel()), np.bincount(second.ravel())
    both = (first > 0) & (second > 0)
    width = max(second_areas.size, 1)
    keys = first[both].astype(np.int64) * width + second[both].astype(np.int64)
    if first_areas.size * width <= _DENSE * first.size:
        counts = np.bincount(keys)
        pairs = np.flatnonzero(counts)
        shared = counts[pairs]
    else:
        pairs, shared = np.unique(keys, return_counts=True)
    ones, others = np.divmod(pairs, width)
    return Overlaps(
        first=ones,
        second=others,
        shared=shared,
        first_areas=first_areas,
        second_areas=second_areas,
    )


def match_labels(
    first: NDArray[np.integer], second: NDArray[np.integer], *, iou_thresh: float
) -> Ints:
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
    overlaps = find_overlaps(first, second)
    ious = overlaps.ious
    kept = mutual_best(overlaps.first, overlaps.second, ious) & (ious >= iou_thresh)
    return np.stack([overlaps.first[kept], overlaps.second[kept]], axis=1)


def mutual_best(first: Ints, second: Ints, ious: NDArray[np.float64]) -> NDArray[np.bool_]:
    """Mark the pairs (K,) whose members each have their highest IoU with the other."""
    return _best(first, second, ious) & _best(second, first, ious)


def runner_up(first: Ints, second: Ints, ious: NDArray[np.float64]) -> NDArray[np.float64]:
    """Return for pairs (K,) the highest IoU of any other pair with one of their members, (K,)."""
    return np.maximum(_second_best(first, ious), _second_best(second, ious))


def _best(ids: Ints, partners: Ints, ious: NDArray[np.float64]) -> NDArray[np.bool_]:
    """Mark the pair with the highest IoU of every id; the smaller partner wins a tie."""
    order = np.lexsort((partners, -ious, ids))
    _, heads = np.unique(ids[order], return_index=True)
    best = np.zeros(ids.size, bool)
    best[order[heads]] = True
    return best


def _second_best(ids: Ints, ious: NDArray[np.float64]) -> NDArray[np.float64]:
    """Return for every pair the highest IoU of its id in another pair; 0 where there is none."""
    order = np.lexsort((-ious, ids))
    _, heads, group = np.unique(ids[order], return_index=True, return_inverse=True)
    ranked = np.append(ious[order], 0.0)
    sizes = np.diff(np.append(heads, ids.size))
    seconds = np.where(sizes > 1, ranked[np.minimum(heads + 1, ids.size)], 0.0)
    others = ranked[heads][group]
    others[heads] = seconds
    result = np.empty(ids.size)
    result[order] = others
    return result


class DisjointSets:
    """Union-find over the numbers 0 to n - 1; a set is named by its smallest number.

    The sets are the same whatever the order in which they were merged. All steps work on arrays
    and on parts of the numbers, without recursion, so that the numbers may lie in a file.

    Parameters
    ----------
    size : int
        How many numbers there are; each begins as a set of its own.
    path : pathlib.Path, optional
        A ``.npy`` file to keep the parents in, 8 bytes per number, replaced if it is there; then
        nothing that grows with `size` stays in memory. Left out, they are in memory.
    """

    def __init__(self, size: int, path: Path | None = None) -> None:
        if path is None or size == 0:
            self._parents = np.arange(size, dtype=np.int64)
            return
        file = np.lib.format.open_memmap(path, mode="w+", dtype=np.int64, shape=(size,))
        self._parents = file.view(np.ndarray)
        for start in range(0, size, _CHUNK):
            stop = min(start + _CHUNK, size)
            self._parents[start:stop] = np.arange(start, stop)

    def find(self, number: int) -> int:
        """Return the smallest number of a number's set."""
        return int(self.find_all(np.array([number]))[0])

    def find_all(self, numbers: Ints) -> Ints:
        """Return the smallest number of the set of each of some numbers, (K,)."""
        parents, current = self._parents, numbers
        while True:
            roots = parents[current]
            above = parents[roots]
            if np.array_equal(roots, above):
                break
            parents[current] = above  # halves the way for the next time
            current = above
        parents[numbers] = roots
        return roots

    def union(self, first: int, second: int) -> None:
        """Merge the sets of two numbers."""
        self.union_pairs(np.array([[first, second]]))

    def union_pairs(self, pairs: Ints) -> None:
        """Merge the sets of the two numbers of every pair, (K, 2)."""
        ones, others = pairs[:, 0], pairs[:, 1]
        while ones.size:
            ones, others = self.find_all(ones), self.find_all(others)
            apart = ones != others
            small, large = np.minimum(ones, others)[apart], np.maximum(ones, others)[apart]
            np.minimum.at(self._parents, large, small)  # one of several wins; the rest come again
            ones, others = small, large

    def roots(self, start: int = 0, stop: int | None = None) -> Ints:
        """Return the smallest number of the set of every number from start to stop, (n,)."""
        stop = self._parents.size if stop is None else stop
        parts = [
            self.find_all(np.arange(low, min(low + _CHUNK, stop)))
            for low in range(start, stop, _CHUNK)
        ]
        return np.concatenate(parts) if parts else np.zeros(0, np.int64)
