"""Gives the keys back to the image once something was entered in a dock.

Enter in a number, a name or a list would otherwise reach napari as well, where it commits an
object; and what keeps the focus takes the keys that are meant for the image: an 8 would be typed
into a number, an O choose another entry of a list.
"""

from __future__ import annotations

from qtpy.QtCore import QEvent, QObject, Qt, QTimer
from qtpy.QtGui import QKeyEvent
from qtpy.QtWidgets import QAbstractSpinBox, QApplication, QComboBox, QWidget

_DONE = (Qt.Key.Key_Return, Qt.Key.Key_Enter, Qt.Key.Key_Escape)


class HandingBack(QObject):
    """Lets Enter and Escape end an entry, and the choice from a list be its end.

    Parameters
    ----------
    dock : QWidget
        Whose numbers and lists; those that are in it now.
    """

    def __init__(self, dock: QWidget) -> None:
        super().__init__(dock)
        for number in dock.findChildren(QAbstractSpinBox):
            number.installEventFilter(self)
        self._lists: dict[QObject | None, QComboBox] = {}
        for chooser in dock.findChildren(QComboBox):
            chooser.installEventFilter(self)
            view = chooser.view()
            if view is not None:
                view.installEventFilter(self)
                self._lists[view] = chooser

    def eventFilter(self, watched: QObject | None, event: QEvent | None) -> bool:  # noqa: N802
        """See Qt."""
        if event is None or watched is None:
            return False
        if event.type() == QEvent.Type.Hide and watched in self._lists:
            QTimer.singleShot(0, self._hand_back)  # Qt gives the focus to the list first
        is_entry = isinstance(watched, QAbstractSpinBox | QComboBox)
        if is_entry and isinstance(event, QKeyEvent) and event.key() in _DONE:
            if event.type() == QEvent.Type.KeyPress:
                self._hand_back()
            return event.type() in (QEvent.Type.KeyPress, QEvent.Type.KeyRelease)
        return False

    def _hand_back(self) -> None:
        """Let go of the focus; keys that nobody has go to napari's window, and so to the image."""
        focused = QApplication.focusWidget()
        dock = self.parent()
        if focused is not None and isinstance(dock, QWidget) and dock.isAncestorOf(focused):
            focused.clearFocus()
