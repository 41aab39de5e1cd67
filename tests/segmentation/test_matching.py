"""Which objects of two label images are one, on drawn planes."""

import numpy as np
import pytest

from napari_sam.segmentation.matching import (
    DisjointSets,
    find_overlaps,
    match_labels,
    runner_up,
)
from tests.volume.toys import draw


def test_match_is_by_overlap_not_by_id():
    lower = draw("11.22", "11.22")
    upper = draw("22.11", "22.11")
    assert match_labels(lower, upper, iou_thresh=0.25).tolist() == [[1, 2], [2, 1]]


@pytest.mark.parametrize(("iou_thresh", "matches"), [(0.5, [[1, 1]]), (0.51, [])])
def test_threshold_is_the_least_iou(iou_thresh, matches):
    lower, upper = draw("1111"), draw("..11")
    assert match_labels(lower, upper, iou_thresh=iou_thresh).tolist() == matches


def test_tie_goes_to_the_smaller_id():
    assert match_labels(draw("1122"), draw("1111"), iou_thresh=0.25).tolist() == [[1, 1]]
    assert match_labels(draw("1111"), draw("1122"), iou_thresh=0.25).tolist() == [[1, 1]]


def test_disjoint_sets_are_named_by_their_smallest_number():
    sets = DisjointSets(6)
    for pair in ((4, 5), (3, 4), (0, 2), (5, 2)):
        sets.union(*pair)
    assert sets.roots().tolist() == [0, 1, 0, 0, 0, 0]
    assert sets.find(4) == 0


def test_sets_do_not_depend_on_the_order_nor_on_where_they_are(tmp_path):
    rng = np.random.default_rng(0)
    pairs = rng.integers(0, 300, (200, 2))
    sets = DisjointSets(300)
    for first, second in pairs.tolist():
        sets.union(first, second)
    for shuffled in (pairs, pairs[::-1], rng.permutation(pairs)):
        other = DisjointSets(300, tmp_path / "parents.npy")
        other.union_pairs(shuffled)
        np.testing.assert_array_equal(other.roots(), sets.roots())
        np.testing.assert_array_equal(other.roots(100, 200), sets.roots()[100:200])
    assert np.load(tmp_path / "parents.npy").dtype == np.int64


def test_a_long_chain_needs_no_recursion():
    sets = DisjointSets(50_000)
    for number in range(49_999, 0, -1):  # the deepest tree there is
        sets.union(number, number - 1)
    assert not sets.roots().any()


@pytest.mark.parametrize("rows", [1, 40])
def test_overlaps_are_counted(rows):
    """In a table, or, where objects are many for the pixels, by sorting."""
    overlaps = find_overlaps(draw(*["11223."] * rows), draw(*["1112.8"] * rows))
    assert overlaps.first.tolist() == [1, 2, 2]
    assert overlaps.second.tolist() == [1, 1, 2]
    assert overlaps.shared.tolist() == [2 * rows, rows, rows]
    assert overlaps.ious.tolist() == [2 / 3, 1 / 4, 1 / 2]
    assert overlaps.find(np.array([2, 1]), np.array([2, 8])).tolist() == [2, -1]
    seconds = runner_up(overlaps.first, overlaps.second, overlaps.ious)
    assert seconds.tolist() == [1 / 4, 2 / 3, 1 / 4]
