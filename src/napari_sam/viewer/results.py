"""Results of segmenting everything as Labels layers that fill while they come."""

from __future__ import annotations

import zlib
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from napari_sam.viewer.bounds import Bounds
from napari_sam.viewer.labels_output import highest_in_use, note_highest
from napari_sam.viewer.layers import (
    Plane,
    camera_of,
    last_axes_placement,
    level_0,
    new_labels_like,
    placement,
)
from napari_sam.viewer.napari_private import forget_strokes, unwrapped
from napari_sam.viewer.places import data_at, world_at
from napari_sam.viewer.stack_job import StackOutcome, StackStep
from napari_sam.volume import LinkDoubt

if TYPE_CHECKING:
    from napari.components import ViewerModel
    from napari.layers import Image, Labels

SLICE_NAME = "SAM everything"
STACK_NAME = "SAM volume"
_WRITTEN = "napari_sam_slices"
_IMAGE = "napari_sam_everything_in"
_OUTPUT = "napari_sam_volume"


def show_slice_labels(
    viewer: ViewerModel, image: Image, plane: Plane, labels: NDArray[np.uint32]
) -> Labels:
    """Put labels (H, W) of a plane into a Labels layer of the image's shape; see `SliceResult`."""
    return SliceResult(viewer, image, plane).show(labels)


class SliceResult:
    """Labels of one plane, in a Labels layer with the image's shape, which may be drawn again.

    The layer of an earlier run on the image is filled on, with labels above those it has. A slice
    that somebody has worked on since is left alone: then there is another layer.

    Parameters
    ----------
    viewer, image, plane
        What is segmented.
    """

    def __init__(self, viewer: ViewerModel, image: Image, plane: Plane) -> None:
        self._viewer = viewer
        self.image = image
        self._plane = plane
        self._below = self._top = -1
        self._shown: Labels | None = None
        self.spared = ""
        """Name of a layer whose slice was worked on since a run drew it, and is left alone."""

    def show(self, labels: NDArray[np.uint32]) -> Labels:
        """Put labels (H, W) where they belong; those that an earlier run drew there are gone.

        Raises
        ------
        ValueError
            If the image has other slices now than those that were segmented.
        """
        shape = tuple(level_0(self.image).shape)[: self.image.ndim]
        if len(shape) != len(self._plane.index) or labels.shape != self._sides(shape):
            raise ValueError(
                f"The labels, {labels.shape}, do not fit the image, {shape}: it has other data now"
            )
        layer = self._layer(shape)
        if layer is not self._shown:
            self._shown, self._below, self._top = layer, -1, -1
        highest = self._numbered(layer, int(labels.max(initial=0)))
        if highest > np.iinfo(layer.data.dtype).max:
            layer.data = layer.data.astype(np.uint32)
        drawn = np.where(labels > 0, labels + self._below, 0).astype(layer.data.dtype)
        layer.data[self._plane.selection] = drawn
        _written(layer)[self._plane.index] = _checksum(drawn)
        forget_strokes(layer, self._bounds(shape))
        layer.refresh()
        return layer

    def _sides(self, shape: tuple[int, ...]) -> tuple[int, int]:
        """Return the height and width that planes like this one have in an array."""
        row, col = self._plane.axes
        return shape[row], shape[col]

    def _bounds(self, shape: tuple[int, ...]) -> Bounds:
        """Return where the plane lies in an array."""
        pairs = zip(self._plane.index, shape, strict=True)
        return tuple((0, length) if at is None else (at, at + 1) for at, length in pairs)

    def _layer(self, shape: tuple[int, ...]) -> Labels:
        """Return the layer to draw into: that of before, that of an earlier run, or a new one."""
        name = f"{SLICE_NAME}: {self.image.name}"
        image = str(self.image.unique_id)
        shown = self._shown
        if shown is not None and shown in self._viewer.layers and self._may_draw(shown, shape):
            return shown
        for layer in self._viewer.layers:
            made_for = layer.metadata.get(_IMAGE)
            is_ours = layer.name == name if made_for is None else made_for == image
            if is_ours and self._may_draw(layer, shape):
                return unwrapped(layer)
        layer = new_labels_like(self._viewer, self.image, name)
        layer.metadata[_IMAGE] = image
        return layer

    def _may_draw(self, layer: Labels, shape: tuple[int, ...]) -> bool:
        """Tell whether the slice is empty or as a run left it; note a layer that is worked on."""
        if layer.data.shape != shape:
            return False
        there = layer.data[self._plane.selection]
        if not there.any() or _checksum(there) == _written(layer).get(self._plane.index):
            return True
        self.spared = layer.name
        return False

    def _numbered(self, layer: Labels, count: int) -> int:
        """Make room for the labels 1 ... count above those of other slices; return the highest.

        Labels that are drawn again keep their place, unless they grow into those of a later slice.
        """
        taken = highest_in_use(layer) if layer.ndim > 2 else 0
        if self._below < 0 or (self._below + count > self._top and taken != self._top):
            self._below = taken
        self._top = max(self._top, self._below + count)
        note_highest(layer, self._top)
        return max(taken, self._top)


