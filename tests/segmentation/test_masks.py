import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from napari_sam.segmentation.instances import consecutive, instances_from_maps
from napari_sam.segmentation.labels import MaskRecord, labels_from_records
from napari_sam.segmentation.masks import (
    box_iou,
    clean_mask,
    mask_boxes,
    non_maximum_suppression,
    stability_score,
)


def test_stability_of_a_ramp():
    # logits -5 ... 5 in steps of 1: above 1 are 4 pixels, above -1 are 6
    ramp = torch.arange(-5, 6).float()[None]
    assert stability_score(ramp, 1.0).item() == pytest.approx(4 / 6)
    assert stability_score(torch.full((3, 3), -9.0), 1.0).item() == 0


def test_boxes_of_masks():
    masks = torch.zeros(3, 8, 9, dtype=torch.bool)
    masks[0, 2:5, 3:7] = True
    masks[1, 7, 8] = True
    assert mask_boxes(masks).tolist() == [[2, 3, 5, 7], [7, 8, 8, 9], [0, 0, 0, 0]]


def test_box_iou_by_hand():
    boxes = np.array([[0, 0, 2, 2], [0, 1, 2, 3], [5, 5, 6, 6]], float)
    assert box_iou(boxes[0], boxes).tolist() == [1, pytest.approx(1 / 3), 0]


def test_of_boxes_that_overlap_the_best_stays():
    boxes = np.array([[0, 0, 10, 10], [0, 0, 10, 9], [20, 20, 30, 30]], float)
    kept = non_maximum_suppression(boxes, np.array([0.5, 0.9, 0.1]), 0.7)
    assert kept.tolist() == [1, 2]
    assert non_maximum_suppression(np.zeros((0, 4)), np.zeros(0), 0.5).tolist() == []


@settings(max_examples=30, deadline=None)
@given(seed=st.integers(0, 1000), thresh=st.floats(0.1, 0.9))
def test_suppression_leaves_no_pair_and_drops_nothing_without_a_reason(seed, thresh):
    rng = np.random.default_rng(seed)
    low = rng.uniform(0, 20, (25, 2))
    boxes = np.concatenate([low, low + rng.uniform(1, 15, (25, 2))], 1)
    scores = rng.random(25)
    kept = non_maximum_suppression(boxes, scores, thresh)
    for index in range(25):
        better = [k for k in kept if scores[k] > scores[index]]
        beaten = bool(better) and box_iou(boxes[index], boxes[better]).max() > thresh
        assert beaten == (index not in kept)


def test_small_holes_and_islands_go():
    mask = np.zeros((20, 20), bool)
    mask[2:12, 2:12] = True
    mask[5, 5] = False
    mask[17, 17] = True
    cleaned, changed = clean_mask(mask, 4)
    assert changed
    assert cleaned.sum() == 100
    same, changed = clean_mask(cleaned, 4)
    assert not changed
    assert np.array_equal(same, cleaned)


def test_the_largest_island_stays_however_small():
    mask = np.zeros((9, 9), bool)
    mask[1, 1:4] = mask[7, 7] = True
    cleaned, _ = clean_mask(mask, 50)
    assert cleaned.sum() == 3


def record(box, area_fill=True) -> MaskRecord:
    mask = np.full((box[2] - box[0], box[3] - box[1]), area_fill)
    return MaskRecord(
        mask=mask,
        box=box,
        area=int(mask.sum()),
        predicted_iou=0.9,
        stability_score=0.9,
        point=(0, 0),
        crop_box=(0, 0, 20, 20),
    )


def test_small_objects_lie_on_top():
    labels = labels_from_records([record((5, 5, 8, 8)), record((0, 0, 20, 20))], (20, 20))
    assert labels.dtype == np.uint32
    assert labels[0, 0] == 1
    assert labels[6, 6] == 2
    assert labels_from_records([], (4, 5)).tolist() == [[0] * 5] * 4


def test_hidden_records_have_no_label():
    hidden, cover = record((0, 0, 4, 4)), [record((0, 0, 2, 4)), record((2, 0, 4, 4))]
    assert labels_from_records([hidden, *cover], (4, 4)).max() == 2


def test_consecutive_numbers():
    labels = np.array([[0, 7, 7], [3, 0, 900]])
    assert consecutive(labels).tolist() == [[0, 2, 2], [1, 0, 3]]
    assert consecutive(labels, min_area=2).tolist() == [[0, 1, 1], [0, 0, 0]]


def cone_maps(centres, radius: float = 8, shape=(40, 60)) -> np.ndarray:
    rows, cols = np.mgrid[: shape[0], : shape[1]]
    depth = np.max([1 - np.hypot(rows - r, cols - c) / radius for r, c in centres], axis=0)
    depth = depth.clip(0, 1).astype(np.float32)
    return np.stack([(depth > 0).astype(np.float32), depth, depth])


def test_touching_cones_are_two_instances():
    labels = instances_from_maps(cone_maps([(20, 20), (20, 33)]))
    assert labels.max() == 2
    assert labels[20, 20] != labels[20, 33]
    assert set(np.unique(labels[20, 14:39])) == {1, 2}


def test_a_faint_object_is_parted_from_a_clear_one():
    maps = cone_maps([(20, 20), (20, 33)])
    faint = maps.copy()
    faint[1:, :, 26:] *= 0.4  # its peak is lower than a threshold for all would be
    labels = instances_from_maps(faint)
    assert labels.max() == 2
    assert (labels != instances_from_maps(maps)).mean() < 0.02


def test_peaks_are_seeds_by_their_prominence():
    maps = cone_maps([(20, 20), (20, 30)])  # a saddle of 3/8 between peaks of 1
    assert instances_from_maps(maps, seed_prominence=0.6).max() == 2
    assert instances_from_maps(maps, seed_prominence=0.65).max() == 1
    chain = cone_maps([(20, 12), (20, 22), (20, 32), (20, 42)])
    assert instances_from_maps(chain).max() == 4
    assert instances_from_maps(chain, seed_prominence=0.65).max() == 1


def test_foreground_that_is_deep_nowhere_is_kept():
    maps = cone_maps([(20, 20)])
    maps[0, 2:5, 50:55] = 1
    labels = instances_from_maps(maps)
    assert labels.max() == 2
    assert (labels == labels[3, 52]).sum() == 15
    assert np.array_equal(labels > 0, maps[0] > 0.5)


def test_nothing_gives_nothing():
    assert instances_from_maps(np.zeros((3, 5, 6), np.float32)).max() == 0
