"""Tells where clicks go while another layer than the points is selected: napari pans then."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING

from qtpy.QtCore import QObject, QTimer

if TYPE_CHECKING:
    from napari.components import ViewerModel
    from napari.layers import Layer

    from napari_sam.widgets.prompt_board import PromptBoard


class ClickHint(QObject):
    """Follows which layer is selected.

    Parameters
    ----------
    viewer : ViewerModel
        Whose layers.
    prompts : PromptBoard
        Knows the layers that prompts are on.
    say, said : callable
        Shows a line of text; returns the one that is shown.
    parent : QObject
        The dock.
    """

    def __init__(
        self,
        viewer: ViewerModel,
        prompts: PromptBoard,
        say: Callable[[str], None],
        said: Callable[[], str],
        parent: QObject,
    ) -> None:
        super().__init__(parent)
        self._viewer = viewer
        self._prompts = prompts
        self._say = say
        self._said = said
        self._active: Layer | None = None
        self._told = self._before = ""
        self._soon = QTimer(self)  # layers that come and go are selected in between
        self._soon.setSingleShot(True)
        self._soon.timeout.connect(self._tell)
        viewer.layers.selection.events.active.connect(self._changed)

    def end(self) -> None:
        """Stop following."""
        self._viewer.layers.selection.events.active.disconnect(self._changed)
        self._soon.stop()

    def _changed(self, event: object = None) -> None:  # noqa: ARG002
        self._soon.start(0)

    def _tell(self) -> None:
        points, active = self._prompts.point_layer, self._viewer.layers.selection.active
        if points is None or active is None or active is self._active:
            return
        self._active = active
        if active not in (points, self._prompts.shape_layer):
            if self._said() != self._told:
                self._before = self._said()
            self._told = f"Clicks go to {active.name!r}: select {points.name!r} to click objects"
            self._say(self._told)
        elif self._told and self._said() == self._told:
            self._say(self._before)
