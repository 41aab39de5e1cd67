"""Instances from the instance decoder's maps: seeds, then a watershed down the depth."""

from __future__ import annotations

import math

import numpy as np
from numpy.typing import NDArray
from scipy import ndimage
from skimage.segmentation import watershed

_ROWS = 1024
"""Counted at once."""


def instances_from_maps(
    maps: NDArray[np.float32],
    *,
    foreground_thresh: float = 0.5,
    seed_thresh: float = 0.5,
    smoothing: float = 0,
    min_area: int = 0,
) -> NDArray[np.uint32]:
    """Separate objects.

    Seeds are connected pixels that lie deep in an object and close to its centre; the watershed of
    the depth grows them over the foreground. Foreground that no seed reaches becomes objects of its
    own, so that nothing that was seen is lost.

    Parameters
    ----------
    maps : ndarray
        (3, H, W) foreground, closeness to the centre, depth, each 0 ... 1.
    foreground_thresh : float
        Foreground is above it.
    seed_thresh : float
        Mean of closeness and depth above which a pixel is a seed.
    smoothing : float
        Standard deviation of the bell that smooths closeness and depth, pixels; without it, uneven
        maps have several seeds in one object.
    min_area : int
        Smaller objects are dropped, pixels.

    Returns
    -------
    ndarray
        (H, W) uint32, ids 1 ... n.
    """
    foreground, closeness, depth = maps
    inside = foreground > foreground_thresh
    height = (closeness + depth) / 2
    if smoothing:
        height = ndimage.gaussian_filter(height, smoothing)
    seeds, count = ndimage.label(inside & (height > seed_thresh))
    basins = watershed(-height, seeds, mask=inside)
    rest, _ = ndimage.label(inside & (basins == 0))
    labels = np.where(rest > 0, rest + count, basins)
    return consecutive(labels, min_area=min_area)


def without_debris(labels: NDArray[np.integer], share: float) -> NDArray[np.uint32]:
    """Drop the objects of labels (H, W) whose area is under a share of the median area.

    Small networks see specks between the objects; what is a speck depends on the objects.
    """
    areas = label_areas(labels)[1:]
    median = float(np.median(areas[areas > 0])) if areas.any() else 0.0
    return consecutive(labels, min_area=math.ceil(share * median))


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
