import numpy as np
import pytest

from napari_sam.segmentation.point_queue import PointQueue, coarse_to_fine


@pytest.mark.parametrize("side", [1, 2, 7, 16, 32])
def test_every_point_is_handed_out_once(side):
    assert sorted(coarse_to_fine(side)) == list(range(side**2))
    queue, taken = PointQueue(side, np.eye(side**2, dtype=np.float32)), []
    while len(queue):
        taken += queue.take(10).tolist()
        queue.learn(np.zeros(0, int), np.zeros((0, side**2), bool))
    assert sorted(taken) == list(range(side**2))


def test_coarse_grids_come_first():
    first = coarse_to_fine(16)
    assert sorted(first[:4]) == [4 * 16 + 4, 4 * 16 + 12, 12 * 16 + 4, 12 * 16 + 12]
    rows, cols = np.divmod(first[4:20], 16)
    assert set(rows) == set(cols) == {2, 6, 10, 14}


def test_points_in_the_masks_of_two_points_are_left_out():
    queue = PointQueue(4, np.eye(16, dtype=np.float32))
    one, other = queue.take(2).tolist()
    first_rows = np.repeat([True, True, False, False], 4)
    queue.learn(np.array([one, one]), np.stack([first_rows, first_rows]))
    assert len(queue) == 14  # one point gave both masks
    queue.learn(np.array([other]), first_rows[None])
    left = queue.take(100)
    assert set(left) == set(range(8, 16)) - {one, other}


def test_points_that_look_like_those_that_gave_nothing_are_left_out():
    features = np.zeros((64, 3), np.float32)
    features[:, 0] = 1
    features[:20] = (0, 1, 0)
    features[40:44] = (0, 0, 1)
    queue = PointQueue(8, features)
    taken = queue.take(40)
    good = taken[taken < 20]
    assert 0 < len(good) < 20
    queue.learn(good, np.zeros((len(good), 64), bool))
    left = set(queue.take(100))
    unseen = set(range(64)) - set(taken)
    assert left >= {point for point in unseen if point < 20}
    assert not left & {point for point in unseen if point >= 44}


def test_a_full_queue_goes_row_by_row_whatever_it_learns():
    queue = PointQueue(3)
    assert queue.take(2).tolist() == [0, 1]
    queue.learn(np.array([0, 1]), np.ones((2, 9), bool))
    assert queue.take(20).tolist() == [2, 3, 4, 5, 6, 7, 8]
