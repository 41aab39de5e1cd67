"""What the viewer shows, as numbers: planes, coordinates, prompts; and masks into Labels layers.

Everything here reads layers through their public transforms, so that scale, translation, rotation,
pyramids, time and any order of the displayed axes come out right.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from napari_sam.viewer.napari_private import paint, unwrapped

if TYPE_CHECKING:
    from napari.components import ViewerModel
    from napari.layers import Image, Labels, Layer, Points, Shapes

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
        """Tell which of data coordinates (N, ndim) lie in the plane, to half a pixel."""
        fixed = [axis for axis, position in enumerate(self.index) if position is not None]
        wanted = np.array([self.index[axis] for axis in fixed], np.float64)
        return np.asarray((np.abs(coordinates[:, fixed] - wanted) <= 0.5 + 1e-6).all(1))

    def lifted(self, points: NDArray[np.floating]) -> NDArray[np.float64]:
        """Return data coordinates (N, ndim) of points (N, 2) in the plane."""
        full = np.zeros((len(points), len(self.index)))
        for axis, position in enumerate(self.index):
            if position is not None:
                full[:, axis] = position
        full[:, self.axes] = points
        return full


def level_0(layer: Image | Labels) -> Any:
    """Return a layer's array at full resolution (numpy, dask, zarr, ...)."""
    return layer.data[0] if layer.multiscale else layer.data


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
    position = layer.world_to_data(dims.point)
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


def read_plane(layer: Image | Labels, plane: Plane) -> NDArray[Any]:
    """Read a plane (H, W), or (H, W, 3 or 4) of an RGB layer; slow: not for the GUI thread."""
    return read_array(level_0(layer), plane)


def read_array(array: Any, plane: Plane) -> NDArray[Any]:
    """Read a plane of any array that numpy can take in."""
    return np.asarray(array[plane.selection])


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
        own = np.asarray(source.data_to_world(point), np.float64)
        world[len(world) - len(own) :] = own
        mapped[row] = np.asarray(target.world_to_data(world), np.float64)[-target.ndim :]
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


def boxes_from_shapes(
    viewer: ViewerModel, image: Image, shapes: Shapes, plane: Plane
) -> tuple[NDArray[np.float64], NDArray[np.intp]]:
    """Read a Shapes layer as boxes: the bounds of every shape in the plane.

    Returns
    -------
    boxes : ndarray
        (N, 4) coordinates (row_min, col_min, row_max, col_max), cut to the plane.
    indices : ndarray
        (N,) which shapes of the layer these are.
    """
    boxes, indices = [], []
    limit = np.array(plane.shape) - 1.0
    for index, outline in enumerate(shapes.data):
        corners = to_data(viewer, image, shapes, np.asarray(outline))
        if plane.contains(corners).all():
            flat = plane.in_plane(corners)
            low, high = flat.min(0).clip(0, limit), flat.max(0).clip(0, limit)
            boxes.append(np.concatenate([low, high]))
            indices.append(index)
    return np.array(boxes).reshape(-1, 4), np.array(indices, np.intp)


def plane_affine(layer: Image, plane: Plane) -> NDArray[np.float64]:
    """Return the affine (ndim + 1, ndim + 1) of a one-plane layer that lies on a plane of `layer`.

    Its data have the layer's axes, of length 1 where the plane is fixed.
    """
    ndim = layer.ndim
    start = np.array([0 if position is None else position for position in plane.index], float)
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


def new_labels_like(viewer: ViewerModel, image: Image, name: str) -> Labels:
    """Add an empty uint16 Labels layer with an image's shape and place in the world.

    The active layer stays active, so that a person can go on clicking.
    """
    shape = tuple(level_0(image).shape)[: image.ndim]
    active = viewer.layers.selection.active
    layer = viewer.add_labels(
        np.zeros(shape, np.uint16),
        name=name,
        **placement(image),
    )
    if active is not None:
        viewer.layers.selection.active = active
    return unwrapped(layer)


def check_writable(labels: Labels) -> None:
    """Check that masks can be written into a Labels layer.

    Raises
    ------
    ValueError
        If it is a pyramid, a dask array, or locked.
    """
    tip = "convert it with numpy.asarray or use a zarr array"
    if labels.multiscale:
        raise ValueError(f"Labels layer {labels.name!r} is a pyramid and cannot be written; {tip}")
    if type(labels.data).__module__.startswith("dask"):
        raise ValueError(
            f"Labels layer {labels.name!r} is a dask array and cannot be written; {tip}"
        )
    if not labels.editable:
        raise ValueError(f"Labels layer {labels.name!r} is locked; make it editable")


