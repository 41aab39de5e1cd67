"""How a large image is cut into overlapping tiles.

Objects set the scale: a tile shows as much as the network sees well, and neighbours overlap by
three objects, so that an object of up to twice the usual size that a tile cuts lies whole in the
next one, well inside.
"""

from __future__ import annotations

import math
from typing import NamedTuple

import numpy as np
from numpy.typing import ArrayLike, NDArray

LARGE = 1.5
"""Images up to so many times the field of view are seen as a whole."""
_OVERLAP = 3.0
"""Of neighbouring tiles, object diameters."""
_SHARE = 4
"""Where no diameter is known, tiles overlap by one so-many-th of their side."""


Extent = tuple[float, float, float, float]
"""Bounds (row_min, col_min, row_max, col_max), pixels."""


class Tile(NamedTuple):
    """A part of an image, pixels."""

    top: int
    left: int
    height: int
    width: int

    @property
    def bottom(self) -> int:
        """One past its last row."""
        return self.top + self.height

    @property
    def right(self) -> int:
        """One past its last column."""
        return self.left + self.width

    @property
    def box(self) -> tuple[int, int, int, int]:
        """(row_min, col_min, row_max, col_max), the last two one past."""
        return self.top, self.left, self.bottom, self.right

    @property
    def region(self) -> tuple[slice, slice]:
        """Rows and columns."""
        return slice(self.top, self.bottom), slice(self.left, self.right)

    def depths(self, boxes: ArrayLike, shape: tuple[int, int]) -> NDArray[np.float64]:
        """Tell how deep boxes lie in the tile.

        Parameters
        ----------
        boxes : array-like
            (N, 4) in pixels of the image, (row_min, col_min, row_max, col_max), the last two one
            past.
        shape : (int, int)
            Of the image; its own edges cut nothing.

        Returns
        -------
        ndarray
            (N,) distance to the nearest edge inside the image, pixels: 0 where a box touches one,
            and less where it ends beyond; infinite in a tile without such an edge.
        """
        boxes = np.asarray(boxes, np.float64).reshape(-1, 4)
        low, high = boxes[:, :2] - self.box[:2], self.box[2:] - boxes[:, 2:]
        low[:, np.array(self.box[:2]) == 0] = np.inf
        high[:, np.array(self.box[2:]) == shape] = np.inf
        nearest: NDArray[np.float64] = np.minimum(low, high).min(1)
        return nearest


def side_around(extent: Extent, shape: tuple[int, int], side: float) -> float:
    """Double a side until what is around an extent shows it well inside, or the whole image."""
    top, left, bottom, right = extent
    while max(bottom - top, right - left) > side / 2 and side < max(shape):
        side *= 2
    return side


def tile_around(extent: Extent, shape: tuple[int, int], side: int, *, steps: int) -> Tile:
    """Choose the tile of a grid whose middle is nearest to that of an extent.

    Parameters
    ----------
    extent : (row_min, col_min, row_max, col_max)
        What the tile is for.
    shape : (int, int)
        Of the image.
    side : int
        Of the tile, pixels; an axis that is shorter is taken whole.
    steps : int
        Of the grid on a side: what lies near has a tile in common.
    """
    top, left, bottom, right = extent
    row, height = _placed((top + bottom) / 2, shape[0], side, steps)
    col, width = _placed((left + right) / 2, shape[1], side, steps)
    return Tile(row, col, height, width)


def _placed(centre: float, length: int, side: int, steps: int) -> tuple[int, int]:
    """Return start and length of a span on an axis of the grid."""
    if length <= side:
        return 0, length
    step = max(1, side // steps)
    start = round((centre - side / 2) / step) * step
    return min(max(0, start), length - side), side


def tile_overlap(side: int, object_diameter: float | None) -> int:
    """Return how many pixels neighbouring tiles of a side share at least, pixels."""
    if object_diameter is None:
        return side // _SHARE
    return min(math.ceil(_OVERLAP * object_diameter), side // 2)


def plan_tiles(shape: tuple[int, int], side: int, overlap: int) -> list[Tile]:
    """Cut an image into tiles.

    Parameters
    ----------
    shape : (int, int)
        Height and width of the image.
    side : int
        Of a tile, pixels; sides of the image that are shorter are not cut. 0 cuts nothing.
    overlap : int
        What neighbours share at least, pixels; less than `side`.

    Returns
    -------
    list of Tile
        Row by row; all of one size, evenly spaced, covering the image.

    Raises
    ------
    ValueError
        If side or overlap is negative, or the overlap is not less than the side.
    """
    if side < 0 or overlap < 0 or (side and overlap >= side):
        raise ValueError(
            f"Tiles must overlap by less than their side, got side {side} and overlap {overlap}"
        )
    (tops, height), (lefts, width) = (_starts(length, side, overlap) for length in shape)
    return [Tile(top, left, height, width) for top in tops for left in lefts]


def _starts(length: int, side: int, overlap: int) -> tuple[list[int], int]:
    """Return where tiles start along a side of the image, and how long they are."""
    if not side or length <= side:
        return [0], length
    count = math.ceil((length - overlap) / (side - overlap))
    starts = np.linspace(0, length - side, count).round().astype(int)
    return starts.tolist(), side
