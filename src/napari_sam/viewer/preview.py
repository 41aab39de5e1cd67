"""The mask that a commit would write, on a layer of its own."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from napari_sam.viewer.layers import Plane, plane_affine
from napari_sam.viewer.napari_private import unwrapped

if TYPE_CHECKING:
    from napari.components import ViewerModel
    from napari.layers import Image, Labels

PREVIEW_NAME = "SAM preview"


class Preview:
    """A uint8 Labels layer, one plane thick, that lies on the plane its mask belongs to.

    Parameters
    ----------
    viewer : ViewerModel
        Where the layer is added, when there is first something to show.
    """

    def __init__(self, viewer: ViewerModel) -> None:
        self._viewer = viewer
        self._layer: Labels | None = None

    def show(self, mask: NDArray[np.bool_], image: Image, plane: Plane) -> None:
        """Show a mask (H, W) of a plane of an image."""
        lengths = [1] * len(plane.index)
        for axis, length in zip(plane.axes, mask.shape, strict=True):
            lengths[axis] = length
        data = mask.astype(np.uint8).reshape(lengths)
        affine = plane_affine(image, plane)
        layer = self._shown_layer()
        if layer is None:
            self._add(data, affine)
            return
        layer.data = data
        layer.affine = affine

    def hide(self) -> None:
        """Show nothing."""
        layer = self._shown_layer()
        if layer is not None and layer.data.any():
            layer.data = np.zeros_like(layer.data)

    def remove(self) -> None:
        """Take the layer away."""
        layer = self._shown_layer()
        if layer is not None:
            self._viewer.layers.remove(layer)
        self._layer = None

    def _shown_layer(self) -> Labels | None:
        """Return the layer, unless the user removed it."""
        return self._layer if self._layer in self._viewer.layers else None

    def _add(self, data: NDArray[np.uint8], affine: NDArray[np.float64]) -> None:
        from napari.layers import Points, Shapes

        active = self._viewer.layers.selection.active
        self._layer = unwrapped(
            self._viewer.add_labels(data, name=PREVIEW_NAME, affine=affine, opacity=0.6)
        )
        self._layer.editable = False
        if active is not None:
            layers = self._viewer.layers
            if isinstance(active, Points | Shapes):  # the prompts stay in sight
                layers.move(layers.index(self._layer), layers.index(active))
            layers.selection.active = active
