"""What the viewer shows, as numbers: planes, coordinates, prompts; and masks into Labels layers.

Everything here reads layers through their public transforms, so that scale, translation, rotation,
pyramids, time and any order of the displayed axes come out right.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, TypeVar

import numpy as np
from numpy.typing import NDArray

from napari_sam.viewer.napari_private import canvas_size, unwrapped
from napari_sam.viewer.places import data_at, world_at

if TYPE_CHECKING:
    from napari.components import ViewerModel
    from napari.layers import Image, Labels, Layer, Points, Shapes

Kind = TypeVar("Kind", bound="Layer")
LABEL_COLUMN = "prompt"
POSITIVE, NEGATIVE = "positive", "negative"


@dataclass(frozen=True, kw_only=True)
class Plane:
    """A two-dimensional cut through a layer's data.

    Attributes
    ----------
    index : tuple of int or None
        One for each axis of the data; None on the two axes of the plane.
    shape : (int, int)
        Rows and columns.
    """

    index: tuple[int | None, ...]
    shape: tuple[int, int]

    @property
    def axes(self) -> tuple[int, int]:
        """The data axes of rows and columns."""
        row, col = (axis for axis, position in enumerate(self.index) if position is None)
        return row, col

    @property
    def selection(self) -> tuple[int | slice, ...]:
        """What to index an array with."""
        return tuple(slice(None) if position is None else position for position in self.index)

    def in_plane(self, coordinates: NDArray[np.floating]) -> NDArray[np.float64]:
        """Return the (row, col) of data coordinates (N, ndim)."""
        return np.asarray(coordinates, np.float64)[:, self.axes]

    def contains(self, coordinates: NDArray[np.floating]) -> NDArray[np.bool_]:
        """Tell which of data coordinates (N, ndim) lie in the plane: it is the nearest to them."""
        fixed = [axis for axis, position in enumerate(self.index) if position is not None]
        wanted = np.array([self.index[axis] for axis in fixed], np.float64)
        return np.asarray((np.round(coordinates[:, fixed]) == wanted).all(1))

    def onto(self, coordinates: NDArray[np.floating]) -> NDArray[np.float64]:
        """Move data coordinates (N, ndim) along the fixed axes into the plane."""
        return self.lifted(self.in_plane(coordinates))

    def lifted(self, points: NDArray[np.floating]) -> NDArray[np.float64]:
        """Return data coordinates (N, ndim) of points (N, 2) in the plane."""
        full = np.zeros((len(points), len(self.index)))
        for axis, position in enumerate(self.index):
            if position is not None:
                full[:, axis] = position
        full[:, self.axes] = points
        return full


def checked_layer(layer: Any, kind: type[Kind]) -> Kind:
    """Return a layer of a kind without napari's proxy; TypeError for anything else."""
    plain = unwrapped(layer)
    if not isinstance(plain, kind):
        raise TypeError(
            f"Expected a layer of type {kind.__name__}, as viewer.layers[...] gives it, got "
            f"{type(plain).__name__}"
        )
    return plain


def level_0(layer: Image | Labels) -> Any:
    """Return a layer's array at full resolution (numpy, dask, zarr, ...)."""
    return layer.data[0] if layer.multiscale else layer.data


def levels_of(layer: Image) -> tuple[Any, ...]:
    """Return the arrays of a layer's pyramid, the finest first; its only one for other layers."""
    return tuple(layer.data) if layer.multiscale else (layer.data,)


def shown_plane(viewer: ViewerModel, layer: Image | Labels) -> Plane:
    """Return the plane of a layer that the viewer shows.

    Raises
    ------
    ValueError
        In the 3D view, or where the layer has not both displayed axes, or where the viewer stands
        beside the layer.
    """
    dims = viewer.dims
    if dims.ndisplay != 2:
        raise ValueError("Prompts work on slices: switch the viewer to 2D")
    shape = tuple(level_0(layer).shape)[: layer.ndim]
    displayed = sorted(axis - (dims.ndim - layer.ndim) for axis in dims.displayed)
    if displayed[0] < 0:
        raise ValueError(f"Layer {layer.name!r} does not have both of the displayed axes")
    point = np.array(dims.point, np.float64)
    point[list(dims.displayed)] = 0  # as napari slices: what is displayed has no say in the slice
    position = data_at(viewer, layer, point)
    index: list[int | None] = []
    for axis, length in enumerate(shape):
        if axis in displayed:
            index.append(None)
            continue
        step = round(float(position[axis]))
        if not 0 <= step < length:
            raise ValueError(
                f"The viewer stands at {step} on axis {axis}, outside layer {layer.name!r} "
                f"(0 to {length - 1}); move the slider"
            )
        index.append(step)
    return Plane(index=tuple(index), shape=(shape[displayed[0]], shape[displayed[1]]))


def plane_in_view(viewer: ViewerModel, layer: Image | Labels | None) -> Plane | None:
    """Return the plane of a layer that the viewer shows, None where `shown_plane` raises."""
    try:
        return None if layer is None else shown_plane(viewer, layer)
    except ValueError:
        return None


