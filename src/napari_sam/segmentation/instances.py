"""Instances from the instance decoder's maps: a watershed between peaks that are prominent."""

from __future__ import annotations

import math
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray
from scipy import ndimage
from skimage.segmentation import watershed

_CROSS = ndimage.generate_binary_structure(2, 1)
_ROWS = 1024
"""Counted at once."""


def instances_from_maps(
    maps: NDArray[np.float32],
    *,
    foreground_thresh: float = 0.5,
    seed_prominence: float = 0.15,
    smoothing: float = 0,
) -> NDArray[np.uint32]:
    """Separate objects.

    The mean of closeness and depth is a landscape over the foreground. Each of its peaks is a seed
    that a watershed grows downhill; peaks that rise too little over the saddle to a higher one are
    a part of that one's object. A faint object's low peak counts as much as a clear one's, and all
    foreground belongs to an object.

    Parameters
    ----------
    maps : ndarray
        (3, H, W) foreground, closeness to the centre, depth, each 0 ... 1.
    foreground_thresh : float
        Foreground is above it.
    seed_prominence : float
        How far a peak rises over the saddle to a higher one (its prominence) to be a seed.
    smoothing : float
        Standard deviation of the bell that smooths closeness and depth, pixels.

    Returns
    -------
    ndarray
        (H, W) uint32, ids 1 ... n.
    """
    pieces = cut_into_pieces(maps, foreground_thresh=foreground_thresh, smoothing=smoothing)
    return consecutive(pieces.owners(seed_prominence)[pieces.labels])


class Pieces(NamedTuple):
    """Foreground that is cut along all saddles.

    Attributes
    ----------
    labels : ndarray
        (H, W) int32, a piece around every peak, 1 ... n.
    peaks : list of float
        n + 1 heights of the peaks; of background, 0.
    saddles : list of (int, int, float)
        Two neighbouring pieces and the height of the way between, the highest first.
    """

    labels: NDArray[np.int32]
    peaks: list[float]
    saddles: list[tuple[int, int, float]]

    def owners(self, prominence: float) -> NDArray[np.int64]:
        """Return the object (n + 1,), 1 ... m, of each piece; background is 0.

        A piece whose peak is less prominent is a part of the object over the highest saddle.
        """
        joined = list(range(len(self.peaks)))
        for first, second, saddle in self.saddles:
            low, high = sorted(
                (root(joined, first), root(joined, second)), key=self.peaks.__getitem__
            )
            if low != high and self.peaks[low] - saddle < prominence:
                joined[low] = high
        roots = [root(joined, piece) for piece in range(len(joined))]
        return np.asarray(np.unique(roots, return_inverse=True)[1])

    def joined(self, prominence: float) -> Pieces:
        """Return them with every object of `owners` as one piece."""
        owners = self.owners(prominence)
        peaks = np.zeros(int(owners.max()) + 1)
        np.maximum.at(peaks, owners, self.peaks)
        names, ways = owners.tolist(), []
        for one, other, way in self.saddles:
            first, second = sorted((names[one], names[other]))
            if first != second:
                ways.append((first, second, way))
        return Pieces(owners.astype(np.int32)[self.labels], peaks.tolist(), ways)


def root(joined: list[int], index: int) -> int:
    """Follow what each thing is joined to, up to what is joined to itself; later ways get shorter.

    (The find of union-find, with path halving.)
    """
    while joined[index] != index:
        joined[index] = joined[joined[index]]
        index = joined[index]
    return index


def cut_into_pieces(
    maps: NDArray[np.float32], *, foreground_thresh: float, smoothing: float
) -> Pieces:
    """Cut the foreground of maps (3, H, W) along all saddles; see `instances_from_maps`."""
    foreground, closeness, depth = maps
    inside = foreground > foreground_thresh
    height = (closeness + depth) / 2
    if smoothing:
        height = ndimage.gaussian_filter(height, smoothing)
    peaks = inside & (
        ndimage.maximum_filter(np.where(inside, height, -1), footprint=_CROSS) == height
    )
    labels = watershed(-height, ndimage.label(peaks)[0], mask=inside)
    heights = np.zeros(int(labels.max(initial=0)) + 1)
    np.maximum.at(heights, labels[peaks], height[peaks])  # a piece grows downhill from there
    return Pieces(labels, heights.tolist(), _saddles(labels, height))


def _saddles(
    basins: NDArray[np.integer], height: NDArray[np.floating]
) -> list[tuple[int, int, float]]:
    """Return each two neighbouring basins and the height of the way between, the highest first."""
    pairs, heights = [], []
    for axis in (0, 1):
        sides = [np.moveaxis(values, axis, 0) for values in (basins, height)]
        (one, other), (here, there) = ((values[:-1], values[1:]) for values in sides)
        borders = (one != other) & (one > 0) & (other > 0)
        pairs.append(np.sort(np.stack([one[borders], other[borders]], 1), axis=1))
        heights.append(np.minimum(here[borders], there[borders]))
    both, ways = np.concatenate(pairs), np.concatenate(heights)
    falling = np.argsort(-ways, kind="stable")
    first = np.sort(np.unique(both[falling], axis=0, return_index=True)[1])
    chosen = falling[first]
    return list(zip(*both[chosen].T.tolist(), ways[chosen].tolist(), strict=True))


def without_debris(labels: NDArray[np.integer], share: float) -> NDArray[np.uint32]:
    """Drop the objects of labels (H, W) whose area is under a share of the median area.

    Small networks see specks between the objects; what is a speck depends on the objects.
    """
    areas = label_areas(labels)[1:]
    median = float(np.median(areas[areas > 0])) if areas.any() else 0.0
    return consecutive(labels, min_area=math.ceil(share * median))


def label_boxes(labels: NDArray[np.integer]) -> NDArray[np.int64]:
    """Return the boxes (n, 4) of labels 1 ... n of (H, W), the last two values one past."""
    boxes = [
        (rows.start, cols.start, rows.stop, cols.stop)
        for rows, cols in ndimage.find_objects(labels)
    ]
    return np.array(boxes, np.int64).reshape(-1, 4)


def label_areas(labels: NDArray[np.integer], count: int = 0) -> NDArray[np.int64]:
    """Return the pixels of every label, (n,) from that of 0 on, with room for at least `count`.

    Counted some rows at a time: a large image's labels are not copied as a whole.
    """
    areas = np.zeros(max(count, int(labels.max(initial=0)) + 1), np.int64)
    for start in range(0, len(labels), _ROWS):
        areas += np.bincount(labels[start : start + _ROWS].ravel(), minlength=len(areas))
    return areas


def consecutive(labels: NDArray[np.integer], *, min_area: int = 0) -> NDArray[np.uint32]:
    """Renumber labels 1 ... n in rising order, dropping objects of fewer than `min_area` pixels."""
    areas = label_areas(labels)
    kept = areas >= max(min_area, 1)
    kept[0] = False
    numbers = np.zeros(len(areas), np.uint32)
    numbers[kept] = np.arange(1, kept.sum() + 1)
    renumbered: NDArray[np.uint32] = numbers[labels]
    return renumbered
