"""Semi-automatic: sure masks become drafts, doubtful places are left, review goes by doubt."""

import dataclasses

import numpy as np
import pytest
from napari.components import ViewerModel

from napari_sam.segmentation.doubt import Confidence
from napari_sam.segmentation.everything import EverythingConfig
from napari_sam.segmentation.progress import run
from napari_sam.viewer import projection
from napari_sam.viewer.drafts import Draft, iter_everything_in, part_by_doubt
from napari_sam.viewer.entries import ObjectEntry
from napari_sam.viewer.journal import Journal, read_journal
from napari_sam.viewer.layers import shown_plane
from napari_sam.viewer.session import Session
from tests.oracle import OraclePredictor

WHOLE = ((0, 40), (0, 50))


def drawn() -> np.ndarray:
    image = np.zeros((40, 50))
    image[5:15, 5:15] = image[20:35, 20:45] = 1
    return image


def session_on(data=None, predictor=None) -> Session:
    viewer = ViewerModel()
    layer = viewer.add_image(drawn() if data is None else data)
    return Session(viewer, predictor or OraclePredictor(), layer)


def draft(row, predicted_iou, *, disagreement=0.0) -> Draft:
    """A mask of 4 x 4."""
    told = Confidence(predicted_iou=predicted_iou, stability_score=1.0, disagreement=disagreement)
    return Draft(mask=np.ones((4, 4), bool), corner=(row, 0), confidence=told)


def plane_of(session):
    return session.snapshot().plane


def test_drafts_are_parted_by_doubt():
    one, two, three = draft(0, 0.9), draft(10, 0.3), draft(20, 0.9, disagreement=0.9)
    silent = dataclasses.replace(one, confidence=None)
    assert part_by_doubt([one, two, three, silent], 0.3) == ([one, silent], [two, three])


def test_what_is_doubted_is_left_for_a_person():
    session = session_on()
    drafts = [draft(0, 0.9), draft(10, 0.2), draft(20, 0.1)]
    assert session.add_drafts(plane_of(session), drafts, "everything", max_doubt=0.4) == (1, 2)
    assert (session.labels.data > 0).sum() == 16
    assert session.take_back() == "everything"
    assert not session.labels.data.any()


def test_a_doubtful_place_with_an_object_is_not_left():
    session = session_on()
    session.labels = session.viewer.add_labels(np.zeros((40, 50), np.uint16))
    session.labels.data[10:14, :3] = 5  # three quarters of the second draft
    drafts = [draft(0, 0.9), draft(10, 0.2), draft(20, 0.1)]
    assert session.add_drafts(plane_of(session), drafts, "everything", max_doubt=0.4) == (1, 1)


def test_nothing_is_made_where_all_is_doubtful():
    session = session_on()
    assert session.add_drafts(plane_of(session), [draft(0, 0.1)], "x", max_doubt=0.4) == (0, 1)
    assert session.labels is None
    assert session.take_back() is None


def test_a_new_mask_that_is_mostly_covered_makes_no_object():
    session = session_on()
    plane = plane_of(session)
    session.add_drafts(plane, [draft(0, 0.9)], "everything")
    assert session.add_drafts(plane, [draft(2, 0.8)], "everything") == (0, 0)  # half of it is free
    assert session.add_drafts(plane, [draft(3, 0.8)], "everything") == (1, 0)
    assert sorted(session.objects.table.entries) == [1, 2]


def test_of_drafts_that_overlap_the_less_doubtful_has_the_pixels():
    session = session_on()
    session.add_drafts(plane_of(session), [draft(1, 0.7), draft(0, 0.9)], "everything")
    assert (session.labels.data == 1).sum() == 16
    assert session.objects.table[1].predicted_iou == 0.9


@pytest.mark.parametrize("has_instance_decoder", [True, False])
def test_everything_in_view_is_judged(has_instance_decoder):
    session = session_on(predictor=OraclePredictor(has_instance_decoder=has_instance_decoder))
    config = EverythingConfig(points_per_side=8, pred_iou_thresh=0.93)
    drafts = run(iter_everything_in(session.snapshot(), WHOLE, config))
    assert sorted(one.mask.sum() for one in drafts) == [100, 375]
    for one in drafts:
        assert one.confidence.predicted_iou == pytest.approx(0.95)
        assert one.confidence.stability_score == 1
        assert 0 < one.confidence.disagreement < 0.3