def visible_part(layer: Image, plane: Plane) -> tuple[tuple[int, int], tuple[int, int]]:
    """Return first and one past the last row, then column, of a plane that the canvas shows."""
    corners = np.asarray(layer.corner_pixels, np.float64)
    if layer.multiscale:
        corners = corners * np.asarray(layer.downsample_factors)[layer.data_level]
    sides = []
    for axis, length in zip(plane.axes, plane.shape, strict=True):
        low = int(np.clip(np.floor(corners[0, axis]), 0, length - 1))
        high = int(np.clip(np.ceil(corners[1, axis]) + 1, low + 1, length))
        sides.append((low, high) if corners[1, axis] > 0 else (0, length))
    return sides[0], sides[1]


def camera_of(viewer: ViewerModel) -> Any:
    """Return a viewer's camera, which napari 0.9 moved into its scene."""
    return getattr(viewer, "scene", viewer).camera


def visible_side(viewer: ViewerModel, layer: Image, plane: Plane) -> float | None:
    """Return the longer side of what the canvas shows of a plane, pixels of the plane.

    It follows from the camera's zoom alone, so that moving about changes nothing. None where no
    canvas has drawn the layer, as in a script.
    """
    size = canvas_size(viewer)
    zoom = float(camera_of(viewer).zoom)
    is_drawn = layer.scale_factor != 1.0 or zoom == 1.0
    if size is None or not is_drawn:
        return None
    point = np.array(viewer.dims.point, np.float64)
    here = data_at(viewer, layer, point)
    sides = []
    for axis, length in zip(viewer.dims.displayed[-2:], size, strict=True):
        there = point.copy()
        there[axis] += length / zoom
        along = data_at(viewer, layer, there) - here
        sides.append(np.abs(along[list(plane.axes)]))
    return float(np.minimum(np.max(sides, axis=0), plane.shape).max())


def visible_centre(viewer: ViewerModel, layer: Image, plane: Plane) -> tuple[float, float]:
    """Return the (row, col) of a plane that the camera looks at, or the nearest one inside."""
    point = np.array(viewer.dims.point, np.float64)
    centre = camera_of(viewer).center[-2:]
    for axis, at in zip(viewer.dims.displayed[-2:], centre, strict=True):
        point[axis] = at
    here = data_at(viewer, layer, point)
    row, col = here[list(plane.axes)].clip(0, np.array(plane.shape) - 1)
    return float(row), float(col)


def read_array(
    array: Any, plane: Plane, part: tuple[slice, slice] = (slice(None), slice(None))
) -> NDArray[Any]:
    """Read a plane (H, W), or (H, W, 3 or 4) of colour, or a part of its rows and columns.

    Of any array that numpy can take in; slow: not for the GUI thread.
    """
    selection = list(plane.selection)
    for axis, along in zip(plane.axes, part, strict=True):
        selection[axis] = along
    return np.asarray(array[tuple(selection)])


def to_data(
    viewer: ViewerModel, target: Layer, source: Layer, coordinates: NDArray[np.floating]
) -> NDArray[np.float64]:
    """Map coordinates of one layer's data to those of another.

    Parameters
    ----------
    viewer : ViewerModel
        Its position fills the axes that `source` does not have.
    target, source : Layer
        Any layers of the viewer.
    coordinates : ndarray
        (N, source.ndim).

    Returns
    -------
    ndarray
        (N, target.ndim).
    """
    mapped = np.zeros((len(coordinates), target.ndim))
    for row, point in enumerate(coordinates):
        world = np.array(viewer.dims.point, np.float64)
        world[len(world) - source.ndim :] = world_at(viewer, source, point)
        mapped[row] = data_at(viewer, target, world)
    return mapped


def prompts_from_points(
    viewer: ViewerModel, image: Image, points: Points, plane: Plane
) -> tuple[NDArray[np.float64], NDArray[np.int64], NDArray[np.intp]]:
    """Read a Points layer as prompts.

    Returns
    -------
    points : ndarray
        (N, 2) coordinates (row, col) in the plane.
    labels : ndarray
        (N,) 0 where the layer's feature ``prompt`` says negative, else 1.
    indices : ndarray
        (N,) which points of the layer these are.
    """
    coordinates = to_data(viewer, image, points, np.asarray(points.data).reshape(-1, points.ndim))
    (indices,) = np.nonzero(plane.contains(coordinates))
    labels = np.ones(len(indices), np.int64)
    if LABEL_COLUMN in points.features:
        kinds = points.features[LABEL_COLUMN].to_numpy()[indices]
        labels = np.where(kinds == NEGATIVE, 0, 1).astype(np.int64)
    return plane.in_plane(coordinates[indices]), labels, indices


