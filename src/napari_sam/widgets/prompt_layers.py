"""The layers that a person clicks and draws in, made to fit an image."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from napari_sam.viewer.entries import ObjectPrompts
from napari_sam.viewer.layers import (
    LABEL_COLUMN,
    NEGATIVE,
    POSITIVE,
    Plane,
    camera_of,
    level_0,
    placement,
    prompts_from_points,
    read_shapes,
    to_data,
)
from napari_sam.viewer.napari_private import changed_at_once, unwrapped

if TYPE_CHECKING:
    from napari.components import ViewerModel
    from napari.layers import Image, Points, Shapes

    from napari_sam.widgets.prompt_looks import PromptLooks

POINTS_NAME = "SAM points"
BOXES_NAME = "SAM boxes"
POINT_PIXELS = (5, 14)
"""Least and most of a point's diameter on the screen: it is seen, and hides no small object."""
_EDGE_PIXELS = 2.0
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
            canvas_size_limits=POINT_PIXELS,
            **placement(image),
        )
    )
    set_polarity(layer, POSITIVE)
    layer.mode = "add"
    return layer


def add_boxes_layer(viewer: ViewerModel, image: Image) -> Shapes:
    """Add an empty Shapes layer for boxes and lassos, ready for drawing."""
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
    if LABEL_COLUMN not in points.features:
        points.features = points.features.assign(**{LABEL_COLUMN: POSITIVE})
    points.feature_defaults = points.feature_defaults.assign(**{LABEL_COLUMN: polarity})
    points.current_face_color = COLOURS[polarity]


def polarity_of(points: Points) -> str:
    """Return what the next point will be."""
    if LABEL_COLUMN not in points.feature_defaults:
        return POSITIVE
    return str(points.feature_defaults[LABEL_COLUMN].iloc[0])


def add_point(
    viewer: ViewerModel,
    points: Points,
    image: Image,
    place: NDArray[np.floating],
    *,
    inside: bool,
) -> None:
    """Add a point at image data coordinates (ndim,); the next point's polarity stays as it is."""
    polarity = polarity_of(points)
    wanted = POSITIVE if inside else NEGATIVE
    with changed_at_once(points):
        if wanted != polarity:
            set_polarity(points, wanted)
        points.add(to_data(viewer, points, image, place[None])[0])
        if wanted != polarity:
            set_polarity(points, polarity)


def show_prompts(
    viewer: ViewerModel,
    image: Image,
    points: Points | None,
    shapes: Shapes | None,
    prompts: ObjectPrompts,
    looks: PromptLooks,
) -> None:
    """Make the layers say on their plane what prompts say, beside what they say already."""
    plane = prompts.plane
    if plane is None:
        return
    if points is not None:
        looks.add(points, lambda: _add_points(viewer, points, image, prompts, plane))
        points.selected_data = set()
    if shapes is not None:
        looks.add(shapes, lambda: _add_shapes(viewer, shapes, image, prompts, plane))
        shapes.selected_data = set()


def _add_points(
    viewer: ViewerModel, points: Points, image: Image, prompts: ObjectPrompts, plane: Plane
) -> None:
    for row, col, inside in prompts.points:
        (place,) = plane.lifted(np.array([[row, col]]))
        add_point(viewer, points, image, place, inside=bool(inside))


def _add_shapes(
    viewer: ViewerModel, shapes: Shapes, image: Image, prompts: ObjectPrompts, plane: Plane
) -> None:
    if prompts.box is not None:
        top, left, bottom, right = prompts.box
        corners = np.array([[top, left], [top, right], [bottom, right], [bottom, left]])
        add_shape(viewer, shapes, image, plane.lifted(corners), "rectangle")
    if prompts.outline:
        add_shape(viewer, shapes, image, plane.lifted(np.array(prompts.outline)), "polygon")


def add_shape(
    viewer: ViewerModel,
    shapes: Shapes,
    image: Image,
    corners: NDArray[np.floating],
    kind: str,
    width: float | None = None,
) -> None:
    """Add a shape with corners (N, ndim) in image data coordinates, with edges of a width.

    The width is in data coordinates of the Shapes layer; by default it is the layer's own.
    """
    shapes.add(to_data(viewer, shapes, image, corners), shape_type=kind, edge_width=width)


def edge_width(viewer: ViewerModel, shapes: Shapes) -> float:
    """Return how wide edges are, in data coordinates, that look the same at every zoom."""
    pixel = float(np.abs(shapes.scale[-2:]).mean()) * float(camera_of(viewer).zoom)
    return _EDGE_PIXELS / pixel if pixel > 0 else _EDGE_PIXELS


def remove_prompts(
    viewer: ViewerModel,
    image: Image,
    points: Points | None,
    shapes: Shapes | None,
    plane: Plane,
    looks: PromptLooks,
) -> None:
    """Remove what lies on a plane of an image from the layers."""
    if points is not None:
        indices = prompts_from_points(viewer, image, points, plane)[-1]
        if len(indices):
            with changed_at_once(points):
                looks.remove(points, indices)
    if shapes is not None:
        looks.remove(shapes, read_shapes(viewer, image, shapes, plane).indices)


def _point_size(image: Image) -> float:
    sides = sorted(level_0(image).shape[: image.ndim])[-2:]
    return float(np.clip(min(sides) / 50, 2, 40))
