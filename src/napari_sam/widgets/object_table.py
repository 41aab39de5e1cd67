"""The dock "Objects": every object of a session in a table."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Any

import numpy as np
from qtpy.QtCore import QItemSelectionModel, Qt, QTimer
from qtpy.QtWidgets import (
    QAbstractItemView,
    QGridLayout,
    QHeaderView,
    QInputDialog,
    QLabel,
    QPushButton,
    QTableView,
    QVBoxLayout,
    QWidget,
)

from napari_sam.viewer.entries import ObjectEntry
from napari_sam.widgets.object_model import ObjectModel
from napari_sam.widgets.workers import report_refusal

if TYPE_CHECKING:
    from napari_sam.viewer.session import Session

_NAMED = 6
"""Of more objects, what was done is told without their numbers."""


class ObjectTableWidget(QWidget):
    """Shows the objects; selecting a row selects the object, and the other way round.

    Parameters
    ----------
    session : Session
        Whose objects.
    split_line : callable
        Returns the corners (N, 2) of the line that a person drew, in pixels of the labels, and the
        data axes that they are on; or None.
    take_up : callable
        Lists the objects that the layer shows and the table does not.
    say : callable, optional
        Shows what was done.
    """

    def __init__(
        self,
        session: Session,
        split_line: Callable[[], Any],
        take_up: Callable[[], object],
        say: Callable[[str], None] = lambda _: None,
    ) -> None:
        super().__init__()
        self._session = session
        self._say = say
        self._split_line = split_line
        self._take_up = take_up
        self._selecting = False
        self._seen: list[ObjectEntry] = []
        layout = QVBoxLayout(self)
        self.model = ObjectModel(session, self)
        self.view = QTableView()
        self.view.setModel(self.model)
        self.view.setSortingEnabled(True)
        self.view.sortByColumn(0, Qt.SortOrder.AscendingOrder)
        self.view.setSelectionBehavior(QAbstractItemView.SelectionBehavior.SelectRows)
        self.view.verticalHeader().hide()
        header = self.view.horizontalHeader()
        header.setSectionResizeMode(QHeaderView.ResizeMode.ResizeToContents)
        header.setResizeContentsPrecision(0)  # of the rows in sight
        self.view.setMinimumHeight(160)
        self.view.selectionModel().selectionChanged.connect(self._selected)
        layout.addWidget(self.view)
        layout.addLayout(self._buttons())
        self.count = QLabel()
        layout.addWidget(self.count)
        self._soon = QTimer(self)
        self._soon.setSingleShot(True)
        self._soon.timeout.connect(self._refresh)
        session.objects.changed.connect(self._schedule)
        self._refresh()

    @property
    def chosen(self) -> list[int]:
        """The labels of the selected rows, in the order of the table."""
        rows = self.view.selectionModel().selectedRows()
        return [self.model.entry(row).label_id for row in sorted(index.row() for index in rows)]

    def choose(self, label_id: int) -> None:
        """Select the row of an object."""
        self.view.clearSelection()
        self._select([label_id])

    def detach(self) -> None:
        """Stop listening to the session."""
        self._session.objects.changed.disconnect(self._schedule)

    def shows(self, session: Session) -> bool:
        """Tell whether the table is seen and is about a session."""
        return self._session is session and self.isVisible()

    def _schedule(self) -> None:
        """Refresh once when a burst of changes is over, if a row would change."""
        if self._entries() != self._seen:
            self._soon.start(0)

    def _entries(self) -> list[ObjectEntry]:
        return list(self._session.objects.table)

    def _select(self, label_ids: list[int]) -> None:
        flags = QItemSelectionModel.SelectionFlag
        for row in map(self.model.row_of, label_ids):
            if row is not None:
                index = self.model.index(row, 0)
                self.view.selectionModel().select(index, flags.Select | flags.Rows)

    def _buttons(self) -> QGridLayout:
        grid = QGridLayout()
        objects = self._session.objects
        acts: tuple[tuple[str, str, Callable[[list[int]], object], str], ...] = (
            ("Delete", "Delete the selected objects", objects.delete, "Deleted"),
            ("Merge", "Merge the selected objects into the first", objects.merge, "Merged"),
            ("Split", "Cut along the last line drawn in the Shapes layer", self._split, "Split"),
            ("Class ...", "Give the selected objects a class", self._class, ""),
            ("Reopen", "Take up the object's prompts again", self._reopen, "Reopened"),
            ("Reviewed", "Mark as reviewed", objects.mark_reviewed, "Marked as reviewed:"),
        )
        for place, (text, tooltip, act, done) in enumerate(acts):
            button = QPushButton(text)
            button.setToolTip(tooltip)
            button.setObjectName(text.lower().strip(" ."))
            button.clicked.connect(lambda _=False, act=act, done=done: self._do(act, done))
            grid.addWidget(button, *divmod(place, 3))
        take_up = QPushButton("Take up objects of the layer")
        take_up.setToolTip("List objects that are drawn but not listed, such as those of a file")
        take_up.setObjectName("take up")
        take_up.clicked.connect(self._take_up)
        grid.addWidget(take_up, grid.rowCount(), 0, 1, 3)
        return grid

    def _do(self, act: Callable[[list[int]], object], done: str) -> None:
        """Act on the selected objects, and say that it is `done`."""
        chosen = self.chosen
        if not chosen:
            self.count.setText("Select rows first")
            return
        try:
            act(chosen)
        except ValueError as error:
            self.count.setText(str(error))
            report_refusal(error)
            return
        if done:
            one = chosen[:1] if act in (self._split, self._reopen) else chosen
            names = ", ".join(map(str, one)) if len(one) <= _NAMED else ""
            which = f"object{'s' * (len(one) > 1)} {names}" if names else f"{len(one)} objects"
            self._say(f"{done} {which}; Ctrl+Z takes it back")

    def _split(self, chosen: list[int]) -> None:
        line = self._split_line()
        if line is None:
            raise ValueError("Draw a line or path through the object in the Shapes layer first")
        corners, axes = line
        self._session.objects.split(chosen[0], corners, axes)

    def _class(self, chosen: list[int]) -> None:
        known = ["", *self._session.objects.table.categories]
        name, accepted = QInputDialog.getItem(self, "Class", "Class of the objects", known)
        if accepted:
            self._session.objects.set_category(chosen, name)

    def _reopen(self, chosen: list[int]) -> None:
        self._session.objects.jump_to(chosen[0])
        self._session.reopen(chosen[0])

    def _selected(self, *_: object) -> None:
        """Go to the object of the first selected row."""
        chosen = self.chosen
        labels = self._session.labels
        if self._selecting or not chosen or labels is None:
            return
        self._selecting = True
        labels.selected_label = np.int64(chosen[0])
        self._session.objects.jump_to(chosen[0])
        self._selecting = False

    def _refresh(self) -> None:
        chosen = self.chosen
        self._selecting = True
        if self.model.refresh():
            self._select(chosen)
        self._selecting = False
        self._seen = self._entries()
        waiting = sum(not entry.reviewed for entry in self._seen)
        self.count.setText(f"{len(self._seen)} objects, {waiting} not reviewed")
