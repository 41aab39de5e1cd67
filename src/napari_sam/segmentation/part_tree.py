"""Which masks are parts of which: whole > part > sub-part, by containment."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property

import numpy as np
from numpy.typing import NDArray

from napari_sam.segmentation.everything_config import LEVELS
from napari_sam.segmentation.records import MaskRecord

_REACH = 2.0
"""Areas further from the size than this do not agree with it, octaves: a factor of four."""
_MOST_SIZES = 128
_PAIRS_AT_ONCE = 2**20


@dataclass(frozen=True, kw_only=True, eq=False)
class PartTree:
    """The part-of tree of N masks.

    Attributes
    ----------
    parents : ndarray
        (N,) index of the smallest larger mask that holds each; -1 for wholes. Of equally large
        masks the earlier counts as the larger, so that duplicates are a chain.
    areas : ndarray
        (N,) pixels.
    """

    parents: NDArray[np.intp]
    areas: NDArray[np.int64]

    @classmethod
    def of(cls, records: Sequence[MaskRecord], containment: float = 0.9) -> PartTree:
        """Find out which records are parts of which.

        Parameters
        ----------
        records : sequence of MaskRecord
            Best first, so that of duplicates the best is the whole.
        containment : float
            A part lies in its whole with at least this share of its pixels.

        Raises
        ------
        ValueError
            If the containment does not lie above 0 and up to 1.
        """
        if not 0 < containment <= 1:
            raise ValueError(f"containment must lie above 0 and up to 1, got {containment}")
        areas = np.array([record.area for record in records], np.int64)
        order = _large_to_small(areas)
        ordered = [records[index] for index in order]
        parents = np.full(len(records), -1, np.intp)
        for part, whole in _pairs_that_may_hold(ordered, containment):
            if parents[order[part]] < 0:
                shared = _shared_pixels(ordered[part], ordered[whole])
                if shared >= containment * ordered[part].area:
                    parents[order[part]] = order[whole]
        return cls(parents=parents, areas=areas)

    @cached_property
    def children(self) -> tuple[NDArray[np.intp], ...]:
        """For each mask the indices (n,) of its direct parts."""
        return tuple(np.flatnonzero(self.parents == index) for index in range(len(self.parents)))

    @cached_property
    def depth(self) -> NDArray[np.intp]:
        """How many masks hold each, one in another, (N,); 0 for wholes."""
        depth = np.zeros(len(self.parents), np.intp)
        for index, parent in self._downwards():
            depth[index] = depth[parent] + 1
        return depth

    @property
    def roots(self) -> NDArray[np.intp]:
        """Indices (n,) of the wholes, which no other mask holds."""
        return np.flatnonzero(self.parents < 0)

    @property
    def leaves(self) -> NDArray[np.intp]:
        """Indices (n,) of the masks that hold no other."""
        return np.setdiff1d(np.arange(len(self.parents)), self.parents)

    def choose(self, level: str) -> NDArray[np.intp]:
        """Choose masks at one level of the tree.

        Parameters
        ----------
        level : str
            ``"all"``; ``"largest"``: the wholes; ``"smallest"``: the masks without parts; ``"one
            size"``: on each way from a whole to its smallest parts at most one mask, so that the
            areas agree best.

        Returns
        -------
        ndarray
            Indices (n,), rising.

        Raises
        ------
        ValueError
            If there is no such level.

        Notes
        -----
        A size cuts the tree: from every whole down, the first mask stands to which no part of it
        is nearer in size, on a logarithmic scale. A mask that stands agrees with the size by
        Tukey's biweight, (1 - (d / 2)^2)^2 at d octaves between the areas, and not at all from
        d = 2, a factor of four, where it is left out. Of the sizes that the masks themselves have,
        the one with the highest sum is taken, of equals the largest.
        """
        if level not in LEVELS:
            raise ValueError(f"level must be one of {LEVELS}, got {level!r}")
        if level == "largest":
            return self.roots
        if level == "smallest":
            return self.leaves
        if level == "one size" and len(self.parents):
            return self._of_one_size()
        return np.arange(len(self.parents))

    def _of_one_size(self) -> NDArray[np.intp]:
        octaves = np.log2(np.maximum(self.areas, 1))
        sizes = np.unique(octaves)[::-1]
        if len(sizes) > _MOST_SIZES:
            sizes = sizes[np.linspace(0, len(sizes) - 1, _MOST_SIZES).astype(int)]
        distance = np.abs(octaves[:, None] - sizes)
        agreement = np.clip(1 - (distance / _REACH) ** 2, 0, None) ** 2
        agreement[~self._standing(distance)] = 0
        return np.flatnonzero(agreement[:, agreement.sum(0).argmax()])

    def _standing(self, distance: NDArray[np.float64]) -> NDArray[np.bool_]:
        """Tell which masks stand when the tree is cut at S sizes, by their distances (N, S)."""
        pairs = list(self._downwards())
        nearest = distance.copy()
        for index, parent in reversed(pairs):
            np.minimum(nearest[parent], nearest[index], out=nearest[parent])
        standing = distance <= nearest
        passed = standing.copy()  # the cut lies at the mask, or above it
        for index, parent in pairs:
            standing[index] &= ~passed[parent]
            passed[index] |= passed[parent]
        return standing

    def _downwards(self) -> list[tuple[int, int]]:
        """Return every mask that has a parent, with the parent, parents first."""
        order = _large_to_small(self.areas)
        return [
            (int(index), int(self.parents[index])) for index in order if self.parents[index] >= 0
        ]


def _large_to_small(areas: NDArray[np.int64]) -> NDArray[np.intp]:
    return np.argsort(-areas, kind="stable")


def _pairs_that_may_hold(
    ordered: Sequence[MaskRecord], containment: float
) -> list[tuple[int, int]]:
    """Return (part, whole) of records, large to small, whose boxes share enough for containment.

    The smallest whole of a part comes first.
    """
    boxes = np.array([record.box for record in ordered], np.int32).reshape(-1, 4)
    needed = containment * np.array([record.area for record in ordered])
    found: list[tuple[int, int]] = []
    rows = max(1, _PAIRS_AT_ONCE // max(1, len(boxes)))
    for start in range(0, len(boxes), rows):
        some = boxes[start : start + rows, None]
        low = np.maximum(some[..., :2], boxes[: start + rows, :2])
        high = np.minimum(some[..., 2:], boxes[: start + rows, 2:])
        sides = np.clip(high - low, 0, None)
        enough = sides[..., 0] * sides[..., 1] >= needed[start : start + rows, None]
        parts, wholes = np.nonzero(np.tril(enough, start - 1))
        found += zip((parts[::-1] + start).tolist(), wholes[::-1].tolist(), strict=True)
    return found


def _shared_pixels(one: MaskRecord, other: MaskRecord) -> int:
    """Count the pixels of both masks, looking only where their boxes overlap."""
    top, left = max(one.box[0], other.box[0]), max(one.box[1], other.box[1])
    bottom, right = min(one.box[2], other.box[2]), min(one.box[3], other.box[3])
    cuts = [
        record.mask[
            top - record.box[0] : bottom - record.box[0],
            left - record.box[1] : right - record.box[1],
        ]
        for record in (one, other)
    ]
    return int(np.count_nonzero(cuts[0] & cuts[1]))
