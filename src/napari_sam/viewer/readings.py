"""Which pixels stand for a part of a plane: a level of its pyramid, and blocks of those averaged.

A network whose input has about a thousand pixels learns nothing from ten thousand: what it looks at
from afar is read from the coarsest level that still has the resolution it needs. Where there is no
such level, blocks of pixels are averaged strip by strip, so that no large plane is ever in memory.
"""

from __future__ import annotations

import math
import zlib
from collections.abc import Hashable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from napari_sam.segmentation.images import contrast_range
from napari_sam.segmentation.tiles import Tile
from napari_sam.viewer.layers import Plane, read_array

_TOLERANCE = 1.01
_STRIP_PIXELS = 2**23
_MOST_PIXELS = 2**26
"""Of a window more than this is not averaged: every so many-th pixel is."""
_THINNED_SIDE = 64
_SAMPLED_SIDE = 1024
_PYRAMID_SIDE = 256
_SAMPLED_BLOCKS = 5
_SAMPLED_BLOCK = 200


@dataclass(frozen=True, kw_only=True)
class Reading:
    """A part of a plane as it is read.

    Attributes
    ----------
    level : int
        Of the pyramid; 0 is full resolution.
    rows, cols : (int, int)
        First and one past the last, in pixels of the level.
    block : int
        Side of the squares of the level's pixels that are averaged.
    origin : (float, float)
        Where the first pixel read begins: rows and columns from the plane's corner, full
        resolution.
    pixel : (float, float)
        Height and width of a pixel read, full-resolution pixels.
    """

    level: int
    rows: tuple[int, int]
    cols: tuple[int, int]
    block: int
    origin: tuple[float, float]
    pixel: tuple[float, float]

    @property
    def is_exact(self) -> bool:
        """Whether pixels are read as they are."""
        return self.pixel == (1.0, 1.0)

    @property
    def coarseness(self) -> float:
        """Full-resolution pixels along one pixel read."""
        return math.sqrt(self.pixel[0] * self.pixel[1])


def plan_reading(
    levels: Sequence[Any],
    plane: Plane,
    window: Tile | None,
    coarseness: float,
    longest: int = 0,
) -> Reading:
    """Choose what to read.

    Parameters
    ----------
    levels : sequence of array
        The pyramid, the finest first; one level for other images.
    plane : Plane
        Of the finest level.
    window : Tile or None
        The part of the plane; None for all of it.
    coarseness : float
        How many pixels of the plane may become one, along rows and columns; 1 keeps them all.
    longest : int
        A side of the level's pixels up to which they are read as they are, not averaged.
    """
    top, left, height, width = window or Tile(0, 0, *plane.shape)
    sizes = [_pixel(level, levels[0], plane) for level in levels]
    fitting = [n for n, pixel in enumerate(sizes) if max(pixel) <= coarseness * _TOLERANCE]
    level = max(fitting, key=lambda n: sizes[n], default=0)
    rows_in, cols_in = sizes[level]
    there = _plane_at(levels[level], levels[0], plane)
    rows = int(top / rows_in), min(math.ceil((top + height) / rows_in), there.shape[0])
    cols = int(left / cols_in), min(math.ceil((left + width) / cols_in), there.shape[1])
    is_large = max(rows[1] - rows[0], cols[1] - cols[0]) > longest
    block = max(1, int(coarseness * _TOLERANCE / max(sizes[level]))) if is_large else 1
    return Reading(
        level=level,
        rows=rows,
        cols=cols,
        block=block,
        origin=(rows[0] * rows_in, cols[0] * cols_in),
        pixel=(rows_in * block, cols_in * block),
    )


