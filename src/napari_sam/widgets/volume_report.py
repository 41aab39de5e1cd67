"""What came of a volume job: objects, sizes and links, and the links to look at first."""

from __future__ import annotations

from qtpy.QtCore import Qt, Signal
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

from napari_sam.viewer.stack_words import doubt_cells, report_lines
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

    def __init__(self, parent: QWidget) -> None:
        super().__init__("Report", parent)
        self._doubts: tuple[LinkDoubt, ...] = ()
        layout = QVBoxLayout(self)
        self._lines = QFormLayout()
        self._lines.setFieldGrowthPolicy(QFormLayout.FieldGrowthPolicy.AllNonFixedFieldsGrow)
        layout.addLayout(self._lines)
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
            value = QLabel(text)
            value.setWordWrap(True)
            self._lines.addRow(name, value)
        for number, error in list(report.failed.items())[:_FEW]:
            value = QLabel(error)
            value.setWordWrap(True)
            self._lines.addRow(f"Block {number}", value)
        self._doubts = report.doubts[:_MOST]
        more = len(report.doubts) - len(self._doubts)
        self.title.setText(
            f"Links to look at first, of {len(report.doubts)}: click to go there"
            if more
            else "Links to look at first: click to go there"
            if self._doubts
            else "No link is in doubt"
        )
        self._fill()
        self.show()

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
                cell.setToolTip(doubt.text)
                if column != 1:
                    cell.setTextAlignment(Qt.AlignmentFlag.AlignCenter)
                self.table.setItem(row, column, cell)
        self.table.setVisible(bool(self._doubts))

    def _choose(self, row: int) -> None:
        if 0 <= row < len(self._doubts):
            self.chosen.emit(self._doubts[row])
