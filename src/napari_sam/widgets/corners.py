"""What a path of the mouse means in a plane: the corners of a box, a lasso or a scribble."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

if TYPE_CHECKING:
    from napari_sam.viewer.layers import Plane
    from napari_sam.widgets.gestures import Path


def ends(path: Path) -> Path:
    """Return the first and the last point of a path, between which a box is drawn."""
    return [path[0], path[-1]]


def rectangle(corners: NDArray[np.float64]) -> NDArray[np.float64]:
    """Return the four corners (4, 2) of the upright box around corners (N, 2)."""
    (top, left), (bottom, right) = corners.min(0), corners.max(0)
    return np.array([[top, left], [top, right], [bottom, right], [bottom, left]])


def thinned(corners: NDArray[np.float64], count: int) -> NDArray[np.float64]:
    """Return at most so many of corners (N, 2), evenly, the ends among them."""
    chosen = np.unique(np.linspace(0, len(corners) - 1, min(count, len(corners))).round())
    return np.asarray(corners[chosen.astype(int)])


def within(points: NDArray[np.float64], plane: Plane) -> NDArray[np.bool_]:
    """Tell which of points (N, 2), (row, col), lie on the pixels of a plane."""
    return np.asarray(((points >= -0.5) & (points <= np.array(plane.shape) - 0.5)).all(1))


def meets(corners: NDArray[np.float64], plane: Plane) -> bool:
    """Tell whether the upright box around corners (N, 2) has a part of a plane in it."""
    low, high = corners.min(0), corners.max(0)
    return bool((high >= -0.5).all() and (low <= np.array(plane.shape) - 0.5).all())
