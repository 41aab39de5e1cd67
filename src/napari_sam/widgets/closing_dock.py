"""A dock that notices when napari closes it."""

from __future__ import annotations

from qtpy.QtCore import QEvent
from qtpy.QtWidgets import QWidget


class ClosingDock(QWidget):
    """A widget that lets go of everything when napari takes it out of its window."""

    def shut(self) -> None:
        """Let go of jobs, layers and whatever listens."""
        raise NotImplementedError

    def event(self, event: QEvent) -> bool:
        """See Qt."""
        if event.type() == QEvent.Type.ParentChange and self.parent() is None:
            self.shut()
        return bool(super().event(event))
