"""Notices when a person has stopped zooming and moving about."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING

from qtpy.QtCore import QObject, QTimer

from napari_sam.viewer.layers import camera_of

if TYPE_CHECKING:
    from napari.components import ViewerModel

_REST = 300
"""Milliseconds without a change of the camera."""


class Resting(QObject):
    """Calls once after the camera of a viewer moved and rests.

    Parameters
    ----------
    viewer : ViewerModel
        Whose camera.
    call : callable
        What to do then.
    parent : QObject
        Ends it.
    """

    def __init__(self, viewer: ViewerModel, call: Callable[[], object], parent: QObject) -> None:
        super().__init__(parent)
        self._timer = QTimer(self)
        self._timer.setSingleShot(True)
        self._timer.setInterval(_REST)
        self._timer.timeout.connect(call)
        self._camera = camera_of(viewer)
        self._camera.events.connect(self._moved)

    def end(self) -> None:
        """Listen no more."""
        self._timer.stop()
        self._camera.events.disconnect(self._moved)

    def _moved(self, event: object = None) -> None:  # noqa: ARG002
        self._timer.start()
