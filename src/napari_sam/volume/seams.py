"""Which objects of two neighbouring tiles of a slice are one.

Both tiles see the overlap of their read regions; the border of their cores runs through it. What
crosses that border has pixels right beside it, so only pairs of which one member touches the
border are judged. An object that comes in at the outer rim of the overlap, of which one tile sees a
sliver, needs no link: all its pixels in the output are the other tile's. Of the pairs that are
judged, each other's best match by the pixels of the overlap are one, if their intersection over
union reaches the threshold.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from napari_sam.segmentation.matching import find_overlaps, mutual_best, runner_up

Ints = NDArray[np.int64]


@dataclass(frozen=True, kw_only=True, eq=False)
class SeamMatches:
    """What two tiles make of each other's objects at the border of their cores.

    Attributes
    ----------
    first, second : numpy.ndarray
        (K,) ids of objects that match.
    crossing : numpy.ndarray
        (K,) whether one of both touches the border, so that they are one.
    ious, seconds : numpy.ndarray
        (K,) their intersection over union, and the best of another pair with one of them.
    first_cut, second_cut : numpy.ndarray
        (n + 1,) pixels that an object without a match has beside the border, on both of its sides;
        0 where it ends at the border or before it, which cuts nothing.
    """

    first: Ints
    second: Ints
    crossing: NDArray[np.bool_]
    ious: NDArray[np.float64]
    seconds: NDArray[np.float64]
    first_cut: Ints
    second_cut: Ints


def match_at_seam(
    first: NDArray[np.integer], second: NDArray[np.integer], border: int, *, iou_thresh: float
) -> SeamMatches:
    """Match the objects of two tiles by what both see.

    Parameters
    ----------
    first, second : ndarray
        Labels of the overlap of both read regions, (h, w), by each tile; the first tile is above.
        For tiles side by side pass them transposed.
    border : int
        The first row of the overlap in the core of the second tile.
    iou_thresh : float
        Least intersection over union, in (0, 1].
    """
    lines = slice(max(border - 1, 0), border + 1)
    overlaps = find_overlaps(first, second)
    touching = [
        np.bincount(labels[lines].ravel(), minlength=size) > 0
        for labels, size in (
            (first, overlaps.first_areas.size),
            (second, overlaps.second_areas.size),
        )
    ]
    ious = overlaps.ious
    kept = mutual_best(overlaps.first, overlaps.second, ious) & (ious >= iou_thresh)
    ones, others = overlaps.first[kept], overlaps.second[kept]
    return SeamMatches(
        first=ones,
        second=others,
        crossing=touching[0][ones] | touching[1][others],
        ious=ious[kept],
        seconds=runner_up(overlaps.first, overlaps.second, ious)[kept],
        first_cut=_cut(first, border, overlaps.first_areas.size, ones),
        second_cut=_cut(second, border, overlaps.second_areas.size, others),
    )


def _cut(labels: NDArray[np.integer], border: int, size: int, matched: Ints) -> Ints:
    """Count the pixels of objects without a match beside a border that they cross, (n + 1,)."""
    if not 0 < border < len(labels):
        return np.zeros(size, np.int64)
    sides = [np.bincount(labels[row], minlength=size) for row in (border - 1, border)]
    cut = np.where((sides[0] > 0) & (sides[1] > 0), sides[0] + sides[1], 0)
    cut[matched] = 0
    cut[:1] = 0
    return cut
