"""From ids per slice to ids in the volume: mutual-best overlap, merged by union-find.

All steps are deterministic: ties go to the smaller id, and final ids count up in the order in
which objects first appear (by slice, then by id in the slice).
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike, NDArray

from napari_sam.segmentation.matching import DisjointSets, match_labels


@dataclass(frozen=True, kw_only=True, eq=False)
class IdTable:
    """The id in the volume of every object of every slice; its size is that of all objects.

    Attributes
    ----------
    offsets : numpy.ndarray
        (Z + 1,) where the objects of each slice begin.
    ids : numpy.ndarray
        (N,) uint32: entry ``offsets[z] + i - 1`` is the id of object i of slice z.
    """

    offsets: NDArray[np.int64]
    ids: NDArray[np.uint32]

    @property
    def n_objects(self) -> int:
        """Number of objects in the volume."""
        return int(self.ids.max(initial=0))

    def relabel(self, z: int, labels: NDArray[np.uint32]) -> NDArray[np.uint32]:
        """Return a slice with the ids of the volume, (Y, X)."""
        table = np.zeros(self.offsets[z + 1] - self.offsets[z] + 1, np.uint32)
        table[1:] = self.ids[self.offsets[z] : self.offsets[z + 1]]
        return table[labels]


class Linker:
    """Collects matches between slices and turns them into ids.

    Parameters
    ----------
    counts : sequence of int
        The highest id of each slice.
    iou_thresh : float
        Least intersection over union of a match, in (0, 1].
    """

    def __init__(self, counts: Sequence[int], *, iou_thresh: float) -> None:
        self.offsets = slice_offsets(counts)
        self._iou_thresh = iou_thresh
        self._sets = DisjointSets(int(self.offsets[-1]))
        self._present = np.zeros(int(self.offsets[-1]), bool)

    def add(
        self, z: int, labels: NDArray[np.uint32], below: NDArray[np.uint32] | None = None
    ) -> None:
        """Take in a slice, and match it with the one below it (z - 1) if there is one."""
        local_ids = np.flatnonzero(np.bincount(labels.ravel()))
        self._present[self.offsets[z] + local_ids[local_ids > 0] - 1] = True
        if below is None:
            return
        for lower, upper in match_labels(below, labels, iou_thresh=self._iou_thresh).tolist():
            self._sets.union(int(self.offsets[z - 1]) + lower - 1, int(self.offsets[z]) + upper - 1)

    def table(self) -> IdTable:
        """Give the objects ids from 1, in order of appearance; one without pixels gets 0."""
        roots = self._sets.roots()
        ids = np.zeros(roots.size, np.uint32)
        _, number = np.unique(roots[self._present], return_inverse=True)
        ids[self._present] = number + 1
        return IdTable(offsets=self.offsets, ids=ids)


def slice_offsets(counts: ArrayLike | Sequence[int]) -> NDArray[np.int64]:
    """Return where the objects of each slice begin, (Z + 1,); the last entry is their number."""
    return np.concatenate([[0], np.cumsum(np.asarray(counts, np.int64))]).astype(np.int64)
