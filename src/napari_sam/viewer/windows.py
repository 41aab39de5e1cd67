"""Which part of a large plane the network looks at for some prompts.

An image much larger than the network's input is not embedded as a whole: small objects would
vanish, or the work would not end. Windows lie on a grid of half their side, so that what lies near
the prompts is well inside, and neighbouring clicks share an embedding. Who looks at more of the
plane than the network sees well gets windows of twice the side, and so on, at half the resolution.
"""

from __future__ import annotations

import math

from napari_sam.segmentation.tiles import LARGE, Extent, Tile, side_around, tile_around


def window_around(
    extent: Extent | None, shape: tuple[int, int], field_of_view: int | None, zoom: int = 0
) -> Tile | None:
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
    Tile or None
        None where the plane is seen as a whole. Prompts that span more than half the field of view
        get a window of twice the side, and so on.
    """
    if field_of_view is None or max(shape) <= LARGE * field_of_view * 2**zoom:
        return None
    row, col = (shape[0] - 1) / 2, (shape[1] - 1) / 2
    extent = extent or (row, col, row, col)
    side = int(side_around(extent, shape, field_of_view * 2**zoom))
    if max(shape) <= LARGE * side:
        return None
    return tile_around(extent, shape, side, steps=2)


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
