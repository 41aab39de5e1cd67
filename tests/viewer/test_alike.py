"""Others like committed objects, as drafts: which examples, where, and what becomes of them."""

import dataclasses

import numpy as np
import pytest
from napari.components import ViewerModel

from napari_sam.segmentation.progress import run
from napari_sam.viewer.alike import alike_request, iter_alike_in
from napari_sam.viewer.session import Session
from tests.oracle import OraclePredictor

PLACES = [(5, 5), (5, 30), (30, 5), (30, 30)]
WHOLE = ((0, 90), (0, 90))


def drawn() -> np.ndarray:
    """Four squares of 10 x 10, and one of 30 x 30."""
    image = np.zeros((90, 90))
    for row, col in PLACES:
        image[row : row + 10, col : col + 10] = 1
    image[50:80, 50:80] = 1
    return image


def session_on(data=None, predictor=None) -> Session:
    viewer = ViewerModel()
    layer = viewer.add_image(drawn() if data is None else data)
    return Session(viewer, predictor or OraclePredictor(), layer)


def commit(session, point):
    session.add_point(point)
    session.predict()
    return session.commit()


def asked(session, label_ids=(), view=WHOLE):
    return alike_request(session.snapshot(), session.labels, session.objects, label_ids, view)


def find(session, label_ids=(), view=WHOLE):
    request = asked(session, label_ids, view)
    return session.add_drafts(request.request.plane, run(iter_alike_in(request)), "alike")


def test_the_last_commit_is_the_example():
    session = session_on()
    commit(session, (60, 60))
    commit(session, (8, 8))
    assert find(session) == (3, 0)
    assert (session.labels.data > 0).sum() == 4 * 100 + 900
    assert [entry.origin for entry in session.objects.table][2:] == ["alike"] * 3
    entry = session.objects.table[3]
    assert entry.prompts.plane == session.prompts.plane
    assert entry.predicted_iou == pytest.approx(0.95)
    assert 0 < entry.doubt < 0.3


def test_named_objects_are_the_examples():
    session = session_on()
    square, large = commit(session, (8, 8)), commit(session, (60, 60))
    assert find(session, [large]) == (0, 0)
    assert find(session, [square, large]) == (3, 0)


def test_all_of_it_is_one_step_of_undo():
    session = session_on()
    commit(session, (8, 8))
    find(session)
    assert session.take_back() == "alike"
    assert (session.labels.data > 0).sum() == 100
    assert list(session.objects.table.entries) == [1]
    assert session.bring_back() == "alike"
    assert (session.labels.data > 0).sum() == 400


def test_what_is_committed_already_is_not_found_again():
    session = session_on()
    for row, col in PLACES:
        commit(session, (row + 3, col + 3))
    before = session.labels.data.copy()
    assert find(session) == (0, 0)
    assert np.array_equal(session.labels.data, before)
    assert session.take_back() == "commit"


def test_an_object_that_is_drawn_a_little_smaller_gets_no_rim():
    session = session_on()
    commit(session, (8, 8))
    session.labels.data[31:39, 31:39] = 9  # the last square without its rim
    assert find(session) == (2, 0)
    assert (session.labels.data[30:40, 30:40] > 0).sum() == 64


def test_a_found_object_can_be_reopened():
    session = session_on()
    commit(session, (8, 8))
    find(session)
    label = int(session.labels.data[35, 35])
    session.reopen(label)
    session.predict()
    session.choose(1)  # eroded
    assert session.commit() == label
    assert (session.labels.data == label).sum() == 64


def test_without_an_example():
    session = session_on()
    with pytest.raises(ValueError, match="no example to go by"):
        asked(session)
    commit(session, (8, 8))
    session.objects.delete([1])
    with pytest.raises(ValueError, match="no example to go by"):
        asked(session)


def test_only_the_shown_slice_counts():
    session = session_on(np.stack([drawn()] * 3))
    session.viewer.dims.set_current_step(0, 1)
    commit(session, (8, 8))
    assert find(session) == (3, 0)
    assert session.labels.data.any((1, 2)).tolist() == [False, True, False]
    session.viewer.dims.set_current_step(0, 2)
    with pytest.raises(ValueError, match="no example to go by"):
        asked(session)
    with pytest.raises(ValueError, match="No example lies in view"):
        find(session, [1])


def test_on_a_large_plane_the_view_is_searched():
    predictor = OraclePredictor()
    predictor.view = 40  # what the network sees well, much smaller than the plane
    session = session_on(predictor=predictor)
    commit(session, (8, 8))
    assert find(session, view=((0, 50), (0, 20))) == (1, 0)  # the left two squares
    assert (session.labels.data[30:40, 5:15] == 2).all()
    assert session.objects.table[2].prompts.points[0][:2] == (34, 9)
    with pytest.raises(ValueError, match="zoom out"):
        find(session, [1], view=((20, 90), (0, 90)))


def test_where_an_example_lies_on_other_slices_does_not_matter():
    predictor = OraclePredictor()
    predictor.view = 40
    session = session_on(np.stack([drawn()] * 3), predictor)
    session.viewer.dims.set_current_step(0, 0)
    label = commit(session, (8, 8))
    session.labels.brush_size = 9
    session.labels.paint((1, 70, 20), label)
    session.labels.paint((1, 20, 70), label)
    assert session.objects.table[label].bounds == ((0, 2), (5, 75), (5, 75))
    assert find(session, [label], view=((0, 50), (0, 20))) == (1, 0)
    session.labels.paint((0, 70, 20), label)
    with pytest.raises(ValueError, match="zoom out"):
        find(session, [label], view=((0, 50), (0, 50)))


class Scaled(OraclePredictor):
    """Sees images at a scale; 10 pixels is what it takes objects for."""

    def __init__(self):
        super().__init__()
        self.asked = []

    def embed(self, image, *, contrast_limits=None, object_diameter=None):
        self.asked.append(object_diameter)
        embedding = super().embed(image)
        return dataclasses.replace(embedding, object_diameter=object_diameter or 10.0)


def test_the_plane_is_seen_at_the_scale_of_the_examples():
    session = session_on(predictor=Scaled())
    commit(session, (8, 8))
    assert find(session) == (3, 0)
    assert session.predictor.asked == [None]  # 11.3 pixels are near enough
    commit(session, (60, 60))
    find(session)
    assert session.predictor.asked == [None, pytest.approx(33.85, abs=0.01)]


def test_the_labels_must_be_of_the_image_s_shape():
    session = session_on()
    commit(session, (8, 8))
    other = session.viewer.add_labels(np.zeros((20, 20), np.uint16), name="small")
    with pytest.raises(ValueError, match=r"'small' has \(20, 20\)"):
        alike_request(session.snapshot(), other, session.objects, [1], WHOLE)


def test_a_blank_image_has_nothing_alike():
    session = session_on(np.zeros((40, 40)))
    session.labels = session.viewer.add_labels(np.zeros((40, 40), np.uint16))
    session.labels.paint((8, 8), 3)
    assert find(session, [3], ((0, 40), (0, 40))) == (0, 0)


def test_the_settings_are_taken_along():
    session = session_on()
    commit(session, (60, 60))
    config = dataclasses.replace(asked(session).config, max_area_ratio=9)
    request = alike_request(session.snapshot(), session.labels, session.objects, [], WHOLE, config)
    assert len(run(iter_alike_in(request))) == 4
