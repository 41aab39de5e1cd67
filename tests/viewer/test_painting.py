"""What a person paints with napari's own tools is a change like any other."""

import tracemalloc

import numpy as np
import pytest
from napari.components import ViewerModel

from napari_sam.viewer.journal import Journal, read_journal
from napari_sam.viewer.labels_output import changed_patch
from napari_sam.viewer.napari_private import paint_regions
from tests.viewer.test_objects import commit, session_on


def test_what_a_person_paints_is_part_of_the_history():
    session = session_on()
    commit(session, (8, 8))
    session.labels.brush_size = 4
    session.labels.paint((30, 30), 7)
    assert session.objects.table[7].origin == "painted"
    painted = (session.labels.data == 7).sum()
    assert painted > 4
    session.labels.paint((8, 8), 0)
    assert (session.labels.data == 1).sum() < 100
    assert session.undo() == "paint"
    assert (session.labels.data == 1).sum() == 100
    session.undo()
    assert not (session.labels.data == 7).any()
    assert 7 not in session.objects.table
    session.redo()
    assert (session.labels.data == 7).sum() == painted


def test_a_stroke_while_a_job_writes_is_in_the_history_whole(tmp_path):
    session = session_on()
    path = tmp_path / "a.jsonl"
    session.objects.attach(Journal(path, {}))
    commit(session, (8, 8))
    labels = session.labels
    before = labels.data.copy()
    with labels.block_history():  # as while a button of the mouse is held
        labels.paint((38, 5), 7)
        session.objects.delete([1])  # a job's write
        labels.paint((38, 45), 7)
    after = labels.data.copy()
    assert [change.kind for change in session.objects.history.done[-3:]] == [
        "paint",
        "delete",
        "paint",
    ]
    for _ in range(3):
        session.undo()
    np.testing.assert_array_equal(labels.data, before)
    for _ in range(3):
        session.redo()
    np.testing.assert_array_equal(labels.data, after)
    session.close()
    told = np.zeros_like(after)
    read_journal(path).draw(told)
    np.testing.assert_array_equal(told, after)


def test_undo_while_a_stroke_is_under_way_takes_back_the_stroke():
    session = session_on()
    commit(session, (8, 8))
    with session.labels.block_history():
        session.labels.paint((38, 5), 7)
        assert session.undo() == "paint"
    assert np.unique(session.labels.data).tolist() == [0, 1]


@pytest.mark.parametrize("dtype", [np.uint8, np.uint16, np.uint32, np.int16, np.int64])
@pytest.mark.parametrize("limited", [True, False])
def test_regions_of_any_labels_are_painted_as_one_step(dtype, limited):
    limits = np.iinfo(dtype)
    low, high = (0, 300) if limited else (limits.min, limits.max)
    rng = np.random.default_rng(0)
    choices = np.unique(np.clip([low, 0, 1, 7, high - 1, high], limits.min, limits.max))
    before, after = rng.choice(choices.astype(dtype), (2, 3, 20, 30))
    layer = ViewerModel().add_labels(before.copy())
    bounds = ((0, 3), (2, 20), (5, 30))
    paint_regions(layer, [(bounds, before[:, 2:, 5:], after[:, 2:, 5:])])
    expected = before.copy()
    expected[:, 2:, 5:] = after[:, 2:, 5:]
    np.testing.assert_array_equal(layer.data, expected)
    layer.undo()
    np.testing.assert_array_equal(layer.data, before)


def test_a_patch_is_cut_to_what_changed_in_little_memory():
    before = np.zeros((2, 600, 500), np.uint16)
    after = before.copy()
    after[1, 40:580, 60:490] = 3
    bounds = ((4, 6), (100, 700), (0, 500))
    tracemalloc.start()
    patch = changed_patch(bounds, before, after)
    _, peak = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert patch.bounds == ((5, 6), (140, 680), (60, 490))
    assert patch.after.values.shape == (1, 540, 430)
    assert (patch.after.values == 3).all()
    assert peak < 4 * before.size
    assert changed_patch(bounds, before, before) is None
