"""Which part of a large plane the network looks at for some prompts.

An image much larger than the network's input is not embedded as a whole: small objects would
vanish, or the work would not end. Windows lie on a grid of half their side, so that what lies near
the prompts is well inside, and neighbouring clicks share an embedding. Who looks at more of the
plane than the network sees well gets windows of twice the side, and so on, at half the resolution.
"""

from __future__ import annotations

import math
from typing import NamedTuple

import numpy as np

from napari_sam.segmentation.tiles import LARGE

Extent = tuple[float, float, float, float]


class Window(NamedTuple):
    """A part of a plane, pixels."""

    top: int
    left: int
    height: int
    width: int

    @property
    def region(self) -> tuple[slice, slice]:
        """Rows and columns."""
        return slice(self.top, self.top + self.height), slice(self.left, self.left + self.width)


def window_around(
    extent: Extent | None, shape: tuple[int, int], field_of_view: int | None, zoom: int = 0
) -> Window | None:
    """Choose the window for prompts.

    Parameters
    ----------
    extent : (row_min, col_min, row_max, col_max) or None
        Bounds of the prompts; None takes the middle of the plane.
    shape : (int, int)
        Of the plane.
    field_of_view : int or None
        Side of what the network sees well, pixels; None sees planes of any size as a whole.
    zoom : int
        How many times the side is doubled; see `zoom_of`.

    Returns
    -------
    Window or None
        None where the plane is seen as a whole. Prompts that span more than half the field of view
        get a window of twice the side, and so on.
    """
    if field_of_view is None or max(shape) <= LARGE * field_of_view * 2**zoom:
        return None
    middle = ((shape[0] - 1) / 2, (shape[1] - 1) / 2) * 2
    low_row, low_col, high_row, high_col = middle if extent is None else extent
    side = field_of_view * 2**zoom
    while max(high_row - low_row, high_col - low_col) > side / 2 and side < max(shape):
        side *= 2
    if max(shape) <= LARGE * side:
        return None
    top, height = _place((low_row + high_row) / 2, shape[0], side)
    left, width = _place((low_col + high_col) / 2, shape[1], side)
    return Window(top, left, height, width)


def zoom_of(seen: float | None, field_of_view: int | None) -> int:
    """Return how many times the field of view is doubled to be as wide as what a person looks at.

    Parameters
    ----------
    seen : float or None
        Longer side of what the canvas shows, pixels; None where there is no canvas.
    field_of_view : int or None
        As in `window_around`.

    Returns
    -------
    int
        0 or more; a change of zoom by less than half or twice mostly changes nothing.
    """
    if not seen or not field_of_view:
        return 0
    return max(0, round(math.log2(seen / field_of_view)))


def _place(centre: float, length: int, side: int) -> tuple[int, int]:
    """Return start and length of the window on the half-side grid whose middle is nearest."""
    if length <= side:
        return 0, length
    step = side // 2
    starts = np.append(np.arange(0, length - side, step), length - side)
    nearest = starts[np.abs(starts + (side - 1) / 2 - centre).argmin()]
    return int(nearest), side
