"""Start, pause and cancel a job, and see how far it is."""

from __future__ import annotations

from qtpy.QtCore import Signal
from qtpy.QtGui import QFontDatabase
from qtpy.QtWidgets import (
    QApplication,
    QHBoxLayout,
    QLabel,
    QLineEdit,
    QProgressBar,
    QPushButton,
    QVBoxLayout,
    QWidget,
)

_STATUS_LINES = 3
PURPOSE = "Finds every object, without prompts"
"""What the dock says before a job."""


class RunBox(QWidget):
    """Buttons, a progress bar, and what a job tells.

    Parameters
    ----------
    parent : QWidget
        The dock.
    """

    started = Signal()
    cancelled = Signal()
    held = Signal(bool)
    """True to pause the job, False to let it go on."""

    def __init__(self, parent: QWidget) -> None:
        super().__init__(parent)
        self.start = QPushButton("Run")
        self.start.setToolTip("Find every object, with the settings above")
        self.pause = QPushButton("Pause")
        self.pause.setCheckable(True)
        self.pause.setToolTip("Blocks in hand are finished, then nothing is done until you resume")
        self.cancel = QPushButton("Cancel")
        self.cancel.setToolTip("What a stack has done stays; run again to go on")
        self.start.clicked.connect(lambda _=False: self.started.emit())
        self.cancel.clicked.connect(lambda _=False: self.cancelled.emit())
        self.pause.toggled.connect(self._hold)
        buttons = QHBoxLayout()
        buttons.addWidget(self.start, 1)
        buttons.addWidget(self.pause)
        buttons.addWidget(self.cancel)
        self.progress = QProgressBar()
        self.progress.setRange(0, 1)
        self.progress.setValue(0)
        self.status = QLabel(PURPOSE)
        self.status.setWordWrap(True)
        self.status.setMinimumHeight(_STATUS_LINES * self.status.fontMetrics().lineSpacing())
        self.told = QLabel()
        self.told.setWordWrap(True)
        self.told.hide()
        layout = QVBoxLayout(self)
        layout.addLayout(buttons)
        layout.addWidget(self.progress)
        layout.addWidget(self.status)
        layout.addWidget(self.told)
        layout.addWidget(self._command_line())
        self.set_running(running=False)

    def set_running(self, *, running: bool, can_pause: bool = False) -> None:
        """Offer what fits a job that runs, or none."""
        self.start.setEnabled(not running)
        self.cancel.setEnabled(running)
        self.pause.setChecked(False)
        self.pause.setEnabled(running and can_pause)
        if running:
            self.progress.setRange(0, 0)
        elif self.progress.maximum() == 0:
            self.progress.setRange(0, 1)
            self.progress.setValue(0)

    def show_progress(self, done: int, total: int) -> None:
        """Show how far a job is."""
        self.progress.setRange(0, max(total, 1))
        self.progress.setValue(done)

    def say(self, text: str) -> None:
        """Show what happens now."""
        self.status.setText(text)

    def tell(self, text: str) -> None:
        """Show what holds for the whole run, under what happens now; nothing hides it."""
        self.told.setText(text)
        self.told.setVisible(bool(text))

    def show_command(self, line: str | None) -> None:
        """Show the shell's line for the job, where there is one."""
        self.command.setText(line or "")
        self.command.setCursorPosition(0)
        self.command.setToolTip(line or "")
        self._command_page.setVisible(line is not None)

    def _command_line(self) -> QWidget:
        self._command_page = page = QWidget(self)
        line = QHBoxLayout(page)
        line.setContentsMargins(0, 0, 0, 0)
        self.command = QLineEdit()
        self.command.setReadOnly(True)
        self.command.setFont(QFontDatabase.systemFont(QFontDatabase.SystemFont.FixedFont))
        self.copy = QPushButton("Copy command")
        self.copy.setToolTip("The same job in a shell; it goes on with what is done here")
        self.copy.clicked.connect(lambda _=False: self._copy())
        line.addWidget(self.command, 1)
        line.addWidget(self.copy)
        page.hide()
        return page

    def _copy(self) -> None:
        clipboard = QApplication.clipboard()
        if clipboard is not None:
            clipboard.setText(self.command.text())

    def _hold(self, held: bool) -> None:  # noqa: FBT001  as Qt calls it
        self.pause.setText("Resume" if held else "Pause")
        self.held.emit(held)
