"""Candidates to records: thresholds, duplicates, crops, small regions."""

import dataclasses

import numpy as np
import pytest

from napari_sam.segmentation.masks import non_maximum_suppression
from napari_sam.segmentation.selection import (
    Selector,
    clean_record,
    without_small_regions,
)
from tests.segmentation.drawn_records import SHAPE, rectangle

LOOSE = {"pred_iou_thresh": 0.0, "stability_score_thresh": 0.0}


def selected(records, box_nms_thresh=0.7, **options) -> list[int]:
    """Return which of the records are selected."""
    kept = Selector(records, box_nms_thresh).select(**{**LOOSE, **options})
    return [next(i for i, record in enumerate(records) if record is one) for one in kept]


def test_thresholds_are_those_of_the_reference():
    records = [
        rectangle(0, 10 * i, 5, 10 * i + 5, iou=iou, stability=stability)
        for i, (iou, stability) in enumerate([(0.9, 0.8), (0.91, 0.8), (0.91, 0.79)])
    ]
    # above the one, at least the other
    assert selected(records, pred_iou_thresh=0.9, stability_score_thresh=0.8) == [1]


def test_thresholds_are_compared_as_the_network_counts():
    record = rectangle(0, 0, 5, 5, iou=float(np.float32(0.85)), stability=float(np.float32(0.7)))
    assert selected([record], pred_iou_thresh=0.85) == []
    assert selected([record], stability_score_thresh=0.7) == [0]


def test_of_duplicates_the_best_stays_and_the_best_comes_first():
    records = [
        rectangle(0, 0, 10, 10, iou=0.7),
        rectangle(0, 0, 10, 11, iou=0.8),
        rectangle(30, 30, 40, 40, iou=0.9),
        rectangle(0, 0, 11, 10, iou=0.8),
    ]
    assert selected(records) == [2, 1]
    assert selected(records, box_nms_thresh=1.0) == [2, 1, 3, 0]


def test_what_a_dropped_mask_hid_comes_back():
    records = [
        rectangle(0, 0, 10, 10, iou=0.9, stability=0.5),
        rectangle(0, 0, 10, 11, iou=0.8, stability=0.9),
    ]
    selector = Selector(records, 0.7)
    strict = {"pred_iou_thresh": 0.0, "stability_score_thresh": 0.6}
    for _ in range(2):
        kept = selector.select(pred_iou_thresh=0.0, stability_score_thresh=0.0)
        assert kept == records[:1]
        assert selector.select(**strict) == records[1:]


def test_a_box_ends_on_its_last_pixel():
    # 10 and 8 columns: 9 and 7 between the first and the last pixel, 7 / 9 = 0.78, 8 / 10 = 0.8
    records = [rectangle(0, 0, 10, 10, iou=0.9), rectangle(0, 0, 10, 8, iou=0.8)]
    assert selected(records, box_nms_thresh=0.79) == [0, 1]
    assert selected(records, box_nms_thresh=0.77) == [0]


def test_crops_are_compared_after_each_was_by_itself():
    half = (0, 0, 60, 50)
    records = [
        rectangle(0, 0, 20, 20, iou=0.9),
        rectangle(0, 0, 20, 21, iou=0.8),
        rectangle(0, 0, 20, 19, iou=0.7, crop=half),
    ]
    assert selected(records) == [0, 2]
    assert selected(records, crop_nms_thresh=0.7) == [2]  # the smaller crop's


@pytest.mark.parametrize("thresh", [0.3, 0.7])
def test_selecting_again_is_plain_suppression(thresh):
    rng = np.random.default_rng(0)
    records = [
        rectangle(top, left, top + side, left + side, iou=iou, stability=stability)
        for top, left, side, iou, stability in zip(
            rng.integers(0, 20, 200).tolist(),
            rng.integers(0, 40, 200).tolist(),
            rng.integers(3, 30, 200).tolist(),
            rng.uniform(0.5, 1, 200).tolist(),
            rng.uniform(0.5, 1, 200).tolist(),
            strict=True,
        )
    ]
    selector = Selector(records, thresh)
    for iou, stability in [(0.5, 0.5), (0.8, 0.6), (0.5, 0.9), (0.6, 0.5), (1.0, 0.5)]:
        good = [r for r in records if r.predicted_iou > iou and r.stability_score >= stability]
        boxes = np.array([r.box for r in good]).reshape(-1, 4) - (0, 0, 1, 1)
        kept = non_maximum_suppression(boxes, np.array([r.predicted_iou for r in good]), thresh)
        found = selector.select(pred_iou_thresh=iou, stability_score_thresh=stability)
        assert found == [good[index] for index in kept]


def test_nothing_is_selected_from_nothing():
    assert selected([]) == selected([], crop_nms_thresh=0.7) == []


def test_small_regions_go_and_untouched_masks_win():
    whole = rectangle(5, 5, 25, 25, iou=0.7)
    speckled = rectangle(5, 5, 25, 30, iou=0.9)
    mask = np.zeros((20, 25), bool)
    mask[:, :20] = mask[0, 24] = True
    mask[10, 10] = False
    speckled = dataclasses.replace(speckled, mask=mask, area=int(mask.sum()))
    cleaned = clean_record(speckled, 4)
    assert (cleaned.box, cleaned.area, cleaned.predicted_iou) == ((5, 5, 25, 25), 400, 0.9)
    assert cleaned.full_mask(SHAPE).sum() == 400
    assert clean_record(whole, 4) is whole
    kept = without_small_regions([speckled, whole], 0.7, lambda record: clean_record(record, 4))
    assert kept == [whole]


@pytest.mark.parametrize("min_area", [4, 400, 10**6])
def test_what_is_around_an_object_is_no_hole(min_area):
    rows, cols = np.ogrid[:31, :31]
    disc = np.hypot(rows - 15, cols - 15) <= 15
    whole = dataclasses.replace(rectangle(5, 5, 36, 36), mask=disc, area=int(disc.sum()))
    assert clean_record(whole, min_area) is whole
    pierced = disc.copy()
    pierced[15, 14:17] = False
    cleaned = clean_record(dataclasses.replace(whole, mask=pierced), min_area)
    assert np.array_equal(cleaned.mask, disc)
