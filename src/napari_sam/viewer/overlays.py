"""What lies over an image uncommitted: the chosen candidate, and what a click would give."""

from __future__ import annotations

import itertools
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray
from skimage.draw import line

from napari_sam.segmentation.prediction import MaskPrediction
from napari_sam.viewer.layers import Plane
from napari_sam.viewer.napari_private import batched
from napari_sam.viewer.preview import HOVER_NAME, Preview, frame_for

if TYPE_CHECKING:
    from napari.components import ViewerModel
    from napari.layers import Image

GESTURE_NAME = "SAM drawing"
_HOVER_OPACITY = 0.35
_GESTURE_OPACITY = 0.9


class Overlays:
    """Light layers over an image.

    Parameters
    ----------
    viewer : ViewerModel
        Shows them.
    image : Image
        What the masks belong to.
    """

    def __init__(self, viewer: ViewerModel, image: Image) -> None:
        self._viewer = viewer
        self._image = image
        self._preview = Preview(viewer)
        self._hover = Preview(viewer, HOVER_NAME, _HOVER_OPACITY)
        self._gesture = Preview(viewer, GESTURE_NAME, _GESTURE_OPACITY)

    def prepare(self, plane: Plane) -> None:
        """Make what the first click needs, while nobody waits for it."""
        self._preview.prepare(self._image, plane)

    def prepare_drawing(self, plane: Plane) -> None:
        """Make what the first box needs, unseen."""
        if self._gesture.layer is None:
            self._gesture.prepare(self._image, plane)
            self._gesture.put_away()

    def show(self, prediction: MaskPrediction | None, candidate: int, plane: Plane | None) -> None:
        """Show a candidate, or nothing; what hovered goes."""
        self._hover.hide()
        if prediction is None or plane is None:
            self._preview.hide()
        else:
            patch = prediction.patches[candidate]
            self._preview.show(patch, prediction.corner, self._image, plane)

    def hover(self, prediction: MaskPrediction, candidate: int, plane: Plane) -> None:
        """Show what a click would give."""
        self._hover.show(prediction.patches[candidate], prediction.corner, self._image, plane)

    def hide_hover(self) -> None:
        """Take the hover preview away."""
        self._hover.hide()

    def draw(self, outline: NDArray[np.float64], plane: Plane, *, closed: bool) -> None:
        """Draw a box, lasso or scribble in progress: (N, 2) corners (row, col) in a plane."""
        extent = np.ceil(np.ptp(outline, axis=0)).astype(int) + 2
        _, step = frame_for((0, 0), (int(extent[0]), int(extent[1])), plane.shape)
        limit = np.ceil(np.array(plane.shape) / step) - 1
        path = (outline + 0.5) / step - 0.5
        low = np.floor(path.min(0)).clip(0, limit).astype(int)
        high = np.ceil(path.max(0)).clip(0, limit).astype(int)
        drawn = np.zeros(high - low + 1, bool)
        corners = np.concatenate([path, path[:1]]) if closed else path
        for start, end in itertools.pairwise(np.round(corners).astype(int) - low):
            rows, cols = line(*start, *end)
            inside = (rows >= 0) & (cols >= 0) & (rows < len(drawn)) & (cols < drawn.shape[1])
            drawn[rows[inside], cols[inside]] = True
        self._gesture.visible = True
        corner = int(low[0]) * step, int(low[1]) * step
        self._gesture.show(drawn, corner, self._image, plane, step)

    def hide_gesture(self) -> None:
        """Take what was being drawn away."""
        self._gesture.put_away()

    def set_hidden(self, *, hidden: bool) -> None:
        """Hide both, or show them again."""
        self._preview.visible = self._hover.visible = not hidden

    def remove(self) -> None:
        """Take the layers away, at once: napari looks for garbage after each change."""
        with batched(self._viewer):
            for layer in (self._preview, self._hover, self._gesture):
                layer.remove()
