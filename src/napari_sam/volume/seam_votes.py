"""Which matches at seams hold, by all slices together.

Where one tile takes a blob of two cells for the left one and its neighbour takes the same blob for
the right one, a match of the blob at their seam would make one object of both cells, through all
slices. But every other slice matches each cell with itself. So the slices vote: a match of two
tracks counts one for each slice that has it, and holds if it has at least half the votes of the
best match of either track. Matches of objects that do not cross the border count, too, as they tell
which track is which.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from napari_sam.segmentation.matching import DisjointSets
from napari_sam.volume.node_files import NodeFiles, RecordLog

SEAM = np.dtype([("first", "<i8"), ("second", "<i8"), ("crossing", "?")])
"""Two nodes that match at a seam, and whether one of them crosses it."""
_BITS = np.uint64(32)


def elected(files: NodeFiles, count: int, sets: DisjointSets, seams: RecordLog) -> RecordLog:
    """Return the matches over a border that hold.

    Parameters
    ----------
    files : NodeFiles
        Where what grows with the nodes is kept.
    count : int
        Number of nodes, less than 2 ** 32.
    sets : DisjointSets
        The tracks of each tile on its own, before any two tiles are joined.
    seams : RecordLog
        Records `SEAM`.

    Returns
    -------
    RecordLog
        Some of them.
    """
    ballots = files.array("ballots", seams.size, np.uint64)
    start = 0
    for records in seams.chunks():
        ballots[start : start + records.size] = _ballots(*_tracks(sets, records))
        start += records.size
    ballots.sort()  # in place, and so in the file
    most = files.array("votes", count, np.int64)
    for records in seams.chunks():
        ones, others = _tracks(sets, records)
        votes = _votes(ballots, ones, others)
        np.maximum.at(most, ones, votes)
        np.maximum.at(most, others, votes)
    held = files.log("elected", SEAM)
    for records in seams.chunks():
        ones, others = _tracks(sets, records)
        best = np.minimum(most[ones], most[others])
        holds = 2 * _votes(ballots, ones, others) >= best
        held.append(records[holds & records["crossing"]])
    return held


def _tracks(
    sets: DisjointSets, records: NDArray[Any]
) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """Return the tracks of both nodes of each match, the smaller first, (K,) each."""
    first, second = (sets.find_all(records[name].astype(np.int64)) for name in ("first", "second"))
    return np.minimum(first, second), np.maximum(first, second)


def _ballots(ones: NDArray[np.int64], others: NDArray[np.int64]) -> NDArray[np.uint64]:
    """Return one number for each pair of tracks, (K,)."""
    return (ones.astype(np.uint64) << _BITS) | others.astype(np.uint64)


def _votes(
    ballots: NDArray[np.uint64], ones: NDArray[np.int64], others: NDArray[np.int64]
) -> NDArray[np.int64]:
    """Count the votes of pairs of tracks (K,) in sorted ballots, (K,)."""
    wanted = _ballots(ones, others)
    return np.searchsorted(ballots, wanted, "right") - np.searchsorted(ballots, wanted, "left")
