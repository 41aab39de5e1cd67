"""A vote of all candidates that were seen of an object."""

import dataclasses

import numpy as np
import pytest

from napari_sam.segmentation.majority import majority
from napari_sam.segmentation.prediction import NOTHING, MaskPrediction


def answer(*squares, corner=(0, 0), shape=(8, 8), ratings=None):
    """Candidates that are squares (top, left, side) of the image, seen in a part of it."""
    masks = np.zeros((len(squares), 20, 20), bool)
    for mask, (top, left, side) in zip(masks, squares, strict=True):
        mask[top : top + side, left : left + side] = True
    region = tuple(slice(start, start + n) for start, n in zip(corner, shape, strict=True))
    patches = masks[(slice(None), *region)]
    return MaskPrediction(
        predicted_iou=np.array(ratings or [0.9] * len(squares), np.float32),
        patches=patches,
        corner=corner,
        image_shape=(20, 20),
        window_logits=np.where(patches, 4.0, -4.0).astype(np.float32),
        window_corner=corner,
        low_res_shape=(20, 20),
    )


def expected(*squares):
    return answer(*squares, shape=(20, 20)).masks


def test_one_answer_stands_as_it_is():
    only = answer((1, 1, 3), (1, 1, 5), (0, 0, 8), ratings=[0.9, 0.5, 0.5])
    voted = majority([only])
    assert np.array_equal(voted.masks, only.masks)
    assert np.array_equal(voted.low_res_logits, only.low_res_logits)
    assert np.array_equal(voted.predicted_iou, only.predicted_iou)


def test_pixels_are_decided_by_most():
    seen = [answer((1, 1, 4)), answer((2, 2, 4), corner=(1, 1)), answer((2, 1, 4))]
    voted = majority(seen)
    votes = sum(one.masks[0].astype(int) for one in seen)
    assert np.array_equal(voted.masks[0], votes >= 2)
    assert voted.corner == (0, 0)
    assert voted.patches.shape[1:] == (9, 9)


def test_candidates_of_one_answer_vote_too_and_the_others_stay():
    seen = answer((2, 2, 2), (2, 2, 4), (2, 2, 5), ratings=[0.9, 0.89, 0.89])
    voted = majority([seen])
    assert voted.best == 0
    assert np.array_equal(voted.masks[0], expected((2, 2, 4))[0])
    assert np.array_equal(voted.masks[1:], seen.masks[1:])


def test_better_rated_candidates_count_far_more():
    best = answer((2, 2, 3), ratings=[0.9])
    others = [answer((1, 1, 6), ratings=[0.7]) for _ in range(10)]
    assert np.array_equal(majority([*others, best]).masks, best.masks)
    near = [answer((1, 1, 6), ratings=[0.88]) for _ in range(2)]
    assert np.array_equal(majority([*near, best]).masks, near[0].masks)


def test_answers_that_lie_apart_share_one_canvas():
    best = answer((12, 14, 5), (12, 14, 2), corner=(11, 12), ratings=[0.9, 0.2])
    far = answer((1, 1, 3), ratings=[0.85])
    voted = majority([far, best])
    assert np.array_equal(voted.masks, best.masks)
    assert voted.predicted_iou == pytest.approx([0.9, 0.2])
    assert np.array_equal(voted.low_res_logits[1], best.low_res_logits[1])


def test_logits_are_the_mean_of_what_was_heard():
    one, other = answer((2, 2, 3)), answer((2, 2, 4), corner=(2, 2))
    low = majority([one, other]).low_res_logits[0]
    assert low[3, 3] == pytest.approx(4)
    assert low[5, 5] == pytest.approx(0)
    assert low[0, 0] == pytest.approx((NOTHING - 4) / 2)
    assert low[15, 15] == NOTHING


def test_an_answer_that_is_not_rated_at_all_is_not_heard():
    best = answer((2, 2, 3), ratings=[0.5])
    nothing = dataclasses.replace(best, predicted_iou=np.array([-0.1], np.float32))
    assert np.array_equal(majority([nothing, best]).low_res_logits, best.low_res_logits)
