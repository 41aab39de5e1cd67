"""A mask that is not committed yet, on a layer of its own."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from napari_sam.viewer.layers import Plane, plane_affine
from napari_sam.viewer.napari_private import paint_quietly, unwrapped

if TYPE_CHECKING:
    from napari.components import ViewerModel
    from napari.layers import Image, Labels

PREVIEW_NAME = "SAM preview"
HOVER_NAME = "SAM hover"


class Preview:
    """A uint8 Labels layer, one plane thick, that lies on the plane its mask belongs to.

    Only the pixels that change are drawn anew, so that a mask costs the same on any image.

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
        self._place: tuple[int, Plane] | None = None
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
        self, mask: NDArray[np.bool_], corner: tuple[int, int], image: Image, plane: Plane
    ) -> None:
        """Show a mask of a plane of an image, and nothing else.

        Parameters
        ----------
        mask, corner
            (h, w) bool, and the (row, col) of its first pixel in the plane.
        image, plane
            Where it lies.
        """
        layer = self._placed(image, plane)
        rows, cols = np.nonzero(mask.any(1))[0], np.nonzero(mask.any(0))[0]
        if not len(rows):
            self.hide()
            return
        cut = mask[rows[0] : rows[-1] + 1, cols[0] : cols[-1] + 1]
        top, left = int(rows[0]) + corner[0], int(cols[0]) + corner[1]
        region = _region(plane, (top, left), cut.shape)
        before, self._drawn = self._drawn, region
        paint_quietly(layer, before, region, cut.reshape([s.stop - s.start for s in region]))

    def hide(self) -> None:
        """Show nothing."""
        layer, before = self.layer, self._drawn
        self._drawn = None
        if layer is not None and before is not None:
            paint_quietly(layer, before, None, None)

    def remove(self) -> None:
        """Take the layer away."""
        layer = self.layer
        if layer is not None:
            self._viewer.layers.remove(layer)
        self._layer = self._place = self._drawn = None

    def _placed(self, image: Image, plane: Plane) -> Labels:
        """Return the layer, empty if it had to move to the plane."""
        place = (id(image), plane)
        layer = self.layer
        if layer is not None and place == self._place:
            return layer
        self._drawn = None
        lengths = [1] * len(plane.index)
        for axis, length in zip(plane.axes, plane.shape, strict=True):
            lengths[axis] = length
        data = np.zeros(lengths, np.uint8)
        affine = plane_affine(image, plane)
        self._place = place
        if layer is None:
            return self._added(data, affine, image.units)
        layer.data = data
        layer.affine = affine
        return layer

    def _added(self, data: NDArray[np.uint8], affine: NDArray[np.float64], units: Any) -> Labels:
        from napari.layers import Points, Shapes

        active = self._viewer.layers.selection.active
        layer = unwrapped(
            self._viewer.add_labels(
                data, name=self._name, affine=affine, units=units, opacity=self._opacity
            )
        )
        self._layer = layer
        layer.editable = False
        if active is not None:
            layers = self._viewer.layers
            if isinstance(active, Points | Shapes):  # the prompts stay in sight
                layers.move(layers.index(layer), layers.index(active))
            layers.selection.active = active
        return layer


def _region(plane: Plane, corner: tuple[int, int], shape: tuple[int, ...]) -> tuple[slice, ...]:
    sides = dict(zip(plane.axes, zip(corner, shape, strict=True), strict=True))
    return tuple(
        slice(sides[axis][0], sides[axis][0] + sides[axis][1]) if axis in sides else slice(0, 1)
        for axis in range(len(plane.index))
    )
