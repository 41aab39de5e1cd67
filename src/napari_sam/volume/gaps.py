"""Objects that vanish for a slice or two are drawn there, by their shapes below and above."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy import ndimage

Labels = NDArray[np.uint32]

_FREE = 0.5
"""Where less of a shape is background, something else stands in its place, and it isn't drawn."""


@dataclass(frozen=True, kw_only=True)
class Bridge:
    """An object that is missing from a block and stands in blocks of the same tile around it.

    Attributes
    ----------
    lower_block, upper_block : int
        The last block with it below, and the first above.
    lower_id, upper_id : int
        Its ids in them.
    share : float
        How far up the block lies between both, in 0 ... 1.
    object_id : int
        Its id in the volume.
    """

    lower_block: int
    lower_id: int
    upper_block: int
    upper_id: int
    share: float
    object_id: int


def fill_gaps(
    plane: Labels, bridges: Sequence[Bridge], read_block: Callable[[int], Labels]
) -> Labels:
    """Draw the objects that are missing from a plane, on background only.

    Parameters
    ----------
    plane : ndarray
        (h, w) uint32 final ids of the block's read region.
    bridges : sequence of Bridge
        Those of the block, `LinkedIds.bridges_of`; the first keeps pixels that two would take.
    read_block : callable
        Returns the labels of a block with its own ids, (h, w).

    Returns
    -------
    ndarray
        (h, w) uint32; `plane` itself where there is nothing to draw.
    """
    if not bridges:
        return plane
    blocks = {block for bridge in bridges for block in (bridge.lower_block, bridge.upper_block)}
    labels = {block: read_block(block) for block in sorted(blocks)}
    filled, background = plane.copy(), plane == 0
    for bridge in bridges:
        lower = labels[bridge.lower_block] == bridge.lower_id
        upper = labels[bridge.upper_block] == bridge.upper_id
        shape = shape_between(lower, upper, bridge.share)
        free = shape & background
        if free.sum() >= _FREE * shape.sum():
            filled[free & (filled == 0)] = bridge.object_id
    return filled


def shape_between(
    lower: NDArray[np.bool_], upper: NDArray[np.bool_], share: float
) -> NDArray[np.bool_]:
    """Interpolate between two masks.

    Parameters
    ----------
    lower, upper : ndarray
        (h, w) bool.
    share : float
        0 is the lower mask, 1 the upper one.

    Returns
    -------
    ndarray
        (h, w) bool, where the mean of their signed distances is positive.
    """
    found = ndimage.find_objects((lower | upper).astype(np.uint8))
    shape = np.zeros(lower.shape, bool)
    if found:
        low, high = (_signed_distance(mask[found[0]]) for mask in (lower, upper))
        shape[found[0]] = (1 - share) * low + share * high > 0
    return shape


def _signed_distance(mask: NDArray[np.bool_]) -> NDArray[np.float64]:
    """Return distances to the rim (h, w), pixels: half a pixel next to it, negative outside.

    All around lies outside, also beyond the edge of the plane.
    """
    padded = np.pad(mask, 1)
    inside = ndimage.distance_transform_edt(padded)[1:-1, 1:-1]
    outside = ndimage.distance_transform_edt(~mask) if mask.any() else np.full(mask.shape, np.inf)
    distance: NDArray[np.float64] = np.where(mask, inside - 0.5, 0.5 - outside)
    return distance