def read(levels: Sequence[Any], plane: Plane, reading: Reading) -> NDArray[Any]:
    """Read what was planned, (h, w) or (h, w, channels) of the image's dtype; for any thread."""
    array = levels[reading.level]
    there = _plane_at(array, levels[0], plane)
    (top, bottom), (left, right) = reading.rows, reading.cols
    block = reading.block
    if block == 1:
        return read_array(array, there, (slice(top, bottom), slice(left, right)))
    step = _stride(block, (bottom - top) * (right - left))
    deep = max(1, _STRIP_PIXELS * step**2 // (block * (right - left))) * block
    strips = []
    for start in range(top, bottom, deep):
        part = slice(start, min(start + deep, bottom), step), slice(left, right, step)
        strips.append(_averaged(read_array(array, there, part), block // step))
    return np.concatenate(strips)


def identity(array: Any, plane: Plane) -> Hashable:
    """Return what tells a plane's pixels apart from others, those of before an edit among them.

    A thinned plane of an array in memory is looked at, which takes some ten microseconds; others
    are taken to stay as they are.
    """
    if type(array) is not np.ndarray:
        return id(array), plane
    step = max(1, max(plane.shape) // _THINNED_SIDE)
    thin = slice(step // 2, None, step)
    return id(array), plane, zlib.crc32(read_array(array, plane, (thin, thin)).tobytes())


def sampled_range(levels: Sequence[Any], plane: Plane) -> tuple[float, float]:
    """Return the contrast of a whole plane, from about a million of its pixels.

    They are of a coarse level where there is a pyramid; of arrays that are not in memory, some
    blocks are read.
    """
    coarseness = max(plane.shape) / (_SAMPLED_SIDE if len(levels) == 1 else _PYRAMID_SIDE)
    reading = plan_reading(levels, plane, None, coarseness)
    array = levels[reading.level]
    there = _plane_at(array, levels[0], plane)
    step = -(-max(there.shape) // _SAMPLED_SIDE)
    if step <= 2 or isinstance(array, np.ndarray):
        thinned = slice(None, None, step), slice(None, None, step)
        return contrast_range(read_array(array, there, thinned))
    starts = [
        np.linspace(0, max(0, length - _SAMPLED_BLOCK), _SAMPLED_BLOCKS).astype(int)
        for length in there.shape
    ]
    blocks = [
        read_array(
            array, there, (slice(r, r + _SAMPLED_BLOCK), slice(c, c + _SAMPLED_BLOCK))
        ).ravel()
        for r in starts[0]
        for c in starts[1]
    ]
    return contrast_range(np.concatenate(blocks))


def at_full_resolution(
    masks: NDArray[np.bool_], corner: tuple[int, int], reading: Reading, shape: tuple[int, int]
) -> tuple[NDArray[np.bool_], tuple[int, int]]:
    """Draw masks of what was read in pixels of the plane, within the box that holds them all.

    Parameters
    ----------
    masks, corner
        (M, h, w) bool, and the (row, col) of their first pixel among those read.
    reading : Reading
        How these lie in the plane.
    shape : (int, int)
        Of the plane.

    Returns
    -------
    masks : ndarray
        (M, h', w') bool. Edges run straight between the centres of the pixels that were read.
    corner : (int, int)
        Row and column of the first pixel in the plane.
    """
    taken: NDArray[np.bool_] = np.any(masks, axis=0)
    if not taken.any():
        return np.zeros((len(masks), 1, 1), bool), (0, 0)
    boxes = [np.nonzero(taken.any(1))[0], np.nonzero(taken.any(0))[0]]
    low, high = [int(along[0]) for along in boxes], [int(along[-1]) + 1 for along in boxes]
    cut = np.pad(masks[:, low[0] : high[0], low[1] : high[1]], ((0, 0), (1, 1), (1, 1)))
    sides = []
    for axis in (0, 1):
        start = reading.origin[axis] + (corner[axis] + low[axis]) * reading.pixel[axis]
        stop = start + (high[axis] - low[axis]) * reading.pixel[axis]
        first, last = max(0, round(start)), min(shape[axis], round(stop))
        centres = (np.arange(first, last) + 0.5 - start) / reading.pixel[axis] + 0.5
        sides.append((first, *_neighbours(centres, cut.shape[axis + 1])))
    found = np.stack([_interpolated(mask, sides[0][1:], sides[1][1:]) for mask in cut])
    return found, (sides[0][0], sides[1][0])


def _neighbours(
    centres: NDArray[np.floating], count: int
) -> tuple[NDArray[np.intp], NDArray[np.float32]]:
    """Return the pixel before each place, and how far on to the next it is, 0 ... 1."""
    before = np.clip(np.floor(centres).astype(np.intp), 0, count - 2)
    return before, (centres - before).astype(np.float32)


def _interpolated(
    mask: NDArray[np.bool_],
    rows: tuple[NDArray[np.intp], NDArray[np.float32]],
    cols: tuple[NDArray[np.intp], NDArray[np.float32]],
) -> NDArray[np.bool_]:
    """Interpolate a mask between its pixels' centres; half a mask is one."""
    values = mask.astype(np.float32)
    (left, onward), (top, down) = cols, rows
    wide = values[:, left] + (values[:, left + 1] - values[:, left]) * onward
    found = np.empty((len(top), len(left)), bool)
    deep = max(1, _STRIP_PIXELS // max(1, len(left)))
    for start in range(0, len(top), deep):
        at, share = top[start : start + deep], down[start : start + deep, None]
        found[start : start + deep] = wide[at] * (1 - share) + wide[at + 1] * share >= 0.5
    return found


def _pixel(level: Any, finest: Any, plane: Plane) -> tuple[float, float]:
    """Return how many pixels of the finest level one of a level spans, along rows and columns."""
    row, col = plane.axes
    return (
        _factor(finest.shape[row], level.shape[row]),
        _factor(finest.shape[col], level.shape[col]),
    )


def _factor(fine: int, coarse: int) -> float:
    """Return a ratio of lengths: the whole number that was meant, where they allow for one."""
    whole = max(1, round(fine / coarse))
    meant = coarse in (fine // whole, -(-fine // whole))
    return float(whole) if meant else fine / coarse


def _plane_at(level: Any, finest: Any, plane: Plane) -> Plane:
    """Return the plane of a level that shows the same."""
    index: list[int | None] = []
    for axis, position in enumerate(plane.index):
        length = int(level.shape[axis])
        scaled = None if position is None else int(position * length / finest.shape[axis])
        index.append(None if scaled is None else min(scaled, length - 1))
    row, col = plane.axes
    return Plane(index=tuple(index), shape=(int(level.shape[row]), int(level.shape[col])))


def _stride(block: int, pixels: int) -> int:
    """Return a divisor of a block's side: how far apart pixels are read, so that they are few."""
    least = min(block, math.ceil(math.sqrt(pixels / _MOST_PIXELS)))
    return next(step for step in range(least, block + 1) if block % step == 0)


def _averaged(pixels: NDArray[Any], block: int) -> NDArray[Any]:
    """Average squares of pixels (h, w, ...); those at the far edges may be smaller."""
    if block == 1:
        return pixels
    sums: NDArray[Any] = pixels.astype(np.float32)
    for axis in (0, 1):
        starts = np.arange(0, sums.shape[axis], block)
        counts = np.diff(np.append(starts, sums.shape[axis])).astype(np.float32)
        shape = [1] * sums.ndim
        shape[axis] = len(counts)
        sums = np.add.reduceat(sums, starts, axis=axis) / counts.reshape(shape)
    return sums.round().astype(pixels.dtype) if pixels.dtype.kind in "ui" else sums
