"""Results of segmenting everything as Labels layers that fill while they come."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from napari_sam.segmentation.progress import Progress
from napari_sam.viewer.layers import Plane, level_0, new_labels_like, placement
from napari_sam.viewer.napari_private import unwrapped
from napari_sam.volume import VolumeReport, VolumeSource
from napari_sam.volume.report import VolumeEvent

if TYPE_CHECKING:
    from napari.components import ViewerModel
    from napari.layers import Image, Labels

SLICE_NAME = "SAM everything"
STACK_NAME = "SAM volume"
_HIGHEST = "napari_sam_highest_label"


def show_slice_labels(
    viewer: ViewerModel, image: Image, plane: Plane, labels: NDArray[np.uint32]
) -> Labels:
    """Put labels (H, W) of a plane into a Labels layer of the image's shape; see `SliceResult`."""
    return SliceResult(viewer, image, plane).show(labels)


class SliceResult:
    """Labels of one plane, in a Labels layer with the image's shape, which may be drawn again.

    The layer of an earlier run on another slice of the image is filled on, with labels above those
    it has.

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

    def show(self, labels: NDArray[np.uint32]) -> Labels:
        """Put labels (H, W) where they belong; those that were there before are gone."""
        layer = self._layer()
        highest = self._numbered(layer, int(labels.max(initial=0)))
        if highest > np.iinfo(layer.data.dtype).max:
            layer.data = layer.data.astype(np.uint32)
        layer.data[self._plane.selection] = np.where(labels > 0, labels + self._below, 0)
        layer.refresh()
        return layer

    def _layer(self) -> Labels:
        name = f"{SLICE_NAME}: {self.image.name}"
        shape = tuple(level_0(self.image).shape)[: self.image.ndim]
        for layer in self._viewer.layers:
            if layer.name == name and layer.data.shape == shape:
                return unwrapped(layer)
        return new_labels_like(self._viewer, self.image, name)

    def _numbered(self, layer: Labels, count: int) -> int:
        """Make room for the labels 1 ... count above those of other slices; return the highest.

        Labels that are drawn again keep their place, unless they grow into those of a later slice.
        """
        taken = int(layer.metadata.get(_HIGHEST, 0)) if layer.ndim > 2 else 0
        if self._below < 0 or (self._below + count > self._top and taken != self._top):
            self._below = taken
        self._top = max(self._top, self._below + count)
        layer.metadata[_HIGHEST] = highest = max(taken, self._top)
        return highest


def stack_source(image: Image, plane: Plane) -> VolumeSource:
    """Return a layer's stack (Z, Y, X) as the source of a volume job, read slice by slice.

    Time and other axes before z stay where the viewer stands.

    Raises
    ------
    ValueError
        If the layer is no stack, or the viewer shows another plane than the last two axes.
    """
    ndim = image.ndim
    if ndim < 3:
        raise ValueError(f"Layer {image.name!r} has no slices; use 'This slice'")
    if plane.axes != (ndim - 2, ndim - 1):
        raise ValueError("A stack is segmented along its first axis: show the last two axes")
    array = level_0(image)
    leading = plane.index[: ndim - 3]
    if leading:
        import dask.array as da

        lazy = array if isinstance(array, da.Array) else da.from_array(array)
        array = lazy[leading]
    units = [str(unit) for unit in image.units[-3:]]
    return VolumeSource(
        array=array,
        stored_axes=("z", "y", "x", "c") if image.rgb else ("z", "y", "x"),
        scale=_triple(image.scale),
        translation=_triple(image.translate),
        units=(units[0], units[1], units[2]),
    )


def _triple(values: NDArray[np.float64]) -> tuple[float, float, float]:
    z, row, col = (float(value) for value in values[-3:])
    return z, row, col


class StackResult:
    """A Labels layer on the store that a volume job writes, so that it holds nothing in memory.

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
        self._stage = ""
        self._layer: Labels | None = None

    def show(self, event: Progress) -> None:
        """Show the slice that is done, where it is the one that the viewer shows."""
        if not isinstance(event, VolumeEvent) or event.z is None:
            return
        path = self._store(event.stage)
        if path is None:
            return
        if event.stage != self._stage:
            try:
                self._open(path)
            except FileNotFoundError:  # events come late: the job may have tidied up already
                return
            self._stage = event.stage
        if self._layer is not None and event.z == self._shown_z():
            self._layer.refresh()

    def finish(self, report: VolumeReport) -> Labels:
        """Show the final labels."""
        return self._open(report.labels_path / "0")

    def _store(self, stage: str) -> Path | None:
        from napari_sam.volume.plan import plan_volume

        shape = tuple(level_0(self._image).shape)[self._image.ndim - 3 : self._image.ndim]
        plan = plan_volume(self._output, "sam", (shape[0], shape[1], shape[2]))
        return {"segment": plan.scratch, "write": plan.image / "0"}.get(stage)

    def _shown_z(self) -> int:
        position = self._image.world_to_data(self._viewer.dims.point)
        return round(float(position[self._image.ndim - 3]))

    def _open(self, path: Path) -> Labels:
        import zarr

        array: Any = zarr.open_array(path, mode="r")
        if self._layer is not None and self._layer in self._viewer.layers:
            self._layer.data = array
            return self._layer
        image = self._image
        if image.ndim == array.ndim:
            where = placement(image)
        else:  # time and the like were fixed: the stack lies in the last three axes
            where = {name: getattr(image, name)[-3:] for name in ("scale", "translate", "units")}
        self._layer = unwrapped(
            self._viewer.add_labels(array, name=f"{STACK_NAME}: {image.name}", **where)
        )
        self._layer.editable = False
        return self._layer
