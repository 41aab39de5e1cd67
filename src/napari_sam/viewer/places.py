"""Where things are: a viewer's world, and the pixels of its layers.

A viewer has one unit for each axis of its world; a layer may have others (µm in a viewer of nm),
and napari's own transforms of a layer speak of the layer's.
"""

from __future__ import annotations

from functools import lru_cache
from typing import TYPE_CHECKING

import numpy as np
import pint
from numpy.typing import ArrayLike, NDArray

if TYPE_CHECKING:
    from napari.components import ViewerModel
    from napari.layers import Layer


def data_at(viewer: ViewerModel, layer: Layer, world: ArrayLike) -> NDArray[np.float64]:
    """Return where a point of a viewer's world lies in a layer's data.

    Parameters
    ----------
    viewer, layer
        Whose world and data.
    world : array_like
        (viewer.dims.ndim,).

    Returns
    -------
    ndarray
        (layer.ndim,), pixels.
    """
    own = np.asarray(world, np.float64)[-layer.ndim :] * _own_units(viewer, layer)
    return np.asarray(layer.world_to_data(own), np.float64)


def world_at(viewer: ViewerModel, layer: Layer, data: ArrayLike) -> NDArray[np.float64]:
    """Return where a place (layer.ndim,) in a layer's data lies in a viewer's world."""
    own = np.asarray(layer.data_to_world(np.asarray(data, np.float64)), np.float64)
    return own / _own_units(viewer, layer)


def _own_units(viewer: ViewerModel, layer: Layer) -> NDArray[np.float64]:
    """Return how many of a layer's units one of the viewer's is, for each of the layer's axes.

    One each where the viewer's layers agree on none, or where a layer has axes of its own.
    """
    units = getattr(viewer.dims, "units", None)
    if units is None or len(units) < layer.ndim:
        return np.ones(layer.ndim)
    return np.array(_ratios(tuple(units[-layer.ndim :]), tuple(layer.units)))


@lru_cache
def _ratios(units: tuple[pint.Unit, ...], others: tuple[pint.Unit, ...]) -> tuple[float, ...]:
    pairs = zip(units, others, strict=True)
    return tuple(float((1.0 * unit).to(other).magnitude) for unit, other in pairs)
