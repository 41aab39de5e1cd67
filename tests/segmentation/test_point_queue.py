import numpy as np
import pytest

from napari_sam.segmentation.point_queue import PointQueue, coarse_to_fine


def alike(side: int) -> np.ndarray:
    """Features of an image that looks the same everywhere."""
    return np.ones((side**2, 1), np.float32)


def learn(queue: PointQueue, taken: np.ndarray, found: int) -> None:
    """Let points have given no mask themselves, whatever was found."""
    queue.learn(np.full(len(taken), 0.5), np.zeros(0, int), np.zeros((0, 0), bool), found)


@pytest.mark.parametrize("count", [1, 10, 1000])
@pytest.mark.parametrize("side", [1, 2, 7, 16, 32])
def test_every_point_is_handed_out_once_while_something_new_is_found(side, count):
    assert sorted(coarse_to_fine(side)) == list(range(side**2))
    queue, taken = PointQueue(side, np.eye(side**2, dtype=np.float32)[:, :20]), []
    while len(queue):
        taken += (some := queue.take(count)).tolist()
        assert 0 < len(some) <= count
        learn(queue, some, found=len(taken))
    assert sorted(taken) == list(range(side**2))


def test_coarse_grids_come_first():
    first = coarse_to_fine(16)
    assert sorted(first[:4]) == [4 * 16 + 4, 4 * 16 + 12, 12 * 16 + 4, 12 * 16 + 12]
    rows, cols = np.divmod(first[4:20], 16)
    assert set(rows) == set(cols) == {2, 6, 10, 14}
    queue = PointQueue(16, alike(16))
    assert queue.take(100).tolist() == first[:16].tolist()  # one round


@pytest.mark.parametrize("found", [0, 10])
def test_it_ends_early_where_nothing_new_is_found(found):
    queue, n_taken = PointQueue(32, alike(32)), 0
    while len(queue):
        some = queue.take(1000)
        n_taken += len(some)
        learn(queue, some, found)
    assert 0.3 <= n_taken / 32**2 < 0.35


def test_it_goes_on_as_long_as_enough_new_is_found():
    queue, n_taken, found = PointQueue(32, alike(32)), 0, 0
    while len(queue):
        some = queue.take(1000)
        n_taken += len(some)
        found += 10 if n_taken <= 640 else 0
        learn(queue, some, found)
    assert n_taken == 640 + 64


def test_points_in_the_masks_of_two_points_come_last():
    queue = PointQueue(4, alike(4))
    first_rows = np.repeat([True, True, False, False], 4)
    taken = []
    for found in (1, 2):
        taken += (one := queue.take(1)).tolist()
        masks = np.stack([first_rows, first_rows])  # one point gave both
        queue.learn(np.ones(1), np.repeat(one, 2), masks, found)
    assert len(queue) == 14
    expected = set(range(8, 16)) - set(taken)
    covered = set(range(8)) - set(taken)
    rest = []
    while len(queue):
        rest += (one := queue.take(1)).tolist()
        learn(queue, one, found=3 + len(rest))
    assert set(rest[: len(expected)]) == expected
    assert set(rest[len(expected) :]) == covered


@pytest.mark.parametrize("told_by", ["best_iou", "masks"])
def test_points_that_look_like_those_that_gave_most_come_first(told_by):
    good = np.zeros(256, bool)
    good[40:90] = True
    features = np.stack([good, ~good], 1).astype(np.float32)
    queue, taken = PointQueue(16, features), []
    while len(taken) < 48:
        some = queue.take(1000)
        taken += some.tolist()
        best_iou = np.where(good[some] & (told_by == "best_iou"), 0.9, 0.2)
        origins = some[good[some] & (told_by == "masks")]
        queue.learn(best_iou, origins, np.zeros((len(origins), 256), bool), len(taken))
    assert 0 < good[taken[:16]].sum() < 16
    assert good[taken[16:]].all()


def test_a_full_queue_goes_row_by_row_whatever_it_learns():
    queue = PointQueue(3)
    assert queue.take(2).tolist() == [0, 1]
    queue.learn(np.ones(2), np.array([0, 1]), np.ones((2, 9), bool), 2)
    assert queue.take(20).tolist() == [2, 3, 4, 5, 6, 7, 8]
