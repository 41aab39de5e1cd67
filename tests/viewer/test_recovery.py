"""Sets of objects beside the first, found again after a restart."""

import numpy as np
import pytest

from napari_sam.viewer.journal import ImageSample
from napari_sam.viewer.labels_output import journals_shown
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