def _checksum(labels: NDArray[np.integer]) -> int:
    """Return a number for labels, whatever their type."""
    return zlib.crc32(labels.astype(np.uint32).tobytes())


def _written(layer: Labels) -> dict[tuple[int | None, ...], int]:
    """Return the checksums of the slices that runs have written, by slice."""
    written: dict[tuple[int | None, ...], int] = layer.metadata.setdefault(_WRITTEN, {})
    return written


class StackResult:
    """A Labels layer on what a volume job writes, so that it holds nothing in memory.

    While the job runs the layer shows the blocks that are done; at the end, the label image. A
    layer of an earlier run on the same output is used on.

    Parameters
    ----------
    viewer, image, plane
        What is segmented.
    output : Path
        The job's OME-Zarr group.
    """

    def __init__(self, viewer: ViewerModel, image: Image, plane: Plane, output: Path) -> None:
        self._viewer = viewer
        self._image = image
        self._plane = plane
        self._output = output
        self.layer: Labels | None = None

    def show(self, step: StackStep) -> None:
        """Show a block that is done, where its slice is the one that the viewer shows."""
        if step.levels is not None:
            self._open(step.levels)
        elif step.event.stage == "segment" and self._is_seen(step.event.z):
            self.layer.refresh()  # type: ignore[union-attr]  # seen, so there

    def finish(self, outcome: StackOutcome) -> Labels:
        """Show the final labels."""
        return self._open(outcome.levels)

    def jump_to(self, doubt: LinkDoubt) -> None:
        """Bring what a job was in doubt about into view, and select its object."""
        layer, viewer = self.layer, self._viewer
        if layer is None or layer not in viewer.layers:
            return
        viewer.dims.ndisplay = 2
        ndim = viewer.dims.ndim
        viewer.dims.order = tuple(range(ndim))
        point = np.array(viewer.dims.point, np.float64)
        if self._image in viewer.layers and self._image.ndim == ndim:
            point[:] = world_at(viewer, self._image, [index or 0 for index in self._plane.index])
        world = world_at(viewer, layer, (doubt.z, *doubt.centre))
        point[ndim - 3 :] = world
        viewer.dims.point = tuple(point)
        camera = camera_of(viewer)
        camera.center = (*tuple(camera.center)[:-2], world[-2], world[-1])
        known = [number for number in doubt.objects if number]
        if known:
            layer.selected_label = known[0]
        viewer.layers.selection.active = layer

    def _is_seen(self, z: int | None) -> bool:
        """Tell whether the layer is there and the viewer shows this slice of it."""
        dims = self._viewer.dims
        if self.layer is None or self.layer not in self._viewer.layers or dims.ndisplay != 2:
            return False
        position = data_at(self._viewer, self.layer, dims.point)
        return z == round(float(position[-3]))

    def _open(self, levels: tuple[Any, ...]) -> Labels:
        """Show arrays (Z, Y, X), the levels of a pyramid."""
        is_pyramid = len(levels) > 1
        data = list(levels) if is_pyramid else levels[0]
        layer = self._found()
        if layer is not None and layer.multiscale == is_pyramid:
            layer.data = data
            layer.refresh()
        else:
            if layer is not None:
                self._viewer.layers.remove(layer)
            layer = self._added(data, is_pyramid)
        layer.editable = False
        self.layer = layer
        return layer

    def _found(self) -> Labels | None:
        """Return the layer of this run, or of an earlier one on the same output."""
        for layer in self._viewer.layers:
            if layer.metadata.get(_OUTPUT) == str(self._output):
                found: Labels = unwrapped(layer)
                return found
        return None

    def _added(self, data: Any, is_pyramid: bool) -> Labels:  # noqa: FBT001
        image = self._image
        where = placement(image) if image.ndim == 3 else last_axes_placement(image, self._plane, 3)
        active = self._viewer.layers.selection.active
        layer: Labels = unwrapped(
            self._viewer.add_labels(
                data,
                name=f"{STACK_NAME}: {image.name}",
                multiscale=is_pyramid,
                metadata={_OUTPUT: str(self._output)},
                **where,
            )
        )
        if active is not None:
            self._viewer.layers.selection.active = active
        return layer
