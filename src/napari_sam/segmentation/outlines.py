"""Masks as polygons along the edges of their pixels, and polygons as masks.

The centre of pixel (r, c) has the coordinate (r, c), so a pixel's corners lie at r ± 0.5, c ± 0.5.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy import ndimage

_Floats = NDArray[np.float64]
# An edge goes right, down, left or up, with the object on its right hand as seen on the screen.
_RIGHT_TURN, _STRAIGHT, _LEFT_TURN = 1, 0, 3
MOST_PIXELS = 2**30
"""Of the box of polygons that are filled."""

_STRIP = 2**22  # pixels that are looked at, or filled, at once: a count for each takes eight bytes
_CORNERS = (0, 0), (0, 1), (1, 1), (1, 0)  # where the edges of a pixel begin
_PIXEL_ROW = np.array([0, 0, -1, -1])  # the edge's pixel, from the vertex that it starts at
_PIXEL_COL = np.array([0, -1, -1, 0])


@dataclass(frozen=True, kw_only=True, eq=False)
class Polygon:
    """A region with holes.

    Rings are not closed: the last vertex is not the first one again. Those that `mask_polygons`
    makes are simple, turn as GeoJSON wants with x = col and y = row (exteriors have a positive
    area, holes a negative one), and touch each other at most at corners.

    Attributes
    ----------
    exterior : ndarray
        (N, 2) coordinates (row, col), pixels.
    holes : tuple of ndarray
        (M, 2) each.
    """

    exterior: _Floats
    holes: tuple[_Floats, ...] = ()

    @property
    def rings(self) -> tuple[_Floats, ...]:
        """The exterior, then the holes."""
        return self.exterior, *self.holes


def mask_polygons(mask: NDArray[np.bool_], corner: tuple[int, int] = (0, 0)) -> list[Polygon]:
    """Trace a mask along the edges of its pixels.

    Parameters
    ----------
    mask : ndarray
        (H, W) bool, whole or cut to a box.
    corner : (int, int)
        Row and column of the mask's first pixel in the image.

    Returns
    -------
    list of Polygon
        One for each part; pixels that share an edge are one part. Filled, they are the mask again.
    """
    parts, count = ndimage.label(mask)
    direction, corners = _edges(mask)
    following, turns = _follow(direction, corners, parts)
    row, col = np.divmod(corners, mask.shape[1] + 1)
    part_of_edge = parts[row + _PIXEL_ROW[direction], col + _PIXEL_COL[direction]]
    vertices = np.stack([row, col], 1) - 0.5 + np.array(corner)
    exteriors: list[_Floats] = [np.zeros((0, 2))] * count
    holes: list[list[_Floats]] = [[] for _ in range(count)]
    for ring in _rings(following, turns):
        outline, part = vertices[ring], int(part_of_edge[ring[0]]) - 1
        if _signed_area(outline) > 0:
            exteriors[part] = outline
        else:
            holes[part].append(outline)
    return [
        Polygon(exterior=exterior, holes=tuple(inner))
        for exterior, inner in zip(exteriors, holes, strict=True)
    ]


def fill_polygons(polygons: Sequence[Polygon], shape: tuple[int, int]) -> NDArray[np.bool_]:
    """Return the mask (H, W) of the pixels whose centres lie in any of the polygons.

    Inside is what an odd number of a polygon's rings enclose. Of a centre that lies on an edge, the
    object on its right or below has it, so that polygons that share an edge share no pixel.

    Parameters
    ----------
    polygons : sequence of Polygon
        Finite coordinates; rings may turn either way, be closed or not, and leave the image.
    shape : (int, int)
        Height and width of the image.
    """
    mask = np.zeros(shape, bool)
    patch, (top, left) = fill_patch(polygons, shape)
    mask[top : top + patch.shape[0], left : left + patch.shape[1]] = patch
    return mask


def fill_patch(
    polygons: Sequence[Polygon], shape: tuple[int, int]
) -> tuple[NDArray[np.bool_], tuple[int, int]]:
    """Fill polygons as `fill_polygons` does, but return no more than the part they lie in.

    Returns
    -------
    patch : ndarray
        (h, w) bool.
    corner : (int, int)
        Row and column of its first pixel in the image.

    Raises
    ------
    ValueError
        If that part is too large for memory.
    """
    low, high = _extent(polygons, shape)
    height, width = (high - low).tolist()
    if height * width > MOST_PIXELS:
        raise ValueError(
            f"polygons must cover at most {MOST_PIXELS:,} pixels to be filled, got {height} x "
            f"{width}; scale the coordinates down"
        )
    patch = np.zeros((height, width), bool)
    for polygon in polygons:
        inside = [ring - low for ring in polygon.rings if len(ring) > 2]
        if inside:
            first, last = _bounds(inside, patch.shape)
            view = patch[first[0] : last[0], first[1] : last[1]]
            step = max(1, _STRIP // max(1, view.shape[1]))
            for row in range(0, len(view), step):
                strip = view[row : row + step]
                strip |= _fill_rings([ring - first - (row, 0) for ring in inside], strip.shape)
    return patch, (int(low[0]), int(low[1]))


def is_too_large(polygons: Sequence[Polygon], shape: tuple[int, ...] | None) -> bool:
    """Tell whether `fill_patch` refuses polygons, in an image (H, W), or in one that has no end."""
    low, high = _extent(polygons, (2**62, 2**62) if shape is None else shape)
    height, width = (high - low).tolist()
    return bool(height * width > MOST_PIXELS)


def _extent(
    polygons: Sequence[Polygon], shape: tuple[int, ...]
) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """Return the first pixel that polygons may enclose, and one past the last; 0, 0 of none."""
    rings = [ring for polygon in polygons for ring in polygon.rings if len(ring) > 2]
    if not rings:
        return np.zeros(2, np.int64), np.zeros(2, np.int64)
    return _bounds(rings, shape)


def _edges(mask: NDArray[np.bool_]) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """Return the directions of all edges, ascending, and the corners of pixels where they begin.

    Corners are counted row by row, and ascend in each direction.
    """
    height, width = mask.shape
    found: list[list[NDArray[np.int64]]] = [[], [], [], []]
    step = max(1, _STRIP // max(1, width))
    for first in range(0, height, step):
        above = max(0, first - 1)
        rows = mask[above : first + step + 1]
        padded = np.zeros((min(step, height - first) + 2, width + 2), bool)
        padded[above - first + 1 :][: len(rows), 1:-1] = rows
        inner = padded[1:-1, 1:-1]
        outside = padded[:-2, 1:-1], padded[1:-1, 2:], padded[2:, 1:-1], padded[1:-1, :-2]
        for begins, beyond, (down, right) in zip(found, outside, _CORNERS, strict=True):
            pixel = np.flatnonzero(inner & ~beyond)
            # a row has one corner more than it has pixels
            begins.append(pixel + pixel // width + (first + down) * (width + 1) + right)
    counts = [sum(map(len, begins)) for begins in found]
    corners = [np.zeros(0, np.int64), *(part for begins in found for part in begins)]
    return np.repeat(np.arange(4), counts), np.concatenate(corners)


def _follow(
    direction: NDArray[np.int64], corners: NDArray[np.int64], parts: NDArray[np.int32]
) -> tuple[NDArray[np.intp], NDArray[np.bool_]]:
    """Return which edge follows each edge, and whether the outline turns where it begins.

    Where two pixels touch at a corner only, the outline passes from one to the other if they belong
    to one part, which closes the hole between them, and stays with its pixel if not. So no ring
    passes a corner twice.
    """
    stride = parts.shape[1] + 1
    n_corners = (parts.shape[0] + 1) * stride
    edges = direction * n_corners + corners
    end = corners + np.array([1, stride, -1, -stride])[direction]
    wanted = [(direction + turn) % 4 * n_corners + end for turn in range(4)]
    places = [np.searchsorted(edges, key) for key in wanted]
    begins = [
        edges[np.minimum(place, len(edges) - 1)] == key
        for place, key in zip(places, wanted, strict=True)
    ]
    passes = np.zeros(len(edges), bool)
    crossed = np.flatnonzero(np.sum(begins, 0) == 2)
    passes[crossed] = _is_one_part(end[crossed], parts)
    turns_right = begins[_RIGHT_TURN] & ~passes
    turn = np.where(turns_right, _RIGHT_TURN, np.where(begins[_STRAIGHT], _STRAIGHT, _LEFT_TURN))
    following = np.choose(turn, places)
    turns = np.zeros(len(edges), bool)
    turns[following] = turn != _STRAIGHT
    return following, turns


def _is_one_part(corners: NDArray[np.int64], parts: NDArray[np.int32]) -> NDArray[np.bool_]:
    """Tell whether the two pixels that touch at corners belong to one part."""
    row, col = np.divmod(corners, parts.shape[1] + 1)
    first, across = parts[row - 1, col - 1], parts[row, col]
    second, beside = parts[row - 1, col], parts[row, col - 1]
    return np.asarray(((first > 0) & (first == across)) | ((second > 0) & (second == beside)))


def _rings(following: NDArray[np.intp], turns: NDArray[np.bool_]) -> list[list[int]]:
    """Return the rings as lists of the edges at whose beginning they turn."""
    then, is_corner = following.tolist(), turns.tolist()
    seen = bytearray(len(then))
    rings = []
    for first in range(len(then)):
        if seen[first]:
            continue
        ring, edge = [], first
        while not seen[edge]:
            seen[edge] = 1
            if is_corner[edge]:
                ring.append(edge)
            edge = then[edge]
        rings.append(ring)
    return rings


def _signed_area(ring: _Floats) -> float:
    """Return the area of a ring, positive if it turns from x = col to y = row."""
    row, col = (ring - ring[0]).T
    return float(col @ np.roll(row, -1) - row @ np.roll(col, -1)) / 2


def _bounds(
    rings: Sequence[_Floats], shape: tuple[int, ...]
) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """Return the first pixel whose centre rings may enclose, and one past the last, in an image."""
    low = np.min([ring.min(0) for ring in rings], 0)
    high = np.max([ring.max(0) for ring in rings], 0)
    first = np.clip(np.ceil(low), 0, shape).astype(np.int64)
    last = np.clip(np.ceil(high), 0, shape).astype(np.int64)
    return first, np.maximum(first, last)


def _fill_rings(rings: Sequence[_Floats], shape: tuple[int, ...]) -> NDArray[np.bool_]:
    """Fill rings by the even-odd rule: an edge flips all pixels of a row from where it crosses."""
    height, width = shape
    starts = np.concatenate(rings)
    ends = np.concatenate([np.roll(ring, -1, 0) for ring in rings])
    is_down = (starts[:, 0] <= ends[:, 0])[:, None]
    upper, lower = np.where(is_down, starts, ends), np.where(is_down, ends, starts)
    first = np.clip(np.ceil(upper[:, 0]), 0, height).astype(np.int64)
    last = np.clip(np.ceil(lower[:, 0]), 0, height).astype(np.int64)
    lengths = last - first
    before = np.cumsum(lengths) - lengths
    rows = np.repeat(first - before, lengths) + np.arange(int(lengths.sum()))
    fall = lower[:, 0] - upper[:, 0]
    slope = (lower[:, 1] - upper[:, 1]) / np.where(fall > 0, fall, 1)
    crossing = np.repeat(upper[:, 1], lengths) + np.repeat(slope, lengths) * (
        rows - np.repeat(upper[:, 0], lengths)
    )
    cols = np.clip(np.ceil(crossing), 0, width).astype(np.int64)
    flips = np.bincount(rows * (width + 1) + cols, minlength=height * (width + 1))
    crossed = np.cumsum(flips.reshape(height, width + 1)[:, :width], 1)
    return np.asarray(crossed % 2 == 1)
