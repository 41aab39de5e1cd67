"""What points and shapes were beside their place, for when undo brings them back."""

from __future__ import annotations

import weakref
from collections.abc import Callable, Iterable
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import ArrayLike

from napari_sam.viewer.layers import LABEL_COLUMN

if TYPE_CHECKING:
    from napari.layers import Points, Shapes

_COLOURS = ("face_color", "border_color", "edge_color")
_OTHERS = ("size", "symbol", "edge_width")
_DECIMALS = 3

_Place = tuple[float, ...]


class PromptLooks:
    """Remembers features, sizes and colours of prompts that are taken out of their layers.

    A layer of one's own may hold more than places; what comes back to a place looks as what was
    taken from there. Whether it is part of the object is said by what comes back.
    """

    def __init__(self) -> None:
        self._taken: weakref.WeakKeyDictionary[Any, dict[_Place, dict[str, Any]]] = (
            weakref.WeakKeyDictionary()
        )

    def remove(self, layer: Points | Shapes, indices: Iterable[int]) -> None:
        """Take prompts out of their layer."""
        chosen = [int(index) for index in indices]
        if not chosen:
            return
        taken = self._taken.setdefault(layer, {})
        values = {name: getattr(layer, name) for name in _named(layer)}
        for index in chosen:
            look = {name: value[index] for name, value in values.items()}
            look["features"] = layer.features.iloc[index]
            taken[_place(layer.data[index])] = look
        layer.remove(chosen)  # not as a selection, which the next prompts would look like

    def add(self, layer: Points | Shapes, add: Callable[[], object]) -> None:
        """Let `add` add prompts to a layer; those that were there before look as they did."""
        first = len(layer.data)
        add()
        taken = self._taken.get(layer, {})
        looks = {
            index: taken.pop(place)
            for index in range(first, len(layer.data))
            if (place := _place(layer.data[index])) in taken
        }
        if not looks:
            return
        _restore_features(layer, {index: look["features"] for index, look in looks.items()})
        for name in _named(layer):
            values = list(getattr(layer, name))
            for index, look in looks.items():
                values[index] = look.get(name, values[index])
            setattr(layer, name, values)


def _named(layer: Points | Shapes) -> list[str]:
    """Return the attributes with a value for each prompt; colours that follow features do so."""
    direct = (name for name in _COLOURS if getattr(layer, f"{name}_mode", "") == "direct")
    return [*direct, *(name for name in _OTHERS if hasattr(layer, name))]


def _place(data: ArrayLike) -> _Place:
    """Return the bounds of a point (D,) or of corners (N, D)."""
    corners = np.atleast_2d(np.asarray(data, float)).round(_DECIMALS)
    return (*corners.min(0).tolist(), *corners.max(0).tolist())


def _restore_features(layer: Points | Shapes, rows: dict[int, Any]) -> None:
    features, defaults = layer.features.copy(), layer.feature_defaults
    for index, row in rows.items():
        for name in features.columns.intersection(row.index).drop(LABEL_COLUMN, errors="ignore"):
            features.loc[features.index[index], name] = row[name]
    layer.features = features
    layer.feature_defaults = defaults  # which napari makes anew
