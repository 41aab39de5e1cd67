"""A mask that is not committed yet, on a layer of its own."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np
from napari.utils import CyclicLabelColormap
from numpy.typing import NDArray

from napari_sam.viewer.layers import Plane, placed_beside, plane_affine
from napari_sam.viewer.napari_private import paint_quietly, unwrapped

if TYPE_CHECKING:
    from napari.components import ViewerModel
    from napari.layers import Image, Labels

PREVIEW_NAME = "SAM preview"
HOVER_NAME = "SAM hover"
_COLOUR = (1.0, 0.85, 0.1, 1.0)
"""Yellow: seen on dark, gray and stained images; napari's first label is a dark brown."""
_LARGEST = 4096
"""Planes up to this side are covered whole."""
_SIDE = 2048


class Frame(NamedTuple):
    """The part of a plane that a preview covers, at a resolution of its own.

    Attributes
    ----------
    top, left : int
        Row and column of its first pixel's corner in the plane.
    rows, cols : int
        Its size, in its own pixels.
    step : int
        Pixels of the plane along one of its own; a power of two.
    """

    top: int
    left: int
    rows: int
    cols: int
    step: int

    def holds(self, corner: tuple[int, int], shape: tuple[int, int], step: int) -> bool:
        """Tell whether a box of the plane lies inside, shown at a step or up to twice as coarse."""
        inside = self.top <= corner[0] and self.left <= corner[1]
        ends = self.top + self.rows * self.step, self.left + self.cols * self.step
        inside = inside and corner[0] + shape[0] <= ends[0] and corner[1] + shape[1] <= ends[1]
        return inside and step <= self.step <= 2 * step


