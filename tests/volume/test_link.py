"""Linking objects of neighbouring slices, on drawn planes."""

import numpy as np
import pytest

from napari_sam.volume.link import DisjointSets, Linker, match_slices
from tests.volume.toys import draw


def link(*planes, iou_thresh=0.25):
    """Return the planes with the ids of the volume."""
    linker = Linker([int(plane.max()) for plane in planes], iou_thresh=iou_thresh)
    for z, plane in enumerate(planes):
        linker.add(z, plane, planes[z - 1] if z else None)
    table = linker.table()
    return [table.relabel(z, plane) for z, plane in enumerate(planes)]


def test_match_is_by_overlap_not_by_id():
    lower = draw("11.22", "11.22")
    upper = draw("22.11", "22.11")
    assert match_slices(lower, upper, iou_thresh=0.25).tolist() == [[1, 2], [2, 1]]


@pytest.mark.parametrize(("iou_thresh", "matches"), [(0.5, [[1, 1]]), (0.51, [])])
def test_threshold_is_the_least_iou(iou_thresh, matches):
    lower, upper = draw("1111"), draw("..11")
    assert match_slices(lower, upper, iou_thresh=iou_thresh).tolist() == matches


def test_two_objects_over_one_stay_two():
    two, one = draw("111.22"), draw("111111")
    first, second = link(two, one)
    np.testing.assert_array_equal(first, draw("111.22"))
    np.testing.assert_array_equal(second, draw("111111"))


def test_one_object_over_two_takes_the_better():
    one, two = draw("111111"), draw("11.222")
    first, second = link(one, two)
    np.testing.assert_array_equal(first, draw("111111"))
    np.testing.assert_array_equal(second, draw("22.111"))


def test_tie_goes_to_the_smaller_id():
    assert match_slices(draw("1122"), draw("1111"), iou_thresh=0.25).tolist() == [[1, 1]]
    assert match_slices(draw("1111"), draw("1122"), iou_thresh=0.25).tolist() == [[1, 1]]


def test_ids_go_through_slices_and_count_up_in_order_of_appearance():
    volume = link(draw("11...22"), draw("22.1.33"), draw("...1.22"))
    np.testing.assert_array_equal(volume[0], draw("11...22"))
    np.testing.assert_array_equal(volume[1], draw("11.3.22"))
    np.testing.assert_array_equal(volume[2], draw("...3.22"))


def test_an_empty_slice_ends_objects():
    volume = link(draw("11"), draw(".."), draw("11"))
    np.testing.assert_array_equal(volume, [draw("11"), draw(".."), draw("22")])


def test_ids_without_pixels_get_no_number():
    volume = link(draw("33.5"), draw("22.."))
    np.testing.assert_array_equal(volume, [draw("11.2"), draw("11..")])


def test_disjoint_sets_are_named_by_their_smallest_number():
    sets = DisjointSets(6)
    for pair in ((4, 5), (3, 4), (0, 2), (5, 2)):
        sets.union(*pair)
    assert sets.roots().tolist() == [0, 1, 0, 0, 0, 0]
    assert sets.find(4) == 0
