"""Which objects of two slices of a tile are one.

Neighbouring slices are matched by mutual-best overlap, so that an object has at most one partner
above and one below it, and two cells over one blob stay two. Three things look further, past the
next slice:

- An object without a partner above and one without a partner below, a few slices higher, are one
  if they are each other's best match among those without: the object vanished for a while, or a
  blob had swallowed it.
- An object that one slice sees in two pieces may match one piece from below and the other from
  above. Where both pieces end there, what lies below and above them is matched past them, too.
- A blob of two cells may match the left one below it and the right one above it. Where the objects
  below and above it match each other straight, and crosswise do not, the blob goes on to the one
  that it came from.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from functools import cached_property

import numpy as np
from numpy.typing import NDArray

from napari_sam.segmentation.matching import Overlaps, find_overlaps, mutual_best
from napari_sam.volume.link_config import LinkConfig

Ints = NDArray[np.int64]
Labels = NDArray[np.uint32]


@dataclass(frozen=True, kw_only=True, eq=False)
class Plane:
    """A slice of a tile while its neighbours are matched with it.

    Attributes
    ----------
    block : int
        Its number.
    labels : numpy.ndarray
        (h, w) uint32 with ids 0 ... n.
    count : int
        n.
    origin : (int, int)
        (row, col) of its first pixel in the full plane.
    below, above : numpy.ndarray
        (n + 1,) the partner of each object in the next slice below and above, 0 for none.
    open_below, open_above : numpy.ndarray
        (n + 1,) whether an object has no partner on that side yet.
    """

    block: int
    labels: Labels
    count: int
    origin: tuple[int, int]
    below: Ints = field(init=False)
    above: Ints = field(init=False)
    open_below: NDArray[np.bool_] = field(init=False)
    open_above: NDArray[np.bool_] = field(init=False)

    def __post_init__(self) -> None:
        """Begin without partners; background, 0, needs none."""
        for name in ("below", "above"):
            object.__setattr__(self, name, np.zeros(self.count + 1, np.int64))
        for name in ("open_below", "open_above"):
            object.__setattr__(self, name, np.arange(self.count + 1) > 0)

    @cached_property
    def centres(self) -> NDArray[np.float64]:
        """(n + 1, 2) mean (row, col) of every object in the full plane."""
        return object_centres(self.labels, self.count, self.origin)


def object_centres(labels: Labels, count: int, origin: tuple[int, int]) -> NDArray[np.float64]:
    """Return the mean (row, col) of objects 0 ... count, (count + 1, 2); 0, 0 where one is not."""
    rows, cols = np.nonzero(labels)
    ids = labels[rows, cols]
    areas = np.maximum(np.bincount(ids, minlength=count + 1), 1)
    sums = [np.bincount(ids, weights=axis, minlength=count + 1) for axis in (rows, cols)]
    centres: NDArray[np.float64] = np.stack(sums, axis=1) / areas[:, None] + origin
    return centres


def straightened(
    overlaps: Overlaps, chosen: Ints, planes: tuple[Plane, Plane, Plane], *, config: LinkConfig
) -> Ints:
    """Undo crossings in blobs.

    Parameters
    ----------
    overlaps : Overlaps
        Of the middle and the upper plane.
    chosen : ndarray
        (K,) which of its pairs are matches.
    planes : tuple of Plane
        The lower, the middle and the upper one, neighbours in z.
    config : LinkConfig
        Settings.

    Returns
    -------
    ndarray
        (K,) the pairs that are matches, where a blob that had crossed goes on straight.
    """
    lower, middle, upper = planes
    blobs, crossed = overlaps.first[chosen], overlaps.second[chosen]
    roots = middle.below[blobs]
    if not (roots > 0).any():
        return chosen
    past = find_overlaps(lower.labels, upper.labels)
    ious = past.ious
    straight = mutual_best(past.first, past.second, ious) & (ious >= config.iou_thresh)
    ahead, behind = np.zeros(lower.count + 1, np.int64), np.zeros(upper.count + 1, np.int64)
    ahead[past.first[straight]] = past.second[straight]
    behind[past.second[straight]] = past.first[straight]
    free = np.ones(upper.count + 1, bool)
    free[crossed] = False
    heirs, others = ahead[roots], behind[crossed]
    crosses = (roots > 0) & (heirs > 0) & (heirs != crossed) & free[heirs]
    crosses &= (others > 0) & (others != roots) & lower.open_above[others]
    places = overlaps.find(blobs, heirs)
    inside = overlaps.shared[places] >= config.containment_thresh * overlaps.second_areas[heirs]
    return np.where(crosses & (places >= 0) & inside, places, chosen)


def bridged(
    lower: Plane, upper: Plane, middle: Plane | None, *, iou_thresh: float
) -> tuple[Ints, Ints, NDArray[np.float64]]:
    """Match what ends in a plane, or right above it, with what begins in another, or right below.

    Parameters
    ----------
    lower, upper : Plane
        Two planes with others between them.
    middle : Plane, optional
        The plane between them, where there is one alone; then objects whose partner in it has no
        other partner take part, too.
    iou_thresh : float
        As in `LinkConfig`.

    Returns
    -------
    lower_ids, upper_ids, ious : ndarray
        (K,) the pairs, and their intersection over union.
    """
    ends, begins = lower.open_above, upper.open_below
    if middle is not None:
        ends = ends | middle.open_above[lower.above]
        begins = begins | middle.open_below[upper.below]
    low = np.where(ends[lower.labels], lower.labels, 0)
    high = np.where(begins[upper.labels], upper.labels, 0)
    overlaps = find_overlaps(low, high)
    ious = overlaps.ious
    kept = mutual_best(overlaps.first, overlaps.second, ious) & (ious >= iou_thresh)
    return overlaps.first[kept], overlaps.second[kept], ious[kept]
