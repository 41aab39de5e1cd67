"""Where a mask of an image's plane lies in a Labels layer of any scale and position."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from napari_sam.viewer.bounds import Bounds
from napari_sam.viewer.layers import Plane, level_0, to_data

if TYPE_CHECKING:
    from napari.components import ViewerModel
    from napari.layers import Image, Labels

_NEAR = 1e-3
"""Pixels that places may differ by and be the same."""


class Projection:
    """Looks masks of a plane up in the world, from the pixels of a Labels layer.

    Parameters
    ----------
    viewer : ViewerModel
        Shows the plane.
    image, plane
        What the masks belong to.
    labels : Labels
        May have another scale, position or resolution than the image.
    """

    def __init__(self, viewer: ViewerModel, image: Image, plane: Plane, labels: Labels) -> None:
        self._viewer, self._image, self._plane, self._labels = viewer, image, plane, labels
        self._target = target_plane(viewer, image, plane, labels)
        self._coincides = _coincide(viewer, image, plane, labels, self._target)

    def place(
        self, mask: NDArray[np.bool_], corner: tuple[int, int]
    ) -> tuple[Bounds, NDArray[np.bool_]]:
        """Return where a mask lies.

        Parameters
        ----------
        mask, corner
            (h, w) bool, and the (row, col) of its first pixel in the plane.

        Returns
        -------
        bounds : Bounds
            The part of the labels' data that the mask may cover, one plane thick.
        found : ndarray
            The mask there, bool, with the data's axes.
        """
        target = self._target
        rows, cols = np.flatnonzero(mask.any(1)), np.flatnonzero(mask.any(0))
        if not len(rows):
            nothing = tuple((p or 0, (p or 0) + 1) for p in target.index)
            return nothing, np.zeros([1] * len(target.index), bool)
        low = np.array([rows[0] + corner[0], cols[0] + corner[1]])
        high = np.array([rows[-1] + corner[0], cols[-1] + corner[1]])
        if self._coincides:
            part = mask[rows[0] : rows[-1] + 1, cols[0] : cols[-1] + 1]
            return _lifted(target, low, high + 1, part)
        return self._looked_up(mask, corner, low, high)

    def _looked_up(
        self,
        mask: NDArray[np.bool_],
        corner: tuple[int, int],
        low: NDArray[np.int_],
        high: NDArray[np.int_],
    ) -> tuple[Bounds, NDArray[np.bool_]]:
        viewer, image, plane, labels = self._viewer, self._image, self._plane, self._labels
        target = self._target
        corners = np.array([[r, c] for r in (low[0], high[0]) for c in (low[1], high[1])], float)
        there = target.in_plane(to_data(viewer, labels, image, plane.lifted(corners)))
        margin = 1 + _step(viewer, labels, image, plane, target)
        first = np.floor(there.min(0) - margin).clip(0).astype(int)
        last = np.ceil(there.max(0) + margin + 1).clip(0, target.shape).astype(int)
        last = np.maximum(last, first)
        size = tuple(last - first)
        looked = np.moveaxis(np.indices(size), 0, -1).reshape(-1, 2) + first
        source = _affine_map(viewer, image, plane, labels, target, looked)
        at = np.floor(source + 0.5).astype(int) - corner
        inside = ((at >= 0) & (at < mask.shape)).all(1)
        found = np.zeros(len(at), bool)
        found[inside] = mask[at[inside, 0], at[inside, 1]]
        return _lifted(target, first, last, found.reshape(size))


def check_shape(array: Any, plane: Plane, labels: Labels) -> None:
    """Check that a Labels layer has the shape of an image's array that a plane is of.

    Raises
    ------
    ValueError
        If it has not.
    """
    shape = tuple(array.shape)[: len(plane.index)]
    if tuple(labels.data.shape) != shape:
        raise ValueError(
            f"The Labels layer must be of the image's shape {shape}; "
            f"{labels.name!r} has {tuple(labels.data.shape)}"
        )


def check_coincides(viewer: ViewerModel, image: Image, labels: Labels) -> None:
    """Check that a Labels layer has the pixels of an image: its shape, scale and position.

    Raises
    ------
    ValueError
        If it has not.
    """
    shape = tuple(level_0(image).shape)[: image.ndim]
    corners = np.array([np.zeros(len(shape)), np.array(shape) - 1.0])
    if tuple(labels.data.shape) == shape:
        there = to_data(viewer, labels, image, corners)
        if np.abs(there - corners).max() < _NEAR:
            return
    raise ValueError(
        f"Labels layer {labels.name!r} does not have the pixels of {image.name!r}; choose one of "
        f"its shape {shape}, scale and position"
    )


def target_plane(viewer: ViewerModel, image: Image, plane: Plane, labels: Labels) -> Plane:
    """Return the plane of the labels that a plane of the image lies in."""
    shape = labels.data.shape
    positions = _aligned(plane.index, labels.ndim)
    if positions.count(None) != 2:
        raise ValueError(f"Labels layer {labels.name!r} does not have both axes of the slice")
    at = to_data(viewer, labels, image, plane.lifted(np.zeros((1, 2))))[0]
    index: list[int | None] = []
    for axis, position in enumerate(positions):
        if position is None:
            index.append(None)
            continue
        step = round(float(at[axis]))
        if not 0 <= step < shape[axis]:
            raise ValueError(
                f"The image's slice lies at {step} on axis {axis} of Labels layer "
                f"{labels.name!r}, outside of it (0 to {shape[axis] - 1})"
            )
        index.append(step)
    rows, cols = (axis for axis, position in enumerate(index) if position is None)
    return Plane(index=tuple(index), shape=(shape[rows], shape[cols]))


def _aligned(index: tuple[int | None, ...], ndim: int) -> list[int | None]:
    """Return a plane's index for a layer of more or fewer axes: the last ones are in common."""
    missing = max(0, ndim - len(index))
    return [*([0] * missing), *index[max(0, len(index) - ndim) :]]


def _coincide(
    viewer: ViewerModel, image: Image, plane: Plane, labels: Labels, target: Plane
) -> bool:
    """Tell whether pixels of both planes are the same ones, which is the usual case."""
    from_last = [axis - len(plane.index) for axis in plane.axes]
    if plane.shape != target.shape or from_last != [n - len(target.index) for n in target.axes]:
        return False
    corners = np.array([[0, 0], [plane.shape[0] - 1, plane.shape[1] - 1]], float)
    there = target.in_plane(to_data(viewer, labels, image, plane.lifted(corners)))
    return bool(np.abs(there - corners).max() < _NEAR)


def _lifted(
    plane: Plane, low: NDArray[np.int_], high: NDArray[np.int_], flat: NDArray[np.bool_]
) -> tuple[Bounds, NDArray[np.bool_]]:
    """Return a part (h, w) of a plane as a region of the data."""
    row, col = plane.axes
    sides = {row: (int(low[0]), int(high[0])), col: (int(low[1]), int(high[1]))}
    bounds = tuple(
        sides[axis] if position is None else (position, position + 1)
        for axis, position in enumerate(plane.index)
    )
    return bounds, flat.reshape([high - low for low, high in bounds])


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
