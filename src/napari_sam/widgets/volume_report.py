"""What came of a volume job: objects, sizes and links, and the links to look at first."""

from __future__ import annotations

from qtpy.QtCore import Qt, QTimer, Signal
from qtpy.QtWidgets import (
    QAbstractItemView,
    QFormLayout,
    QGroupBox,
    QHeaderView,
    QLabel,
    QTableWidget,
    QTableWidgetItem,
    QVBoxLayout,
    QWidget,
)

from napari_sam.viewer.stack_words import doubt_cells, doubt_tooltip, report_lines
from napari_sam.volume import LinkDoubt, VolumeReport

_MOST, _FEW = 100, 5
"""Doubts, and blocks that failed, that are shown."""
_COLUMNS = ("Doubt", "What", "Objects", "Slice")


class VolumeReportBox(QGroupBox):
    """Shown once a job is done; a click on a doubt goes there.

    Parameters
    ----------
    parent : QWidget
        The dock.
    """

    chosen = Signal(object)
    """The `LinkDoubt` that a person wants to see."""
    opened = Signal()
    """A report is shown, and has its size."""

    def __init__(self, parent: QWidget) -> None:
        super().__init__("Report", parent)
        self._doubts: tuple[LinkDoubt, ...] = ()
        layout = QVBoxLayout(self)
        self._lines = QFormLayout()
        self._lines.setFieldGrowthPolicy(QFormLayout.FieldGrowthPolicy.AllNonFixedFieldsGrow)
        layout.addLayout(self._lines)
        self.failed = QLabel()
        self.failed.setWordWrap(True)
        layout.addWidget(self.failed)
        self.title = QLabel()
        self.title.setWordWrap(True)
        layout.addWidget(self.title)
        self.table = QTableWidget(0, len(_COLUMNS))
        self.table.setHorizontalHeaderLabels(_COLUMNS)
        self.table.verticalHeader().hide()
        self.table.setSelectionBehavior(QAbstractItemView.SelectionBehavior.SelectRows)
        self.table.setSelectionMode(QAbstractItemView.SelectionMode.SingleSelection)
        self.table.setEditTriggers(QAbstractItemView.EditTrigger.NoEditTriggers)
        header = self.table.horizontalHeader()
        header.setSectionResizeMode(QHeaderView.ResizeMode.ResizeToContents)
        header.setSectionResizeMode(1, QHeaderView.ResizeMode.Stretch)
        self.table.setMinimumHeight(160)
        self.table.currentCellChanged.connect(lambda row, *_: self._choose(row))
        self.table.cellClicked.connect(lambda row, _: self._choose(row))
        layout.addWidget(self.table)
        self.hide()

    def open(self, report: VolumeReport) -> None:
        """Show a report."""
        self.clear()
        for name, text in report_lines(report):
            self._lines.addRow(name, QLabel(text))
        failed = list(report.failed.items())[:_FEW]
        self.failed.setText("\n".join(f"Block {number}: {error}" for number, error in failed))
        self.failed.setVisible(bool(failed))
        self._doubts = report.doubts[:_MOST]
        more = len(report.doubts) - len(self._doubts)
        self.title.setText(
            f"In doubt (the worst {len(self._doubts)} of {len(report.doubts)}): click to go there"
            if more
            else "In doubt: click to go there"
            if self._doubts
            else "No link is in doubt"
        )
        self._fill()
        self.show()
        QTimer.singleShot(0, self.opened.emit)

    def clear(self) -> None:
        """Hide, and forget the report."""
        self._doubts = ()
        while self._lines.rowCount():
            self._lines.removeRow(0)
        self.table.setRowCount(0)
        self.hide()

    def _fill(self) -> None:
        self.table.setRowCount(len(self._doubts))
        for row, doubt in enumerate(self._doubts):
            for column, text in enumerate(doubt_cells(doubt)):
                cell = QTableWidgetItem(text)
                cell.setToolTip(doubt_tooltip(doubt))
                if column != 1:
                    cell.setTextAlignment(Qt.AlignmentFlag.AlignCenter)
                self.table.setItem(row, column, cell)
        self.table.setVisible(bool(self._doubts))

    def _choose(self, row: int) -> None:
        if 0 <= row < len(self._doubts):
            self.chosen.emit(self._doubts[row])
