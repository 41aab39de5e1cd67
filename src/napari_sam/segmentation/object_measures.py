"""Size, place, shape and intensity of many objects at once, as scikit-image defines them."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from math import prod
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy import ndimage
from skimage.morphology import convex_hull_image

Columns = dict[str, NDArray[Any]]
_Floats = NDArray[np.float64]
_STRIP = 2**20  # pixels that are looked at at once


def measure_shapes(numbers: NDArray[np.integer], spacing: Sequence[float]) -> Columns:
    """Measure all objects.

    Parameters
    ----------
    numbers : ndarray
        (H, W) or (Z, H, W), 0 for background, and not far more numbers than objects.
    spacing : sequence of float
        Size of a pixel along each axis.

    Returns
    -------
    dict of str to ndarray
        (n,) each, by number: ``label``, and what `skimage.measure.regionprops_table` calls
        ``area``, ``centroid-0`` ..., ``equivalent_diameter_area``, ``axis_major_length``,
        ``axis_minor_length``, ``bbox-0`` ..., and in 2D ``eccentricity`` and ``solidity``.
    """
    ndim = numbers.ndim
    counts, centres, covariances = _moments(numbers)
    label = np.flatnonzero(counts)
    pixels = counts[label]
    scale = np.array(spacing, np.float64)
    area = pixels * float(prod(spacing))
    found: Columns = {"label": label, "area": area}
    found |= {f"centroid-{axis}": centres[axis, label] * scale[axis] for axis in range(ndim)}
    found["equivalent_diameter_area"] = (2 * ndim * area / np.pi) ** (1 / ndim)
    spread = covariances[:, :, label].transpose(2, 0, 1) * scale[:, None] * scale
    least, *_, most = np.linalg.eigvalsh(spread).clip(0).T
    factor = 16 if ndim == 2 else 20  # of an ellipse, an ellipsoid
    found["axis_major_length"] = np.sqrt(factor * most)
    found["axis_minor_length"] = np.sqrt(factor * least)
    if ndim == 2:
        found["eccentricity"] = np.sqrt(1 - least / np.where(most > 0, most, np.inf)) * (most > 0)
    boxes = ndimage.find_objects(numbers) if len(label) else []
    if ndim == 2:
        hulls = [_hull_pixels(numbers, boxes[number - 1], number) for number in label.tolist()]
        found["solidity"] = pixels / np.array(hulls, np.int64)
    for name, ends in (("start", 0), ("stop", ndim)):
        for axis in range(ndim):
            sides = [getattr(boxes[number - 1][axis], name) for number in label.tolist()]
            found[f"bbox-{axis + ends}"] = np.array(sides, np.int64)
    return found


def measure_intensities(numbers: NDArray[np.integer], image: NDArray[Any]) -> Columns:
    """Measure the intensities of all objects in an image that may have channels at the end.

    Returns
    -------
    dict of str to ndarray
        (n,) float64 each, by number: ``intensity_mean``, ``intensity_max`` and ``intensity_min``,
        with ``-0``, ``-1``, ... of channels.
    """
    if image.ndim == numbers.ndim:
        return _intensities(numbers, image)
    channels = [_intensities(numbers, image[..., at]) for at in range(image.shape[-1])]
    names = list(channels[0]) if channels else []
    return {f"{name}-{at}": channel[name] for name in names for at, channel in enumerate(channels)}


def _moments(numbers: NDArray[np.integer]) -> tuple[NDArray[np.int64], _Floats, _Floats]:
    """Return pixels (n + 1,), mean coordinates (D, n + 1) and covariances (D, D, n + 1)."""
    ndim, size = numbers.ndim, int(numbers.max(initial=0)) + 1
    counts = np.zeros(size, np.int64)
    sums = np.zeros((ndim, size))
    for number, where in _pixels(numbers):
        counts += np.bincount(number, minlength=size)
        for axis, place in enumerate(where):
            sums[axis] += np.bincount(number, place, size)
    centres = sums / np.maximum(counts, 1)
    covariances = np.zeros((ndim, ndim, size))
    for number, where in _pixels(numbers):
        offsets = [place - centre[number] for place, centre in zip(where, centres, strict=True)]
        for first in range(ndim):
            for second in range(first + 1):
                products = offsets[first] * offsets[second]
                covariances[first, second] += np.bincount(number, products, size)
    covariances /= np.maximum(counts, 1)
    below = np.tril_indices(ndim, -1)
    covariances[below[::-1]] = covariances[below]
    return counts, centres, covariances


def _pixels(
    numbers: NDArray[np.integer],
) -> Iterator[tuple[NDArray[np.intp], tuple[NDArray[np.intp], ...]]]:
    """Yield the numbers and coordinates of the pixels of objects, strip by strip."""
    step = max(1, _STRIP // max(1, prod(numbers.shape[1:])))
    for first in range(0, len(numbers), step):
        strip = numbers[first : first + step]
        along, *others = np.nonzero(strip)
        yield strip[along, *others].astype(np.intp), (along + first, *others)


def _hull_pixels(numbers: NDArray[np.integer], where: tuple[slice, ...], number: int) -> int:
    """Return the pixels of an object's convex hull."""
    mask = numbers[where] == number
    return mask.size if mask.all() else int(np.count_nonzero(convex_hull_image(mask)))


def _intensities(numbers: NDArray[np.integer], image: NDArray[Any]) -> Columns:
    size = int(numbers.max(initial=0)) + 1
    counts, sums = np.zeros(size, np.int64), np.zeros(size)
    highest, lowest = np.full(size, -np.inf), np.full(size, np.inf)
    for number, where in _pixels(numbers):
        values = image[where].astype(np.float64)
        counts += np.bincount(number, minlength=size)
        sums += np.bincount(number, values, size)
        with np.errstate(invalid="ignore"):  # nan stays nan
            np.maximum.at(highest, number, values)
            np.minimum.at(lowest, number, values)
    label = np.flatnonzero(counts)
    return {
        "intensity_mean": sums[label] / counts[label],
        "intensity_max": highest[label],
        "intensity_min": lowest[label],
    }
