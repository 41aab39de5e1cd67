"""The only place that touches what napari does not document, each with a public way beside it."""

from __future__ import annotations

from typing import Any, TypeVar

import numpy as np
from numpy.typing import NDArray

T = TypeVar("T")


def unwrapped(value: T) -> T:
    """Return a viewer or layer without the proxy that napari hands to plugins.

    Proxies compare unequal to what they stand for; identity matters when layers are looked up.
    """
    plain: T = getattr(value, "__wrapped__", value)
    return plain


def paint(
    layer: Any,
    slices: tuple[slice, ...],
    mask: NDArray[np.bool_],
    value: int,
    axes: tuple[int, int],
) -> None:
    """Paint pixels of a Labels layer as one undoable step, redrawing only their region.

    Parameters
    ----------
    layer : napari.layers.Labels
        Editable.
    slices : tuple of slice
        One for each axis of the data; of length 1 on the axes that are not painted.
    mask : ndarray
        (h, w) bool: which pixels of the region.
    value : int
        The label.
    axes : (int, int)
        The data axes of the mask's rows and columns, rising.
    """
    layer = unwrapped(layer)
    paint_region = getattr(layer, "_paint_region_with_mask", None)
    if paint_region is not None:
        preserved, layer.preserve_labels = layer.preserve_labels, False
        try:
            paint_region(slices, mask, value, list(axes))
        finally:
            layer.preserve_labels = preserved
        return
    found = dict(zip(axes, np.nonzero(mask), strict=True))
    indices = tuple(
        found[axis] + part.start if axis in found else np.full(mask.sum(), part.start)
        for axis, part in enumerate(slices)
    )
    layer.data_setitem(indices, value)
