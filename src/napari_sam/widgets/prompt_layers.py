"""The layers that a person clicks and draws in, made to fit an image."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Any

import numpy as np

from napari_sam.viewer.layers import LABEL_COLUMN, NEGATIVE, POSITIVE, level_0, placement
from napari_sam.viewer.napari_private import unwrapped

if TYPE_CHECKING:
    from napari.components import ViewerModel
    from napari.layers import Image, Points, Shapes

POINTS_NAME = "SAM points"
BOXES_NAME = "SAM boxes"
COLOURS = {POSITIVE: "#2ecc71", NEGATIVE: "#ff4d4d"}


def add_points_layer(viewer: ViewerModel, image: Image) -> Points:
    """Add an empty Points layer for prompts, ready for clicks."""
    layer = unwrapped(
        viewer.add_points(
            np.empty((0, image.ndim)),
            ndim=image.ndim,
            name=POINTS_NAME,
            features={LABEL_COLUMN: np.array([], dtype=object)},
            feature_defaults={LABEL_COLUMN: POSITIVE},
            face_color=COLOURS[POSITIVE],
            border_color="white",
            size=_point_size(image),
            **placement(image),
        )
    )
    set_polarity(layer, POSITIVE)
    layer.mode = "add"
    return layer


def add_boxes_layer(viewer: ViewerModel, image: Image) -> Shapes:
    """Add an empty Shapes layer for boxes, ready for drawing."""
    layer = unwrapped(
        viewer.add_shapes(
            ndim=image.ndim,
            name=BOXES_NAME,
            face_color="#00000000",
            edge_color="#ffd400",
            edge_width=max(1.0, _point_size(image) / 4),
            **placement(image),
        )
    )
    layer.mode = "add_rectangle"
    return layer


def set_polarity(points: Points, polarity: str) -> None:
    """Make the next points positive or negative; points that are there stay as they are."""
    points.selected_data = set()
    points.feature_defaults = {LABEL_COLUMN: polarity}
    points.current_face_color = COLOURS[polarity]


def polarity_of(points: Points) -> str:
    """Return what the next point will be."""
    if LABEL_COLUMN not in points.feature_defaults:
        return POSITIVE
    return str(points.feature_defaults[LABEL_COLUMN].iloc[0])


def bind_keys(layer: Points | Shapes, keys: dict[str, Callable[[], object]]) -> None:
    """Bind keys on a layer, never on the viewer."""
    for key, call in keys.items():
        layer.bind_key(key, _called(call), overwrite=True)


def _called(call: Callable[[], object]) -> Callable[[Any], None]:
    def on_key(_: Any) -> None:
        call()

    return on_key


def _point_size(image: Image) -> float:
    sides = sorted(level_0(image).shape[: image.ndim])[-2:]
    return float(np.clip(min(sides) / 50, 2, 40))
