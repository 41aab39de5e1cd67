"""Shapes drawn where objects vanish."""

import numpy as np

from napari_sam.volume.gaps import Bridge, fill_gaps, shape_between
from tests.volume.toys import draw


def bridge(**changes):
    whole = {"lower_block": 0, "lower_id": 1, "upper_block": 2, "upper_id": 1, "share": 0.5}
    return Bridge(**whole | {"object_id": 7} | changes)


def test_shapes_move_and_grow_between_masks():
    lower, upper = np.zeros((11, 11), bool), np.zeros((11, 11), bool)
    lower[5, 5] = True
    upper[3:8, 3:8] = True
    np.testing.assert_array_equal(shape_between(lower, upper, 0), lower)
    np.testing.assert_array_equal(shape_between(lower, upper, 1), upper)
    middle = shape_between(lower, upper, 0.5)
    assert 1 < middle.sum() < 25
    assert middle[4:7, 5].all()
    assert middle[5, 4:7].all()


def test_only_background_is_drawn_and_nothing_where_something_else_stands():
    blocks = {0: draw("1111"), 2: draw("1111")}
    assert fill_gaps(draw("..33"), [bridge()], blocks.get).tolist() == [[7, 7, 3, 3]]
    assert fill_gaps(draw(".333"), [bridge()], blocks.get).tolist() == [[0, 3, 3, 3]]


def test_the_first_of_two_keeps_what_both_would_take():
    blocks = {0: draw("1122"), 2: draw("1111")}
    two = [bridge(), bridge(lower_id=2, object_id=8)]
    filled = fill_gaps(draw("...."), two, blocks.get)
    assert set(filled[0, :2].tolist()) == {7}
    assert 8 in filled


def test_without_bridges_the_plane_comes_back():
    plane = draw("12")
    assert fill_gaps(plane, [], {}.get) is plane
