"""Sessions that are opened again while, or after, another window had their journal."""

import numpy as np
import pytest

from napari_sam.viewer.journal import Journal
from tests.widgets.test_changing_layers import BAR_PIXELS, commit_at


@pytest.fixture
def left(dock, viewer, qtbot):
    """An object in a layer, whose image is left for another; return journal and a way back."""
    commit_at(dock, qtbot, (8, 8), 100)
    path = dock.session.objects.journal.path
    dock.image.choose(viewer.add_image(np.zeros((20, 20)), name="other"))
    assert dock.session is None

    def back():
        dock.image.choose(viewer.layers["drawn"])
        qtbot.waitUntil(lambda: dock.session is not None)
        return dock.session

    return path, back


def check_undo(session, path):
    assert session.objects.journal.path != path
    assert sorted(session.objects.table.entries) == [1]
    assert session.labels.data.sum() == 100
    while session.take_back():
        pass
    assert not session.labels.data.any()


def test_table_and_undo_are_there_although_another_window_opened_the_image(left):
    path, back = left
    other = Journal(path, {})
    other.category("of another", "#ffffff")
    session = back()
    other.close()
    assert session.objects.table.categories == {}
    check_undo(session, path)


def test_what_another_window_added_meanwhile_is_not_taken_for_what_the_layer_shows(left):
    path, back = left
    other = Journal(path, {})
    other.undone()
    other.close()
    check_undo(back(), path)


def test_a_layer_goes_on_with_its_journal_where_nobody_else_has(left, dock, qtbot):
    path, back = left
    assert back().objects.journal.path == path
    commit_at(dock, qtbot, (30, 30), BAR_PIXELS)
    assert sorted(dock.session.objects.table.entries) == [1, 2]
