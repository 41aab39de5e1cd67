"""Objects that last: undo without a limit, edits, reopening, overlap, what others paint."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from napari.components import ViewerModel

from napari_sam.viewer.entries import ObjectPrompts
from napari_sam.viewer.layers import camera_of
from napari_sam.viewer.session import Session
from tests.oracle import OraclePredictor

SQUARE = np.s_[5:15, 5:15]
BAR = np.s_[20:35, 20:45]


def drawn() -> np.ndarray:
    image = np.zeros((40, 50))
    image[SQUARE] = image[BAR] = 1
    return image


def session_on(data=None, **options) -> Session:
    viewer = ViewerModel()
    layer = viewer.add_image(drawn() if data is None else data)
    return Session(viewer, OraclePredictor(), layer, **options)


def commit(session, point, **options):
    session.add_point(point)
    session.predict()
    return session.commit(**options)


def test_every_committed_object_has_an_entry():
    session = session_on()
    commit(session, (8, 8), category="nucleus")
    (entry,) = session.objects.table
    assert (entry.label_id, entry.category, entry.model, entry.area) == (
        1,
        "nucleus",
        "oracle",
        100,
    )
    assert entry.bounds == ((5, 15), (5, 15))
    assert entry.predicted_iou == pytest.approx(0.95)
    assert entry.prompts.points == ((8.0, 8.0, 1),)
    assert entry.time.endswith("Z")
    assert session.objects.table.categories == {"nucleus": "#e6194b"}


def test_five_steps_back_and_five_forth():
    session = session_on()
    commit(session, (8, 8))
    session.add_point((30, 30))
    session.predict()
    session.add_point((8, 8), foreground=False)
    session.predict()
    session.commit()
    session.objects.delete([1])
    after = session.labels.data.copy()
    assert [session.undo() for _ in range(5)] == ["delete", "commit", "point", "point", "commit"]
    assert not session.labels.data.any()
    assert [point[:2] for point in session.prompts.points] == [(8, 8)]
    assert session.prediction.masks[session.candidate].sum() == 100
    assert [session.redo() for _ in range(5)] == ["commit", "point", "point", "commit", "delete"]
    assert np.array_equal(session.labels.data, after)
    assert list(session.objects.table.entries) == [2]
    assert session.redo() is None


def test_undo_has_no_limit():
    session = session_on()
    for _ in range(130):  # napari keeps 100
        commit(session, (8, 8), label_id=1)
        session.objects.delete([1])
    assert sum(session.take_back() is not None for _ in range(1000)) == 130 * 3
    assert not session.labels.data.any()


def test_a_new_change_ends_redo():
    session = session_on()
    commit(session, (8, 8))
    session.undo()
    session.clear()
    assert session.redo() is None


def test_reopening_and_committing_replaces_the_mask():
    session = session_on()
    commit(session, (8, 8))
    commit(session, (30, 30))
    session.reopen(1)
    assert session.prompts.label_id == 1
    assert session.predict().masks[0].sum() == 100
    session.choose(1)  # eroded
    assert session.commit() == 1
    assert (session.labels.data == 1).sum() == 64
    assert (session.labels.data == 2).sum() == 15 * 25
    session.undo()
    assert (session.labels.data == 1).sum() == 100
    assert session.prompts.label_id == 1


def test_an_object_without_prompts_is_reopened_by_its_outline():
    session = session_on()
    session.labels = session.viewer.add_labels(np.zeros((40, 50), np.uint16))
    session.labels.data[SQUARE] = 9
    session.reopen(9)
    assert len(session.prompts.outline) > 8
    top, left, bottom, right = session.prompts.extent
    assert (round(top), round(left), round(bottom), round(right)) == (4, 4, 14, 14)
    with pytest.raises(ValueError, match="no pixel"):
        session.reopen(77)


def test_merge_and_undo():
    session = session_on()
    commit(session, (8, 8))
    commit(session, (30, 30))
    assert session.objects.merge([1, 2]) == 1
    assert (session.labels.data == 1).sum() == 100 + 15 * 25
    assert session.objects.table[1].bounds == ((5, 35), (5, 45))
    session.undo()
    assert (session.labels.data == 2).sum() == 15 * 25
    with pytest.raises(ValueError, match="at least two"):
        session.objects.merge([1, 1])


def test_split_by_a_line():
    session = session_on()
    commit(session, (30, 30))
    session.objects.split(1, [(18, 30), (37, 30)])
    assert (session.labels.data[20:35, 31:45] == 1).all()
    assert (session.labels.data[20:35, 20:30] == 2).all()
    assert (session.labels.data > 0).sum() == 15 * 25  # not a pixel is lost
    assert sorted(session.objects.table.entries) == [1, 2]
    session.undo()
    assert (session.labels.data[BAR] == 1).all()
    with pytest.raises(ValueError, match="does not part"):
        session.objects.split(1, [(18, 2), (37, 2)])


def test_classes_and_review_order():
    session = session_on()
    commit(session, (8, 8))
    session.add_point((30, 30))
    session.predict()
    session.choose(2)  # scored 0.85
    session.commit()
    session.objects.set_category([1, 2], "cell")
    assert {entry.category for entry in session.objects.table} == {"cell"}
    assert session.objects.next_doubtful().label_id == 2
    session.objects.mark_reviewed([2])
    assert session.objects.next_doubtful().label_id == 1
    session.undo()
    session.undo()
    assert {entry.category for entry in session.objects.table} == {""}


def test_napari_s_own_undo_is_followed():
    session = session_on()
    commit(session, (8, 8))
    commit(session, (30, 30))
    session.labels.undo()
    assert (session.labels.data == 2).sum() == 0
    assert session.undo() == "point"  # the commit is undone already: its prompt goes next
    assert list(session.objects.table.entries) == [1]


def test_prompts_stay_in_sight_above_the_objects():
    session = session_on()
    layers = session.viewer.layers
    points = session.viewer.add_points([[8, 8]])
    commit(session, (8, 8))
    assert layers.index(session.labels) < layers.index(points)
    assert layers.selection.active is points
    layers.remove(session.labels)
    layers.selection.active = session.image
    commit(session, (30, 30))
    assert layers.index(session.labels) > layers.index(points)
    assert layers.selection.active is session.image


def test_objects_stay_in_one_layer():
    session = session_on()
    viewer = session.viewer
    other = viewer.add_labels(np.zeros((40, 50), np.uint16), name="other")
    session.labels = other
    session.labels = None
    commit(session, (8, 8))
    first = session.labels
    for layer in (other, None):
        with pytest.raises(ValueError, match=r"in Labels layer 'SAM labels'; make another Session"):
            session.labels = layer
    assert session.labels is first
    session.labels = first
    assert commit(session, (30, 30)) == 2
    assert not other.data.any()
    viewer.layers.remove(first)
    session.labels = other
    assert session.labels is other


def test_jumping_to_an_object_and_undo_across_slices():
    session = session_on(np.stack([drawn()] * 6))
    session.viewer.dims.set_point(0, 4)
    commit(session, (8, 8))
    session.viewer.dims.set_point(0, 0)
    session.objects.jump_to(1)
    assert session.viewer.dims.point[0] == 4
    session.viewer.dims.set_point(0, 1)
    session.undo()
    assert session.viewer.dims.point[0] == 4  # where the prompts are that came back
    assert not session.labels.data.any()


def test_the_camera_goes_where_the_object_is_out_of_sight():
    session = session_on()
    commit(session, (30, 30))
    session.labels.corner_pixels = np.array([[0, 0], [12, 12]])
    session.objects.jump_to(1)
    assert camera_of(session.viewer).center[-2:] == (27, 32)
    session.labels.corner_pixels = np.array([[0, 0], [39, 49]])
    camera_of(session.viewer).center = (0, 20, 20)
    session.objects.jump_to(1)
    assert camera_of(session.viewer).center[-2:] == (20, 20)


def test_the_size_that_was_accepted_is_shown_first():
    session = session_on()
    for _ in range(3):
        session.add_point((8, 8))
        session.predict()
        session.choose(1)  # 64 pixels
        session.commit(label_id=1, overlap="overwrite")
    session.add_point((8, 8))
    session.predict()
    assert session.candidate == 1
    session.step_candidate()
    assert session.candidate == 0  # the next larger
    session.step_candidate(2)
    assert session.candidate == 1  # goes round


@settings(max_examples=40, deadline=None)
@given(
    taken=st.lists(st.tuples(st.integers(0, 39), st.integers(0, 49)), max_size=30),
    overlap=st.sampled_from(["keep", "overwrite", "background"]),
)
def test_overlap_policies(taken, overlap):
    session = session_on()
    before = np.zeros((40, 50), np.uint16)
    before[5:14, 5:15] = 3  # leaves 10 % of the square free
    for row, col in taken:
        before[row, col] = 4
    session.labels = session.viewer.add_labels(before.copy())
    square = np.zeros((40, 50), bool)
    square[SQUARE] = True
    session.add_point((14, 8))
    session.predict()
    free = square & (before == 0)
    if overlap != "overwrite" and not free.any():
        with pytest.raises(ValueError, match="Other objects cover"):
            session.commit(overlap=overlap)
        return
    value = session.commit(overlap=overlap)
    expected = before.copy()
    expected[square if overlap == "overwrite" else free] = value
    assert np.array_equal(session.labels.data, expected)
    session.take_back()
    assert np.array_equal(session.labels.data, before)


def test_an_object_of_another_tool_is_replaced_when_it_is_reopened():
    session = session_on()
    session.labels = session.viewer.add_labels(np.zeros((40, 50), np.uint16))
    session.labels.data[4:16, 4:17] = 9
    session.reopen(9)
    session.predict()
    assert session.commit() == 9
    assert np.array_equal(session.labels.data == 9, _square())


def _square():
    mask = np.zeros((40, 50), bool)
    mask[SQUARE] = True
    return mask


def test_a_reopened_object_is_remembered_while_pages_are_turned():
    session = session_on(np.stack([drawn()] * 3))
    session.viewer.dims.set_point(0, 1)
    commit(session, (8, 8))
    session.reopen(1)
    session.viewer.dims.set_point(0, 2)
    session.take(ObjectPrompts(plane=session.snapshot().plane))
    session.viewer.dims.set_point(0, 1)
    session.add_point((9, 9))
    session.predict()
    assert session.commit() == 1


def test_labels_of_deleted_objects_are_not_given_again():
    session = session_on()
    commit(session, (8, 8), label_id=5)
    session.labels.data[...] = 0
    assert commit(session, (30, 30)) == 6


def test_pieces_that_lie_apart_are_not_split_by_a_line_elsewhere():
    session = session_on()
    commit(session, (8, 8))
    commit(session, (30, 30))
    session.objects.merge([1, 2])
    with pytest.raises(ValueError, match="does not part"):
        session.objects.split(1, [(0, 30), (10, 30)])
    session.objects.split(1, [(18, 30), (37, 30)])
    assert (session.labels.data[SQUARE] == 1).all()
    assert np.unique(session.labels.data).tolist() == [0, 1, 3]


def test_an_unanswered_prompt_is_not_committed():
    session = session_on()
    session.add_point((8, 8))
    session.predict()
    session.add_point((30, 30))
    with pytest.raises(ValueError, match="not answered yet"):
        session.commit()


def test_undo_leaves_what_was_drawn_meanwhile():
    """As by a script, or by a person while no dock was open."""
    session = session_on()
    commit(session, (8, 8))
    commit(session, (30, 30))
    labels = session.labels.data
    labels[8:10, 8:10] = 7
    labels[labels == 2] = 5
    before = labels.copy()
    session.undo()
    assert np.array_equal(session.labels.data, before)
    for _ in range(3):
        session.undo()
    left = np.where(before == 1, 0, before)
    assert np.array_equal(session.labels.data, left)
    for _ in range(4):
        session.redo()
    assert np.array_equal(session.labels.data[8:10, 8:10], np.full((2, 2), 7))
    assert (session.labels.data == 5).sum() == 375


@pytest.mark.parametrize("error", [ValueError, KeyError])
def test_objects_that_are_not_there_are_named(error):
    session = session_on()
    commit(session, (8, 8))
    for act in (session.objects.delete, session.objects.mark_reviewed):
        with pytest.raises(error, match=r"^There is no object 4; objects: \[1\]$"):
            act([4])
    assert list(session.objects.table.entries) == [1]


@pytest.mark.parametrize("place", [3, (1, 2, 3), [(1, 2)], (np.nan, 2), (1, 2, 3, np.inf)])
def test_what_is_no_point_and_no_box_is_refused_by_name(place):
    session = session_on()
    with pytest.raises(ValueError, match=r"point must be \(row, col\)"):
        session.add_point(place)
    with pytest.raises(ValueError, match=r"box must be \(row_min, col_min"):
        session.add_box(place)
    assert session.prompts.is_empty
