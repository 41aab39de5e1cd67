"""The table of objects as Qt reads it: sorted, selections kept, few cells asked for."""

import dataclasses

import numpy as np
import pytest
from napari.components import ViewerModel
from qtpy.QtCore import Qt

from napari_sam.viewer.entries import EntryChange, ObjectEntry
from napari_sam.viewer.history import Change
from napari_sam.viewer.session import Session
from napari_sam.widgets.object_model import ObjectModel
from napari_sam.widgets.object_table import ObjectTableWidget
from tests.oracle import OraclePredictor

RISING, FALLING = Qt.SortOrder.AscendingOrder, Qt.SortOrder.DescendingOrder


def entry(label, z, **told) -> ObjectEntry:
    return ObjectEntry(label_id=label, bounds=((z, z + 1), (0, 5), (0, 5)), **told)


def session_with(entries) -> Session:
    viewer = ViewerModel()
    session = Session(viewer, OraclePredictor(), viewer.add_image(np.zeros((30, 40, 50))))
    added = tuple(EntryChange(None, one) for one in entries)
    session.objects.do(Change(kind="take up", entries=added))
    return session


@pytest.fixture
def session():
    return session_with(
        [
            entry(1, 10, category="b", predicted_iou=0.5, area=7),
            entry(2, 2, category="", area=30, reviewed=True),
            entry(3, 9, category="a", predicted_iou=0.9, area=7, origin="alike"),
            entry(4, 2, category="b", predicted_iou=None, area=100),
        ]
    )


def labels_of(model) -> list[int]:
    return [model.entry(row).label_id for row in range(model.rowCount())]


@pytest.mark.parametrize(
    ("column", "rising", "falling"),
    [
        (0, [1, 2, 3, 4], [4, 3, 2, 1]),
        (1, [3, 1, 4, 2], [1, 4, 3, 2]),  # without a class: last
        (2, [1, 3, 2, 4], [3, 1, 2, 4]),  # without a score: last
        (4, [1, 3, 2, 4], [4, 2, 1, 3]),
        (5, [2, 4, 3, 1], [1, 3, 2, 4]),  # 9 is before 10
        (7, [2, 1, 3, 4], [2, 1, 3, 4]),
    ],
)
def test_each_column_sorts(session, parent, column, rising, falling):
    model = ObjectModel(session, parent)
    model.sort(column, RISING)
    assert labels_of(model) == rising
    model.sort(column, FALLING)
    assert labels_of(model) == falling
    assert [model.row_of(label) for label in falling] == [0, 1, 2, 3]


def test_rows_that_stay_are_told_alone(session, parent, qtbot):
    model = ObjectModel(session, parent)
    told = []
    model.dataChanged.connect(lambda first, last, *_: told.append((first.row(), last.row())))
    session.objects.mark_reviewed([3])
    assert not model.refresh()
    assert told == [(2, 2)]
    assert not model.refresh()
    assert told == [(2, 2)]
    model.sort(7, RISING)
    session.objects.mark_reviewed([4])
    with qtbot.waitSignal(model.modelReset):
        assert model.refresh()  # it moves up
    assert labels_of(model) == [2, 3, 4, 1]


def test_what_is_selected_stays_selected(session, qtbot):
    table = ObjectTableWidget(session, lambda: None, lambda: None)
    qtbot.addWidget(table)
    table.choose(3)
    table.view.sortByColumn(4, FALLING)
    assert table.chosen == [3]
    session.objects.do(
        Change(kind="delete", entries=(EntryChange(session.objects.table[2], None),))
    )
    qtbot.waitUntil(lambda: table.model.rowCount() == 3)
    assert table.chosen == [3]
    session.objects.set_category([3], "c")
    qtbot.waitUntil(lambda: table.model.index(2, 1).data() == "c")
    assert table.chosen == [3]
    assert table.count.text() == "3 objects, 3 not reviewed"


def test_thousands_of_objects_are_not_asked_for_each_cell(qtbot, monkeypatch):
    session = session_with([entry(label, label % 30, area=label) for label in range(1, 3001)])
    asked = []
    data = ObjectModel.data
    monkeypatch.setattr(
        ObjectModel, "data", lambda self, *args: asked.append(args) or data(self, *args)
    )
    table = ObjectTableWidget(session, lambda: None, lambda: None)
    qtbot.addWidget(table)
    table.show()
    table.view.sortByColumn(4, FALLING)
    changed = dataclasses.replace(session.objects.table[7], area=9999)
    change = EntryChange(session.objects.table[7], changed)
    session.objects.do(Change(kind="paint", entries=(change,)))
    qtbot.waitUntil(lambda: table.model.entry(0).label_id == 7)
    qtbot.wait(50)
    assert 0 < len(asked) < 3000
