"""Linking objects of neighbouring slices, on drawn planes."""

import numpy as np

from napari_sam.volume.link import Linker
from tests.volume.toys import draw


def link(*planes, iou_thresh=0.25):
    """Return the planes with the ids of the volume."""
    linker = Linker([int(plane.max()) for plane in planes], iou_thresh=iou_thresh)
    for z, plane in enumerate(planes):
        linker.add(z, plane, planes[z - 1] if z else None)
    table = linker.table()
    return [table.relabel(z, plane) for z, plane in enumerate(planes)]


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
