"""How far a job is, and a button that stops it."""

from __future__ import annotations

from qtpy.QtCore import Signal
from qtpy.QtWidgets import QHBoxLayout, QProgressBar, QPushButton, QWidget


class JobBar(QWidget):
    """Shown while a job runs.

    Parameters
    ----------
    parent : QWidget
        The dock.
    """

    stopped = Signal()

    def __init__(self, parent: QWidget) -> None:
        super().__init__(parent)
        self.bar = QProgressBar()
        self.stop = QPushButton("Stop")
        self.stop.setToolTip("End the job; what it has written stays, and Ctrl+Z takes it back")
        self.stop.clicked.connect(lambda _=False: self.stopped.emit())
        line = QHBoxLayout(self)
        line.setContentsMargins(0, 0, 0, 0)
        line.addWidget(self.bar, 1)
        line.addWidget(self.stop)
        self.hide()

    def begin(self) -> None:
        """Show that a job runs and has not told how far it is."""
        self.bar.setRange(0, 0)
        self.show()

    def show_progress(self, done: int, total: int) -> None:
        """Show how far it is."""
        self.bar.setRange(0, max(1, total))
        self.bar.setValue(done)

    def end(self) -> None:
        """Hide."""
        self.hide()
