"""The preview under the cursor: a switch, and what it does while it is on."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING

from numpy.typing import ArrayLike
from qtpy.QtCore import Signal
from qtpy.QtWidgets import QCheckBox, QWidget

from napari_sam.widgets.live import LatestWins

if TYPE_CHECKING:
    from napari_sam.viewer.requests import PredictAnswer
    from napari_sam.viewer.session import Session

SLOW = 0.15
"""Hovering switches itself off where answers take longer, seconds."""
_PATIENCE = 3


class Hovering(QCheckBox):
    """Shows what a click would give.

    Parameters
    ----------
    live : LatestWins
        Answers, kind ``"hover"``, after those of kind ``"prompt"``.
    session : callable
        Returns the session, or None.
    parent : QWidget
        The dock.
    """

    status = Signal(str)
    unseen = Signal(object)
    """A request for a place that is not embedded yet."""

    def __init__(
        self, live: LatestWins, session: Callable[[], Session | None], parent: QWidget
    ) -> None:
        super().__init__("Preview under the cursor", parent)
        self._live = live
        self._session = session
        self._slow = 0
        self.setChecked(True)
        self.setToolTip("Shows what a click would give")
        self.toggled.connect(self._toggled)

    def ask(self, point: ArrayLike) -> None:
        """Ask what a click at (row, col) would give."""
        session = self._session()
        if session is None or not self.isChecked():
            return
        request = None if self._live.is_asked("prompt") else session.hover_request(point)
        if request is None or not request.is_embedded:
            self.hide_preview()
            if request is not None:
                self.unseen.emit(request)
        else:
            self._live.ask("hover", request.answer)

    def show_answer(self, session: Session, answer: PredictAnswer, seconds: float) -> None:
        """Show an answer; slow ones, three in a row, switch hovering off."""
        self._slow = self._slow + 1 if seconds > SLOW else 0
        if self._slow >= _PATIENCE:
            self.setChecked(False)
            self.status.emit(
                "The preview under the cursor is off: this model is too slow for it here"
            )
        elif self.isChecked() and not self._live.is_asked("prompt"):
            session.apply_hover(answer)

    def hide_preview(self) -> None:
        """Show nothing."""
        self._live.forget("hover")
        session = self._session()
        if session is not None:
            session.overlays.hide_hover()

    def _toggled(self, on: bool) -> None:  # noqa: FBT001  a slot
        self._slow = 0
        if not on:
            self.hide_preview()
