"""Which objects of two label images are one, on drawn planes."""

import pytest

from napari_sam.segmentation.matching import DisjointSets, match_labels
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
