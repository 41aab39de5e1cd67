"""Objects carried through a stack by a session: writing, undo, stops, corrections, windows."""

import numpy as np
import pytest
from napari.components import ViewerModel

from napari_sam.segmentation.propagation import PropagateConfig
from napari_sam.viewer.propagate import CarriedSlice, iter_carry, propagate_request
from napari_sam.viewer.session import Session
from tests.oracle import OraclePredictor

DISC = np.hypot(*np.mgrid[-20:20, -25:25]) < 9


def stack(n=9):
    """A disc that drifts by a pixel a slice, from slice 1 to the last but one; a square stays."""
    image = np.zeros((n, 60, 80))
    for z in range(1, n - 1):
        image[z, 5:45, 5 + z : 55 + z][DISC] = 1
    image[:, 46:56, 60:72] = 1
    return image


def session_on(image, **options):
    viewer = ViewerModel()
    session = Session(viewer, OraclePredictor(), viewer.add_image(image, **options))
    viewer.dims.set_point(0, 4)
    return session


def commit(session, point):
    session.add_point(point)
    session.predict()
    return session.commit()


def carry(session, chosen=(), group="g", only_here=False, **config):
    request = propagate_request(
        session.snapshot(),
        session.labels,
        session.objects.table,
        chosen,
        PropagateConfig(**config),
        only_here=only_here,
    )
    for carried in iter_carry(request):
        session.objects.write_carried(carried, group)


def disc_of(image):
    truth = image.copy()
    truth[:, 46:56, 60:72] = 0
    return truth > 0


def test_an_object_is_carried_both_ways_and_undone_at_once():
    image = stack()
    session = session_on(image)
    commit(session, (25, 34))
    carry(session)
    assert np.array_equal(session.labels.data == 1, disc_of(image))
    entry = session.objects.table[1]
    assert entry.bounds[0] == (1, 8)
    assert entry.annotated == ((4, None, None),)
    assert session.undo() == "propagate"
    assert (session.labels.data[4] == 1).sum() == (session.labels.data == 1).sum() > 0
    assert session.redo() == "propagate"
    assert np.array_equal(session.labels.data == 1, disc_of(image))


def test_many_objects_in_one_pass():
    image = stack()
    session = session_on(image)
    commit(session, (25, 34))
    commit(session, (50, 65))
    before = session.predictor.n_decode
    carry(session)
    assert np.array_equal(session.labels.data > 0, image > 0)
    assert session.predictor.n_decode - before <= 2 * len(image)


def test_reach_stop_and_choice():
    image = stack()
    session = session_on(image)
    commit(session, (25, 34))
    commit(session, (50, 65))
    session.viewer.dims.set_point(0, 6)
    plane = session.snapshot().plane
    assert session.objects.stop([2], plane) == 1
    session.viewer.dims.set_point(0, 4)
    carry(session, chosen=[2], max_slices=3)
    found = np.flatnonzero((session.labels.data == 2).any((1, 2)))
    assert found.tolist() == [1, 2, 3, 4, 5]
    assert np.flatnonzero((session.labels.data == 1).any((1, 2))).tolist() == [4]


def test_other_objects_are_kept():
    image = stack()
    session = session_on(image)
    commit(session, (25, 34))
    session.labels.data[6, 20:30, 30:50] = 7
    carry(session)
    assert (session.labels.data == 7).sum() == 200
    assert ((session.labels.data == 1) & disc_of(image)).sum() == (session.labels.data == 1).sum()


def test_a_corrected_slice_carries_on_from_there_alone():
    image = stack()
    session = session_on(image)
    commit(session, (50, 65))
    carry(session)
    session.viewer.dims.set_point(0, 6)
    session.reopen(1)
    session.predict()
    session.choose(1)  # eroded
    session.commit()
    before = session.labels.data[:5].copy()
    carry(session, only_here=True, max_slices=2)
    assert np.array_equal(session.labels.data[4][46:56, 60:72] > 0, np.ones((10, 12), bool))
    assert np.array_equal(session.labels.data[:4], before[:4])
    assert (session.labels.data[6] == 1).sum() == 8 * 10  # annotated: it stays


