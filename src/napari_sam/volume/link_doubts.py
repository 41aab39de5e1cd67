"""Which decisions of linking a person should look at first."""

from __future__ import annotations

import heapq
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, TypeAlias

import numpy as np
from numpy.typing import NDArray

Centres = Callable[[NDArray[np.int64]], NDArray[np.float64]]
"""Gives the centres (row, col) in the full plane, (M, 2), of some of the pairs, by index (M,)."""

_Rank: TypeAlias = tuple[float, int, int, int, str, float, tuple[float, float]]


@dataclass(frozen=True, kw_only=True)
class LinkDoubt:
    """One decision, and how doubtful it is.

    Attributes
    ----------
    kind : str
        ``"weak"``: linked, barely above the threshold. ``"ambiguous"``: linked, and a second
        candidate was nearly as good. ``"missed"``: each other's best match, and not linked, as the
        threshold was not reached. ``"gap"``: linked past slices where the object
        is missing or in pieces.
        ``"contained"``: a short piece that joined the object it lies in. ``"seam"``: linked over a
        seam of tiles, barely or not alone. ``"cut"``: ends at a seam of tiles, as the neighbour
        has no match.
    doubt : float
        In 0 ... 1; 1 is a decision that could as well have been the other.
    z : int
        The slice; of two, the lower one; for ``"contained"`` that of the piece.
    centre : (float, float)
        (row, col) of the first object in that slice, in the full plane; at a seam, of what both
        tiles see of it.
    objects : (int, int)
        Ids in the volume; the second is 0 for ``"cut"``, and an object that was removed has 0.
    nodes : (int, int)
        The numbers of both in the graph; the second is -1 for ``"cut"``.
    iou : float
        Intersection over union; for ``"contained"`` the share of the piece that lies inside.
    """

    kind: str
    doubt: float
    z: int
    centre: tuple[float, float]
    objects: tuple[int, int] = (0, 0)
    nodes: tuple[int, int]
    iou: float

    @classmethod
    def of_entry(cls, entry: Mapping[str, Any]) -> LinkDoubt:
        """Rebuild a doubt from its fields in JSON, whose tuples are lists."""
        fields: dict[str, Any] = {
            name: tuple(value) if isinstance(value, list) else value
            for name, value in entry.items()
        }
        return cls(**fields)

    @property
    def text(self) -> str:
        """Say it in a line."""
        one, other = self.objects
        who = f"object {one}" if one == other or not other else f"objects {one} and {other}"
        row, col = self.centre
        return f"{who} at slice {self.z}, ({row:.0f}, {col:.0f}): {self.kind}, IoU {self.iou:.2f}"


class DoubtHeap:
    """Keeps the most doubtful decisions; which ones does not depend on the order they come in.

    Parameters
    ----------
    size : int
        How many are kept.
    """

    def __init__(self, size: int) -> None:
        self._size = size
        self._heap: list[tuple[_Rank, LinkDoubt]] = []

    def add(
        self,
        kinds: NDArray[np.str_],
        doubts: NDArray[np.float64],
        z: int,
        nodes: NDArray[np.int64],
        ious: NDArray[np.float64],
        centres: Centres,
    ) -> None:
        """Take in decisions (K,) about pairs of nodes (K, 2) of a slice."""
        low = self._heap[0][0][0] if len(self._heap) == self._size else -1.0
        order = np.lexsort((nodes[:, 1], nodes[:, 0], -doubts))[: self._size]
        chosen = order[doubts[order] >= low]
        if not chosen.size:
            return
        for index, (row, col) in zip(chosen.tolist(), centres(chosen).tolist(), strict=True):
            self.push(
                LinkDoubt(
                    kind=str(kinds[index]),
                    doubt=float(doubts[index]),
                    z=z,
                    centre=(row, col),
                    nodes=(int(nodes[index, 0]), int(nodes[index, 1])),
                    iou=float(ious[index]),
                )
            )

    def push(self, doubt: LinkDoubt) -> None:
        """Take in one decision."""
        first, second = doubt.nodes
        rank = (doubt.doubt, -doubt.z, -first, -second, doubt.kind, doubt.iou, doubt.centre)
        entry = (rank, doubt)
        if len(self._heap) < self._size:
            heapq.heappush(self._heap, entry)
        elif self._size:
            heapq.heappushpop(self._heap, entry)

    def ranked(self) -> list[LinkDoubt]:
        """Return what was kept, the most doubtful first."""
        return [doubt for _, doubt in sorted(self._heap, key=lambda e: e[0], reverse=True)]


def link_doubts(
    ious: NDArray[np.float64], seconds: NDArray[np.float64], thresh: float
) -> tuple[NDArray[np.str_], NDArray[np.float64]]:
    """Judge pairs (K,) of mutual-best objects by their IoU and that of their runners-up.

    Returns
    -------
    kinds, doubts : ndarray
        (K,) ``"weak"``, ``"ambiguous"`` or ``"missed"``, and the doubt: the threshold, or the
        runner-up, over the IoU; for a pair under the threshold its IoU over the threshold.
    """
    weak, ambiguous = thresh / ious, seconds / ious
    kinds = np.where(ambiguous > weak, "ambiguous", "weak")
    linked = ious >= thresh
    doubts = np.where(linked, np.minimum(np.maximum(weak, ambiguous), 1.0), ious / thresh)
    return np.where(linked, kinds, "missed"), doubts
