"""Sets of objects beside the first, found again after a restart."""

import numpy as np
import pytest

from napari_sam.viewer.journal import ImageSample, Journal
from napari_sam.viewer.labels_output import NotedJournal, journals_shown, noted_journal
from napari_sam.viewer.recovery import further_sets, open_journal, resume, show_sets
from tests.viewer.test_journal import session_in
from tests.viewer.test_objects import commit, drawn

SQUARE, BAR = 100, 375


@pytest.fixture
def sets(tmp_path):
    """Look for further sets in the test's folder."""

    def found(**options):
        return further_sets(drawn(), (40, 50), "drawn", tmp_path, **options)

    return found


def session_of(folder, name):
    """Go on with the journal of one set."""
    session, _ = session_in(folder / "elsewhere")
    session.objects.close()
    resume(session, open_journal(drawn(), (40, 50), "drawn", folder, labels_name=name))
    return session


class Counting:
    """An array that counts how often it is read."""

    def __init__(self, array):
        self.array, self.reads = array, 0
        self.shape, self.dtype, self.ndim = array.shape, array.dtype, array.ndim

    def __getitem__(self, index):
        self.reads += 1
        return self.array[index]


def test_an_image_is_read_once_for_all_of_its_journals(tmp_path):
    image = Counting(drawn())
    sample = ImageSample.of(image)
    opened = open_journal(sample, (40, 50), "drawn", tmp_path)
    assert further_sets(sample, (40, 50), "drawn", tmp_path) == []
    assert image.reads == 1
    opened.journal.close()
    same = open_journal(image, (40, 50), "drawn", tmp_path)
    assert same.journal.path == opened.journal.path
    same.journal.close()


def test_a_second_set_is_found_once_and_not_while_it_is_open(tmp_path, sets):
    session_of(tmp_path, "SAM labels").close()
    second = session_of(tmp_path, "SAM labels 2")
    commit(second, (8, 8))
    assert sets() == []
    second.close()
    (found,) = sets()
    assert found.name == "SAM labels 2"
    assert int((found.labels > 0).sum()) == SQUARE
    assert sets(shown=["SAM labels 2"]) == []


def test_sets_without_objects_are_no_sets(tmp_path, sets):
    session = session_of(tmp_path, "SAM labels 2")
    session.add_point((8, 8))
    session.close()
    assert sets() == []


def test_what_a_second_window_wrote_becomes_a_set(tmp_path, sets):
    one, _ = session_in(tmp_path)
    two, _ = session_in(tmp_path)
    commit(one, (8, 8))
    commit(two, (30, 30))
    assert sets() == []
    two.close()
    (found,) = sets()
    assert (found.name, int((found.labels > 0).sum())) == ("SAM labels 2", BAR)
    assert [each.name for each in sets()] == ["SAM labels 2"]
    one.close()
    again, told = session_in(tmp_path)
    assert "1 objects" in told
    assert again.labels.data.sum() == SQUARE


def test_a_window_of_a_second_set_takes_the_third_name(tmp_path, sets):
    session_of(tmp_path, "SAM labels").close()
    second, window = (session_of(tmp_path, "SAM labels 2") for _ in range(2))
    commit(second, (8, 8))
    commit(window, (30, 30))
    second.close()
    window.close()
    assert {each.name: int((each.labels > 0).sum()) for each in sets()} == {
        "SAM labels 2": SQUARE,
        "SAM labels 3": BAR,
    }


def test_shown_sets_remember_image_and_journal(tmp_path, sets):
    second = session_of(tmp_path, "SAM labels 2")
    commit(second, (30, 30))
    second.close()
    session, _ = session_in(tmp_path)
    (layer,) = show_sets(session, sets())
    assert layer.name == "SAM labels 2"
    assert np.unique(layer.data).tolist() == [0, 1]
    assert journals_shown(session.viewer, session.image) == {"SAM labels 2"}
    path = second_path(tmp_path)
    assert noted_journal(layer, session.image) == (path, path.stat().st_size)


def second_path(folder):
    (path,) = (p for p in folder.glob("*.jsonl") if '"labels":"SAM labels 2"' in p.read_text())
    return path


def test_it_is_told_where_another_window_has_the_objects_of_a_layer(tmp_path):
    first, _ = session_in(tmp_path)
    commit(first, (8, 8))
    shown = NotedJournal(first.objects.journal.path)
    second = open_journal(drawn(), (40, 50), "drawn", tmp_path, shown=shown)
    session, _ = session_in(tmp_path / "elsewhere")
    session.objects.close()
    assert "Another dock or window" in resume(session, second)
    session.close()
    first.close()


def test_a_journal_that_cannot_be_read_is_let_go_of(tmp_path):
    (tmp_path / "a.jsonl").mkdir()
    for _ in range(2):
        with pytest.raises(OSError, match="jsonl"):
            Journal(tmp_path / "a.jsonl", {})


def worked_over(folder, layer):
    """Go on in a copy of a person's layer: replace, delete, erase, paint; return the session."""
    session, told = session_in(folder, labels=layer.copy())
    if not told:
        commit(session, (8, 8), overlap="overwrite")
        session.labels.selected_label, session.labels.brush_size = 0, 5
        session.labels.paint((2, 44), 0)
        session.labels.paint((30, 25), 4)
        commit(session, (30, 30), label_id=4, overlap="overwrite")
        session.objects.delete([4])
        session.labels.paint((25, 25), 7)
    return session, told


@pytest.fixture
def mine():
    labels = np.zeros((40, 50), np.uint16)
    labels[3:12, 3:12], labels[1:4, 40:48], labels[18:30, 18:30] = 1, 9, 2
    return labels


@pytest.mark.parametrize("saved", [0, 2, None])
def test_what_was_erased_and_replaced_comes_back_in_a_layer_of_ones_own(tmp_path, mine, saved):
    session, _ = worked_over(tmp_path, mine)
    done, now = session.objects.history.done, session.labels.data.copy()
    while saved is not None and len(done) > saved:  # what the layer's file has of it
        session.take_back()
    file = session.labels.data.copy()
    while session.bring_back():
        pass
    session.close()
    again, told = worked_over(tmp_path, file)
    assert np.array_equal(again.labels.data, now)
    assert "pixels" not in told
    while again.take_back():
        pass
    assert np.array_equal(again.labels.data, mine)
    again.close()


def test_pixels_that_are_not_as_they_were_left_stay_and_are_counted(tmp_path, mine):
    session, _ = worked_over(tmp_path, mine)
    now = session.labels.data.copy()
    session.close()
    mine[5:7, 5:9] = 13
    again, told = worked_over(tmp_path, mine)
    assert "8 pixels of the layer are not as they were left, and stay" in told
    now[5:7, 5:9] = 13
    assert np.array_equal(again.labels.data, now)
    again.close()


def test_a_stack_of_ones_own_is_followed_plane_by_plane(tmp_path):
    image, mine = np.stack([drawn()] * 3), np.full((3, 40, 50), 6, np.uint8)
    session, _ = session_in(tmp_path, image, mine.copy())
    commit(session, (8, 8), label_id=5, overlap="overwrite")
    session.labels.fill((0, 0, 0), 8)
    now = session.labels.data.copy()
    session.close()
    again, told = session_in(tmp_path, image, mine)
    assert np.array_equal(again.labels.data, now)
    assert "pixels" not in told
    again.close()