def test_an_object_that_lost_all_its_pixels_goes_from_the_slice():
    session = session_on(stack())
    commit(session, (50, 65))
    carry(session)
    session.viewer.dims.set_point(0, 5)  # 4 was committed: it stays whatever comes
    plane = session.snapshot().plane
    nothing = ((1, np.zeros((0, 0), bool), (0, 0), 0.0),)
    carried = CarriedSlice(plane=plane, masks=nothing, ended=(), done=1, total=1)
    session.objects.write_carried(carried, "other")
    assert not session.labels.data[5].any()
    assert session.labels.data[4].any()
    session.undo()
    assert session.labels.data[5].any()


def test_a_placed_stack_and_a_time_axis():
    image = np.stack([np.zeros_like(stack()), stack()])
    session = session_on(image, scale=(1, 3, 0.5, 0.5), translate=(0, 10, 0, 0))
    session.viewer.dims.set_point((0, 1), (1, 10 + 3 * 4))
    commit(session, (50, 65))
    carry(session)
    assert np.array_equal(session.labels.data[1] == 1, (stack() > 0) & ~disc_of(stack()))
    assert not session.labels.data[0].any()


def test_a_window_of_a_large_stack():
    image = np.zeros((5, 400, 500))
    image[:, 300:330, 350:390] = 1
    session = session_on(image)
    session.predictor.view = 120
    session.viewer.dims.set_point(0, 2)
    commit(session, (310, 360))
    seen = []
    embed = session.predictor.embed
    session.predictor.embed = lambda pixels, **options: (
        seen.append(pixels.shape) or embed(pixels, **options)
    )
    carry(session)
    assert np.array_equal(session.labels.data > 0, image > 0)
    assert set(seen) == {(240, 240)}  # room around an object of 40 pixels


def test_what_cannot_be_carried_is_said():
    flat = Session(viewer := ViewerModel(), OraclePredictor(), viewer.add_image(stack()[4]))
    commit(flat, (50, 65))
    with pytest.raises(ValueError, match="no slices"):
        carry(flat)
    session = session_on(stack())
    with pytest.raises(ValueError, match="commit one first"):
        carry(session)
    session.labels = session.viewer.add_labels(np.zeros((9, 60, 80), np.uint16))
    session.labels.data[4, 50, 65] = 3
    with pytest.raises(ValueError, match="committed by hand"):
        carry(session)
    session.labels = session.viewer.add_labels(np.zeros((9, 30, 40), np.uint16), scale=(1, 2, 2))
    with pytest.raises(ValueError, match=r"of the image's shape \(9, 60, 80\)"):
        carry(session)


def test_an_object_of_a_file_is_carried_from_the_shown_slice():
    image = stack()
    session = session_on(image)
    truth = disc_of(image)
    labels = np.zeros(image.shape, np.int32)
    labels[4] = truth[4] * 5
    session.labels = session.viewer.add_labels(labels)
    session.objects.take_up()
    with pytest.raises(ValueError, match="committed by hand"):
        carry(session)  # nobody said which
    carry(session, chosen=[5])
    assert np.array_equal(session.labels.data == 5, truth)
    assert session.undo() == "propagate"
    assert np.array_equal(session.labels.data == 5, labels == 5)
    session.viewer.dims.set_point(0, 6)
    with pytest.raises(ValueError, match="that the shown slice has"):
        carry(session, chosen=[5])


def test_objects_are_carried_along_any_axis_of_several_slices():
    times = np.stack([stack()] * 3)
    session = session_on(times)
    session.viewer.dims.set_point((0, 1), (1, 4))
    label = commit(session, (25, 34))
    there = session.request(), session.labels, session.objects.table, (), PropagateConfig()
    assert propagate_request(*there).axis == 1
    for carried in iter_carry(propagate_request(*there, axis=0)):
        session.objects.write_carried(carried, "g")
    filled = np.argwhere((session.labels.data == label).any((2, 3))).tolist()
    assert filled == [[0, 4], [1, 4], [2, 4]]
    with pytest.raises(ValueError, match=r"of \[0, 1\], got 2"):
        propagate_request(*there, axis=2)
