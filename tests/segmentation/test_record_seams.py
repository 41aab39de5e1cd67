"""Masks over seams: two tiles of 8 columns that share 4."""

import numpy as np

from napari_sam.segmentation.record_seams import merge_records
from napari_sam.segmentation.records import MaskRecord
from napari_sam.segmentation.tiles import Tile

LEFT, RIGHT = Tile(0, 0, 3, 8), Tile(0, 4, 3, 8)


def record(tile, first, last, *, iou=0.9):
    """Return a mask of the columns first to last of the image, that a tile found."""
    box = (0, first, 3, last + 1)
    return MaskRecord(
        mask=np.ones((3, last + 1 - first), bool),
        box=box,
        area=3 * (last + 1 - first),
        predicted_iou=iou,
        stability_score=1.0,
        point=(1.0, float(first)),
        crop_box=tile.box,
    )


def merged(left, right):
    records = merge_records(
        [[record(LEFT, *span) for span in left], [record(RIGHT, *span) for span in right]],
        [LEFT, RIGHT],
        (3, 12),
        margin=0,
        box_nms_thresh=0.7,
    )
    assert all(one.area == one.mask.sum() for one in records)
    return sorted((one.box[1], one.box[3] - 1) for one in records)


def test_a_mask_that_both_saw_whole_is_one_from_where_it_lies_deeper():
    left, right = [record(LEFT, 5, 6)], [record(RIGHT, 5, 6), record(RIGHT, 9, 11)]
    found = merge_records([left, right], [LEFT, RIGHT], (3, 12), margin=0, box_nms_thresh=0.7)
    assert found == [left[0], right[1]]  # both lie 1 deep: the earlier stays


def test_a_cut_mask_gives_way_to_the_whole_one():
    assert merged([(5, 7)], [(5, 9)]) == [(5, 9)]
    assert merged([(2, 5)], [(4, 5)]) == [(2, 5)]


def test_masks_that_both_tiles_cut_are_joined():
    assert merged([(2, 7)], [(4, 10)]) == [(2, 10)]


def test_a_joined_record_keeps_the_lower_scores_and_the_larger_parts_point():
    (one,) = merge_records(
        [[record(LEFT, 2, 7, iou=0.8)], [record(RIGHT, 4, 10)]],
        [LEFT, RIGHT],
        (3, 12),
        margin=0,
        box_nms_thresh=0.7,
    )
    assert (one.box, one.area, one.predicted_iou) == ((0, 2, 3, 11), 27, 0.8)
    assert (one.point, one.crop_box) == ((1.0, 4.0), RIGHT.box)


def test_masks_that_only_touch_stay_two():
    assert merged([(4, 5)], [(6, 9)]) == [(4, 5), (6, 9)]
    assert merged([(6, 7)], [(8, 10)]) == [(6, 7), (8, 10)]


def test_cut_masks_that_overlap_little_stay_two():
    assert merged([(7, 7)], [(4, 10)]) == [(4, 10), (7, 7)]


def test_parts_stay_beside_their_object():
    assert merged([(1, 7), (2, 3)], [(4, 10), (8, 9)]) == [(1, 10), (2, 3), (8, 9)]


def test_a_fragment_stays_only_where_the_neighbour_has_nothing():
    assert merged([(6, 7)], []) == [(6, 7)]
    assert merged([(5, 7)], [(5, 11)]) == [(5, 11)]


def test_no_records_give_none():
    assert merged([], []) == []
