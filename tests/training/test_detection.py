"""Objects found, split and merged, in drawn volumes."""

import numpy as np
import pytest

from napari_sam.training.detection import detection


def four_rods():
    volume = np.zeros((4, 4, 16), int)
    for rod in range(4):
        volume[:, :, 4 * rod : 4 * rod + 3] = rod + 1
    return volume


def test_the_same_objects_are_found_whatever_their_numbers():
    truth = four_rods()
    found = detection(truth, np.array([0, 9, 2, 100, 5])[truth])
    assert (found.n_true, found.n_predicted, found.n_matched) == (4, 4, 4)
    assert (found.ap50, found.mean_ap, found.f1, found.precision, found.recall) == (1,) * 5
    assert (found.n_split, found.n_merged) == (0, 0)


def test_a_split_and_a_merger_in_a_volume():
    predicted = four_rods()
    predicted[2:][predicted[2:] == 1] = 5  # the first in two halves
    predicted[predicted == 3] = 2
    found = detection(four_rods(), predicted)
    assert (found.n_true, found.n_predicted, found.n_matched) == (4, 4, 3)
    assert found.ap50 == pytest.approx(3 / 5)
    assert found.mean_ap == pytest.approx((3 / 5 + 9 * 1 / 7) / 10)
    assert (found.precision, found.recall, found.f1) == (0.75, 0.75, 0.75)
    assert (found.n_split, found.n_merged) == (1, 1)


def test_without_objects_nothing_is_wrong():
    empty = np.zeros((2, 3, 3), int)
    found = detection(empty, empty)
    assert (found.ap50, found.precision, found.recall, found.f1) == (1, 1, 1, 1)
    assert detection(four_rods(), four_rods() * 0).recall == 0