def write_mask(
    viewer: ViewerModel,
    image: Image,
    plane: Plane,
    mask: NDArray[np.bool_],
    labels: Labels,
    value: int,
    *,
    overwrite: bool = False,
) -> int:
    """Write a mask of an image's plane into a Labels layer, as one step of its undo history.

    Parameters
    ----------
    viewer, image, plane
        What the mask (H, W) belongs to.
    mask : ndarray
        (H, W) bool.
    labels : Labels
        May have another scale or position than the image: the mask is looked up in the world.
    value : int
        The label.
    overwrite : bool
        Whether pixels of other objects are taken, too.

    Returns
    -------
    int
        Pixels written.

    Raises
    ------
    ValueError
        If the layer cannot be written, or its type does not hold the label.
    """
    labels = unwrapped(labels)
    check_writable(labels)
    limits = np.iinfo(labels.data.dtype)
    if not limits.min <= value <= limits.max:
        raise ValueError(
            f"Label {value} does not fit Labels layer {labels.name!r} of type {labels.data.dtype} "
            f"(up to {limits.max}); choose a layer of a wider type"
        )
    target = shown_plane(viewer, labels)
    region, found = _on_labels(viewer, image, plane, mask, labels, target)
    if not overwrite:
        present = np.asarray(labels.data[region]).reshape(found.shape)
        found = found & ((present == 0) | (present == value))
    if found.any():
        paint(labels, region, found, value, target.axes)
    return int(found.sum())


def _on_labels(
    viewer: ViewerModel,
    image: Image,
    plane: Plane,
    mask: NDArray[np.bool_],
    labels: Labels,
    target: Plane,
) -> tuple[tuple[slice, ...], NDArray[np.bool_]]:
    """Return the region of a Labels layer that a mask covers, and the mask there."""
    rows, cols = np.nonzero(mask)
    if not len(rows):
        return tuple(slice(p or 0, (p or 0) + 1) for p in target.index), np.zeros((1, 1), bool)
    corners = np.array([[r, c] for r in (rows.min(), rows.max()) for c in (cols.min(), cols.max())])
    there = target.in_plane(to_data(viewer, labels, image, plane.lifted(corners)))
    margin = 1 + _step(viewer, labels, image, plane, target)
    low = np.floor(there.min(0) - margin).clip(0).astype(int)
    high = np.ceil(there.max(0) + margin + 1).clip(0, target.shape).astype(int)
    high = np.maximum(high, low)
    region = _region(target, low, high)
    size = tuple(high - low)
    looked = np.moveaxis(np.indices(size), 0, -1).reshape(-1, 2) + low
    source = _affine_map(viewer, image, plane, labels, target, looked)
    at = np.floor(source + 0.5).astype(int)
    inside = ((at >= 0) & (at < plane.shape)).all(1)
    found = np.zeros(len(at), bool)
    found[inside] = mask[at[inside, 0], at[inside, 1]]
    return region, found.reshape(size)


def _region(plane: Plane, low: NDArray[np.int_], high: NDArray[np.int_]) -> tuple[slice, ...]:
    row, col = plane.axes
    bounds = {row: slice(low[0], high[0]), col: slice(low[1], high[1])}
    return tuple(
        bounds[axis] if position is None else slice(position, position + 1)
        for axis, position in enumerate(plane.index)
    )


def _step(
    viewer: ViewerModel, labels: Labels, image: Image, plane: Plane, target: Plane
) -> NDArray[np.float64]:
    """Return how many label pixels one image pixel spans, along rows and columns."""
    ends = plane.lifted(np.array([[0, 0], [1, 0], [0, 1]], float))
    there = target.in_plane(to_data(viewer, labels, image, ends))
    return np.asarray(np.abs(there[1:] - there[0]).max(0), np.float64)


def _affine_map(
    viewer: ViewerModel,
    image: Image,
    plane: Plane,
    labels: Labels,
    target: Plane,
    points: NDArray[np.int_],
) -> NDArray[np.float64]:
    """Map points (N, 2) of the labels' plane to (row, col) of the image's plane."""
    ends = target.lifted(np.array([[0, 0], [1, 0], [0, 1]], float))
    origin, down, right = plane.in_plane(to_data(viewer, image, labels, ends))
    moved = points[:, :1] * (down - origin) + points[:, 1:] * (right - origin)
    return np.asarray(origin + moved, np.float64)