def test_a_part_of_the_plane_is_judged_in_its_place():
    session = session_on()
    view = ((18, 40), (10, 50))
    (one,) = run(iter_everything_in(session.snapshot(), view, EverythingConfig()))
    assert one.corner == (20, 20)
    assert one.confidence.predicted_iou == pytest.approx(0.95)


def test_on_a_large_plane_masks_are_judged_in_windows():
    image = np.zeros((40, 200))
    image[5:15, 5:15] = image[5:15, 180:190] = 1
    predictor = OraclePredictor()
    predictor.view = 40
    session = session_on(image, predictor)
    drafts = run(iter_everything_in(session.snapshot(), ((0, 40), (0, 200)), EverythingConfig()))
    assert sorted(one.corner for one in drafts) == [(5, 5), (5, 180)]
    assert all(one.confidence.predicted_iou == pytest.approx(0.95) for one in drafts)


def test_review_goes_by_doubt():
    session = session_on()
    drafts = [draft(0, 0.9, disagreement=0.6), draft(10, 0.8), draft(20, 0.9)]
    session.add_drafts(plane_of(session), drafts, "everything")
    order = []
    while (entry := session.objects.next_doubtful()) is not None:
        order.append(entry.bounds[0][0])
        session.objects.mark_reviewed([entry.label_id])
    assert order == [0, 10, 20]


def test_doubt_outlives_the_session(tmp_path):
    session = session_on()
    session.objects.attach(Journal(tmp_path / "a.jsonl", {}))
    session.add_drafts(plane_of(session), [draft(0, 0.9, disagreement=0.5)], "everything")
    before = session.objects.table[1]
    session.objects.close()
    after = read_journal(tmp_path / "a.jsonl").table[1]
    assert after == before
    assert (after.stability_score, after.disagreement) == (1.0, 0.5)


def test_entries_of_older_journals_have_no_more_than_a_score():
    entry = ObjectEntry(label_id=1, bounds=((0, 4), (0, 4)), predicted_iou=0.8)
    old = entry.to_json()
    del old["stability_score"], old["disagreement"]
    read = ObjectEntry.from_json(old)
    assert read == entry
    assert read.doubt == pytest.approx(0.2)


def test_a_split_object_is_nobody_s_opinion():
    session = session_on()
    session.add_drafts(plane_of(session), [draft(0, 0.3, disagreement=0.9)], "everything")
    session.objects.split(1, [(-1, 1.5), (5, 1.5)])
    assert [entry.doubt for entry in session.objects.table] == [0, 0]


def test_drafts_go_to_the_slice_that_they_were_found_on():
    """Also where the labels have fewer axes than the image, and somebody turned a page."""
    viewer = ViewerModel()
    image = viewer.add_image(np.stack([np.stack([drawn()] * 4)] * 2), name="czyx")
    labels = viewer.add_labels(np.zeros((4, 40, 50), np.uint16), name="zyx")
    viewer.dims.set_current_step(1, 1)
    session = Session(viewer, OraclePredictor(), image, labels)
    plane = shown_plane(viewer, image)
    viewer.dims.set_current_step(1, 3)
    draft = Draft(mask=np.ones((3, 3), bool), corner=(5, 5))
    assert session.add_drafts(plane, [draft], "everything").objects == 1
    assert [int((one > 0).sum()) for one in labels.data] == [0, 9, 0, 0]
    assert labels.data[1, 5:8, 5:8].all()


def test_where_drafts_lie_is_reckoned_once_for_all(monkeypatch):
    reckoned = []
    look_up = projection.target_plane
    monkeypatch.setattr(projection, "target_plane", lambda *a: reckoned.append(a) or look_up(*a))
    session = session_on()
    sure, doubtful = [draft(row, 0.9) for row in range(0, 20, 5)], draft(30, 0.1)
    assert session.add_drafts(plane_of(session), [*sure, doubtful], "many", max_doubt=0.5) == (4, 1)
    assert len(reckoned) == 2


def test_no_drafts_make_no_layer():
    session = session_on()
    assert session.add_drafts(plane_of(session), [], "many") == (0, 0)
    assert session.labels is None