def frame_for(
    corner: tuple[int, int],
    shape: tuple[int, int],
    plane_shape: tuple[int, int],
    least_step: int = 1,
) -> tuple[Frame, int]:
    """Return the frame to show a box in, and the step that it needs at least.

    Parameters
    ----------
    corner, shape
        Of the box, pixels of the plane.
    plane_shape : (int, int)
        Of the plane. One that is not large is covered whole.
    least_step : int
        Pixels of the plane along one pixel of what is shown; a power of two.
    """
    if max(plane_shape) <= _LARGEST:
        return Frame(0, 0, *plane_shape, 1), 1
    step = least_step
    while max(shape) > _SIDE // 2 * step:
        step *= 2
    starts = []
    for low, length, whole in zip(corner, shape, plane_shape, strict=True):
        middle = low + length // 2 - _SIDE // 2 * step
        starts.append(max(0, min(middle, whole - _SIDE * step)) // step * step)
    sides = [
        min(_SIDE, math.ceil((whole - start) / step))
        for start, whole in zip(starts, plane_shape, strict=True)
    ]
    return Frame(starts[0], starts[1], sides[0], sides[1], step), step


class Preview:
    """A uint8 Labels layer, one plane thick, that lies on the plane its mask belongs to.

    Only the pixels that change are drawn anew, so that a mask costs the same on any image; of a
    large plane it covers what is around the mask, no finer than a screen shows it.

    Parameters
    ----------
    viewer : ViewerModel
        Where the layer is added, when there is first something to show.
    name : str
        Of the layer.
    opacity : float
        Of the layer, 0 ... 1.
    """

    def __init__(self, viewer: ViewerModel, name: str = PREVIEW_NAME, opacity: float = 0.6) -> None:
        self._viewer = viewer
        self._name = name
        self._opacity = opacity
        self._layer: Labels | None = None
        self._place: tuple[int, Plane, Frame, bytes] | None = None
        self._drawn: tuple[slice, ...] | None = None

    @property
    def layer(self) -> Labels | None:
        """The layer, unless there was nothing to show yet or the user removed it."""
        return self._layer if self._layer in self._viewer.layers else None

    @property
    def visible(self) -> bool:
        """Whether the layer may be seen."""
        return self.layer is not None and bool(self.layer.visible)

    @visible.setter
    def visible(self, visible: bool) -> None:
        if self.layer is not None:
            self.layer.visible = visible

    def show(
        self,
        mask: NDArray[np.bool_],
        corner: tuple[int, int],
        image: Image,
        plane: Plane,
        step: int = 1,
    ) -> None:
        """Show a mask of a plane of an image, and nothing else.

        Parameters
        ----------
        mask, corner
            (h, w) bool, and the (row, col) of its first pixel in the plane.
        image, plane
            Where it lies.
        step : int
            Pixels of the plane along one of the mask; `corner` is a multiple of it.
        """
        rows, cols = np.nonzero(mask.any(1))[0], np.nonzero(mask.any(0))[0]
        if not len(rows):
            self.hide()
            return
        cut = mask[rows[0] : rows[-1] + 1, cols[0] : cols[-1] + 1]
        top, left = int(rows[0]) * step + corner[0], int(cols[0]) * step + corner[1]
        frame = self._frame(image, plane, (top, left), cut.shape, step)
        layer = self._placed(image, plane, frame)
        start = (top - frame.top) // frame.step, (left - frame.left) // frame.step
        before_first = [
            at // step - first * (frame.step // step)
            for at, first in zip((top - frame.top, left - frame.left), start, strict=True)
        ]
        small = _pooled(cut, frame.step // step, before_first)
        small = small[: frame.rows - start[0], : frame.cols - start[1]]
        region = _region(plane, start, small.shape)
        before, self._drawn = self._drawn, region
        paint_quietly(layer, before, region, small.reshape([s.stop - s.start for s in region]))

    def prepare(self, image: Image, plane: Plane) -> None:
        """Make the layer, empty, before there is anything to show: napari takes long to add one."""
        if self.layer is None:
            self._placed(image, plane, frame_for((0, 0), (1, 1), plane.shape)[0])

    def hide(self) -> None:
        """Show nothing."""
        layer, before = self.layer, self._drawn
        self._drawn = None
        if layer is not None and before is not None:
            paint_quietly(layer, before, None, None)

    def put_away(self) -> None:
        """Show nothing, and let napari draw nothing: for what is rarely there."""
        self.hide()
        self.visible = False

    def remove(self) -> None:
        """Take the layer away."""
        layer = self.layer
        if layer is not None:
            self._viewer.layers.remove(layer)
        self._layer = self._place = self._drawn = None

    def _frame(
        self, image: Image, plane: Plane, corner: tuple[int, int], shape: Any, step: int
    ) -> Frame:
        """Return the frame for a box of `step`s: the one there is, where that will do."""
        lengths = shape[0] * step, shape[1] * step
        frame, needed = frame_for(corner, lengths, plane.shape, step)
        if self._place is None or self._place[:2] != (id(image), plane):
            return frame
        here = self._place[2]
        return here if here.holds(corner, lengths, needed) else frame

    def _placed(self, image: Image, plane: Plane, frame: Frame) -> Labels:
        """Return the layer, empty if it had to move."""
        affine = plane_affine(image, plane)
        place = (id(image), plane, frame, affine.tobytes())
        layer = self.layer
        if layer is not None and place == self._place:
            return layer
        self._drawn = None
        lengths = [1] * len(plane.index)
        shift = np.eye(len(plane.index) + 1)
        starts = frame.top, frame.left
        for axis, length, start in zip(plane.axes, (frame.rows, frame.cols), starts, strict=True):
            lengths[axis] = length
            shift[axis, axis] = frame.step
            shift[axis, -1] = start + (frame.step - 1) / 2
        data = np.zeros(lengths, np.uint8)
        affine = affine @ shift
        self._place = place
        if layer is None:
            return self._added(data, affine, image.units)
        layer.data = data
        layer.affine = affine
        return layer

    def _added(self, data: NDArray[np.uint8], affine: NDArray[np.float64], units: Any) -> Labels:
        active = self._viewer.layers.selection.active
        layer = unwrapped(
            self._viewer.add_labels(
                data,
                name=self._name,
                affine=affine,
                units=units,
                opacity=self._opacity,
                colormap=CyclicLabelColormap(colors=[(0, 0, 0, 0), _COLOUR]),
            )
        )
        self._layer = layer
        layer.editable = False
        return placed_beside(self._viewer, layer, active)


def _region(plane: Plane, corner: tuple[int, int], shape: tuple[int, ...]) -> tuple[slice, ...]:
    sides = dict(zip(plane.axes, zip(corner, shape, strict=True), strict=True))
    return tuple(
        slice(sides[axis][0], sides[axis][0] + sides[axis][1]) if axis in sides else slice(0, 1)
        for axis in range(len(plane.index))
    )


def _pooled(mask: NDArray[np.bool_], step: int, inset: list[int]) -> NDArray[np.bool_]:
    """Return a mask (h, w) in squares of `step` pixels: true where any of theirs is.

    The mask's first pixel is `inset` rows and columns inside the first square.
    """
    if step == 1:
        return mask
    for axis, offset in enumerate(inset):
        first = np.arange(-offset, mask.shape[axis], step).clip(0)
        mask = np.logical_or.reduceat(mask, first, axis=axis)
    return mask
