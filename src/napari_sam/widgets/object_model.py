"""The objects of a session as Qt's tables read them: sorted, and quick with tens of thousands."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import TYPE_CHECKING, Any

from qtpy.QtCore import QAbstractTableModel, QModelIndex, QObject, Qt
from qtpy.QtGui import QColor

from napari_sam.viewer.entries import ObjectEntry

if TYPE_CHECKING:
    from napari_sam.viewer.session import Session

_ROLE = Qt.ItemDataRole


def _rounded(value: float | None) -> float | str:
    return "" if value is None else round(value, 3)


def _slices(entry: ObjectEntry) -> str:
    sides = entry.bounds[:-2]
    return " ".join(str(low) if high == low + 1 else f"{low}-{high - 1}" for low, high in sides)


_COLUMNS: tuple[tuple[str, Callable[[ObjectEntry], Any]], ...] = (
    ("Object", lambda entry: entry.label_id),
    ("Class", lambda entry: entry.category),
    ("IoU", lambda entry: _rounded(entry.predicted_iou)),
    ("Doubt", lambda entry: _rounded(entry.doubt if entry.is_judged else None)),
    ("Pixels", lambda entry: entry.area),
    ("Slices", _slices),
    ("From", lambda entry: entry.origin),
    ("Reviewed", lambda entry: "yes" if entry.reviewed else ""),
)
_SLICES = 5


class ObjectModel(QAbstractTableModel):
    """The table as Qt reads it.

    It sorts by itself: a proxy of Qt's would ask for a cell at each comparison.

    Parameters
    ----------
    session : Session
        Whose objects.
    parent : QObject
        The dock.
    """

    def __init__(self, session: Session, parent: QObject) -> None:
        super().__init__(parent)
        self._session = session
        self._entries: list[ObjectEntry] = []
        self._rows: dict[int, int] = {}
        self._order: tuple[int, bool] = (0, False)
        self.refresh()

    def refresh(self) -> bool:
        """Read the objects anew; returns whether rows came, went, or moved."""
        entries = self._sorted(self._session.objects.table)
        rows = {entry.label_id: row for row, entry in enumerate(entries)}
        if rows == self._rows:
            changed = [
                row
                for row, (old, new) in enumerate(zip(self._entries, entries, strict=True))
                if old is not new
            ]
            self._entries = entries
            if changed:
                last = self.columnCount() - 1
                self.dataChanged.emit(self.index(changed[0], 0), self.index(changed[-1], last))
            return False
        self.beginResetModel()
        self._entries, self._rows = entries, rows
        self.endResetModel()
        return True

    def entry(self, row: int) -> ObjectEntry:
        """Return the object in a row."""
        return self._entries[row]

    def row_of(self, label_id: int) -> int | None:
        """Return the row that an object is in; None if it is in none."""
        return self._rows.get(label_id)

    def sort(self, column: int, order: Qt.SortOrder = Qt.SortOrder.AscendingOrder) -> None:
        """Sort by a column, objects that are equal in it by their labels."""
        self._order = column, order == Qt.SortOrder.DescendingOrder
        self.layoutAboutToBeChanged.emit()
        before = self.persistentIndexList()
        labels = [self._entries[index.row()].label_id for index in before]
        self._entries = self._sorted(self._entries)
        self._rows = {entry.label_id: row for row, entry in enumerate(self._entries)}
        after = [
            self.index(self._rows[label], index.column())
            for label, index in zip(labels, before, strict=True)
        ]
        self.changePersistentIndexList(before, after)
        self.layoutChanged.emit()

    def rowCount(self, parent: QModelIndex | None = None) -> int:  # noqa: ARG002, N802
        """Return the number of objects."""
        return len(self._entries)

    def columnCount(self, parent: QModelIndex | None = None) -> int:  # noqa: ARG002, N802
        """Return the number of columns."""
        return len(_COLUMNS)

    def data(self, index: QModelIndex, role: int = _ROLE.DisplayRole) -> Any:
        """Return a cell's text, or the class's colour."""
        entry = self._entries[index.row()]
        if role == _ROLE.DisplayRole:
            return _COLUMNS[index.column()][1](entry)
        if role == _ROLE.DecorationRole and index.column() == 1 and entry.category:
            return QColor(self._session.objects.table.categories[entry.category])
        return None

    def headerData(  # noqa: N802
        self, section: int, orientation: Qt.Orientation, role: int = _ROLE.DisplayRole
    ) -> Any:
        """Return a column's name."""
        if role == _ROLE.DisplayRole and orientation == Qt.Orientation.Horizontal:
            return _COLUMNS[section][0]
        return None

    def _sorted(self, entries: Iterable[ObjectEntry]) -> list[ObjectEntry]:
        """Sort by the chosen column, then by label; what is not known comes last."""
        entries = list(entries)
        column, falling = self._order
        value = _COLUMNS[column][1]
        keys = {entry.label_id: value(entry) for entry in entries}
        known = [entry for entry in entries if keys[entry.label_id] != ""]
        unknown = [entry for entry in entries if keys[entry.label_id] == ""]

        def key(entry: ObjectEntry) -> Any:
            return entry.bounds if column == _SLICES else keys[entry.label_id]

        known.sort(key=lambda entry: entry.label_id)
        known.sort(key=key, reverse=falling)
        return known + sorted(unknown, key=lambda entry: entry.label_id)