@dataclass(frozen=True, kw_only=True, eq=False)
class DrawnShapes:
    """The shapes of a Shapes layer that lie in a plane, as (row, col) in its pixels.

    Attributes
    ----------
    boxes : list of ndarray
        (4,) (row_min, col_min, row_max, col_max) of rectangles and ellipses, cut to the plane.
    outlines : list of ndarray
        (N, 2) corners of polygons.
    lines : list of ndarray
        (N, 2) corners of lines and paths.
    indices : ndarray
        (n,) which shapes of the layer these are.
    """

    boxes: list[NDArray[np.float64]]
    outlines: list[NDArray[np.float64]]
    lines: list[NDArray[np.float64]]
    indices: NDArray[np.intp]


def read_shapes(viewer: ViewerModel, image: Image, shapes: Shapes, plane: Plane) -> DrawnShapes:
    """Read the shapes of a layer that lie in a plane of an image."""
    boxes, outlines, lines, indices = [], [], [], []
    limit = np.array(plane.shape) - 1.0
    for index, (kind, corners) in enumerate(zip(shapes.shape_type, shapes.data, strict=True)):
        there = to_data(viewer, image, shapes, np.asarray(corners))
        if not plane.contains(there).all():
            continue
        flat = plane.in_plane(there)
        indices.append(index)
        if kind == "polygon":
            outlines.append(flat)
        elif kind in ("line", "path"):
            lines.append(flat)
        else:
            low, high = flat.min(0).clip(0, limit), flat.max(0).clip(0, limit)
            boxes.append(np.concatenate([low, high]))
    return DrawnShapes(
        boxes=boxes, outlines=outlines, lines=lines, indices=np.array(indices, np.intp)
    )


def plane_affine(layer: Image, plane: Plane) -> NDArray[np.float64]:
    """Return the affine (ndim + 1, ndim + 1) of a one-plane layer that lies on a plane of `layer`.

    Its data have the layer's axes, of length 1 where the plane is fixed.
    """
    return _affine_at(layer, _first_pixel(plane))


def _first_pixel(plane: Plane) -> NDArray[np.float64]:
    return np.array([0 if position is None else position for position in plane.index], float)


def _affine_at(layer: Image, start: NDArray[np.float64]) -> NDArray[np.float64]:
    """Return the affine (ndim + 1, ndim + 1) of a layer whose data begin at a place in `layer`."""
    ndim = layer.ndim
    origin = np.asarray(layer.data_to_world(start), np.float64)
    matrix = np.eye(ndim + 1)
    matrix[:ndim, ndim] = origin
    for axis in range(ndim):
        step = start.copy()
        step[axis] += 1
        matrix[:ndim, axis] = np.asarray(layer.data_to_world(step), np.float64) - origin
    return matrix


def placement(image: Image) -> dict[str, Any]:
    """Return the options that put a new layer of an image's dimensions where the image lies."""
    names = ("scale", "translate", "rotate", "shear", "affine", "units")
    return {name: getattr(image, name) for name in names}


def last_axes_placement(image: Image, plane: Plane, count: int) -> dict[str, Any]:
    """Return the options that put a layer of an image's last axes where these lie on a plane."""
    start = _first_pixel(plane)
    start[-count:] = 0
    last = slice(-count - 1, None)
    return {"affine": _affine_at(image, start)[last, last], "units": image.units[-count:]}


def new_labels_like(
    viewer: ViewerModel, image: Image, name: str, data: NDArray[Any] | None = None
) -> Labels:
    """Add a Labels layer, empty and uint16 by default, with an image's shape and place.

    The active layer stays active, so that a person can go on clicking.

    Raises
    ------
    ValueError
        If so many labels do not fit into memory.
    """
    active = viewer.layers.selection.active
    layer = viewer.add_labels(
        _no_labels(image) if data is None else data,
        name=name,
        **placement(image),
    )
    return placed_beside(viewer, unwrapped(layer), active)


def _no_labels(image: Image) -> NDArray[np.uint16]:
    shape = tuple(level_0(image).shape)[: image.ndim]
    try:
        return np.zeros(shape, np.uint16)
    except MemoryError as error:
        raise ValueError(
            f"Labels of the shape {shape} do not fit into memory; add a Labels layer on a zarr "
            "array of this shape and choose it"
        ) from error


def placed_beside(viewer: ViewerModel, layer: Labels, active: Layer | None) -> Labels:
    """Return a layer that was just added, once the one that was active is active again.

    Points and shapes that a person works in stay in sight, above it.
    """
    from napari.layers import Points, Shapes

    layers = viewer.layers
    if active is not None:
        if isinstance(active, Points | Shapes):
            layers.move(layers.index(layer), layers.index(active))
        layers.selection.active = active
    return layer


def highest_label(data: Any) -> int:
    """Return the largest value of a label array, read plane by plane."""
    if isinstance(data, np.ndarray):
        return int(data.max(initial=0))
    if data.ndim <= 2:
        return int(np.asarray(data[...]).max(initial=0))
    return max(int(np.asarray(data[index]).max(initial=0)) for index in range(data.shape[0]))
