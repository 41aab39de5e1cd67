"""Clicks that are asked about at once, and shown in napari's layer with their answer.

napari takes tens of milliseconds to add a point and to draw the window anew, and lets nothing else
run meanwhile: the answer would come that much later. So a click is a prompt from the start, and a
point of the layer when its answer is there, or after a moment.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, NamedTuple

import numpy as np
from numpy.typing import NDArray
from qtpy.QtCore import QObject, QTimer

from napari_sam.viewer.layers import Plane, to_data
from napari_sam.widgets.prompt_layers import add_point

if TYPE_CHECKING:
    from napari.components import ViewerModel
    from napari.layers import Image, Points

_MOMENT = 120
"""Milliseconds after which a point is shown though nothing was answered."""


class _Click(NamedTuple):
    layer: Points
    image: Image
    place: NDArray[np.float64]
    inside: bool


class WaitingPoints:
    """Points that are on their way into a layer.

    Parameters
    ----------
    viewer : ViewerModel
        Of the layers.
    settle : callable
        Called when points waited long enough; is to call `take`.
    parent : QObject
        Ends the waiting with it.
    """

    def __init__(self, viewer: ViewerModel, settle: Callable[[], object], parent: QObject) -> None:
        self._viewer = viewer
        self._clicks: list[_Click] = []
        self._timer = QTimer(parent)
        self._timer.setSingleShot(True)
        self._timer.timeout.connect(settle)

    def __len__(self) -> int:
        """Return how many there are."""
        return len(self._clicks)

    def add(self, layer: Points, image: Image, place: NDArray[np.float64], *, inside: bool) -> None:
        """Let a point at image data coordinates (ndim,) wait."""
        self._clicks.append(_Click(layer, image, place, inside))
        self._timer.start(_MOMENT)

    def read(self, image: Image, plane: Plane) -> tuple[NDArray[np.float64], NDArray[np.int64]]:
        """Return the points (N, 2), (row, col), on a plane, and their labels (N,).

        They are what the layer will say of them.
        """
        points, labels = np.empty((0, 2)), []
        for click in self._clicks:
            there = self._placed(click)
            if click.image is image and plane.contains(there).all():
                points = np.concatenate([points, plane.in_plane(there)])
                labels.append(int(click.inside))
        return points, np.array(labels, np.int64)

    def drop(self, image: Image, plane: Plane) -> None:
        """Forget those on a plane of an image."""
        self._clicks = [
            click
            for click in self._clicks
            if click.image is not image or not plane.contains(self._placed(click)).all()
        ]

    def _placed(self, click: _Click) -> NDArray[np.float64]:
        """Return where (1, ndim) in the image its layer will say that a point is."""
        in_layer = to_data(self._viewer, click.layer, click.image, click.place[None])
        return to_data(self._viewer, click.image, click.layer, in_layer)

    def put(self) -> None:
        """Put all into their layers, unless these are gone."""
        clicks, self._clicks = self._clicks, []
        self._timer.stop()
        for click in clicks:
            if click.layer in self._viewer.layers:
                add_point(self._viewer, click.layer, click.image, click.place, inside=click.inside)
