"""Doubt: from what is known of a mask to one number."""

import numpy as np
import pytest

from napari_sam.segmentation.doubt import doubt_of, iter_confidence
from napari_sam.segmentation.patches import MaskPatch
from napari_sam.segmentation.progress import run
from tests.oracle import OraclePredictor


def test_a_perfect_mask_is_not_doubted():
    assert doubt_of(1, 1, 0) == 0


def test_one_thing_that_is_bad_makes_a_mask_doubtful():
    assert doubt_of(0, 1, 0) == 1
    assert doubt_of(1, 0, 0) == 1
    assert doubt_of(1, 1, 1) == 1


def test_doubt_is_a_mean_of_what_is_known():
    assert doubt_of(None) == 0
    assert doubt_of(0.8) == pytest.approx(0.2)
    assert doubt_of(0.8, 0.8, 0.2) == pytest.approx(0.2)
    assert doubt_of(0.64, None, 0) == pytest.approx(0.2)  # the root of 0.64 is 0.8


def test_stability_counts_least():
    assert doubt_of(0.9, 0.5, 0.1) < doubt_of(0.5, 0.9, 0.1)
    assert doubt_of(0.5, 0.9, 0.1) == pytest.approx(doubt_of(0.9, 0.9, 0.5))


def test_scores_beyond_one_count_as_one():
    assert doubt_of(1.2, 1, 0) == 0
    assert doubt_of(-0.1, 1, 0) == 1


def test_the_decoder_judges_masks_that_something_else_drew():
    image = np.zeros((30, 60))
    image[5:15, 5:15] = image[5:15, 35:45] = 1
    right = MaskPatch(mask=np.ones((10, 10), bool), corner=(5, 5))
    low = MaskPatch(mask=np.ones((10, 10), bool), corner=(10, 35))  # half of it beside
    predictor = OraclePredictor()
    sure, unsure = run(iter_confidence(predictor, predictor.embed(image), [right, low]))
    assert sure.predicted_iou == pytest.approx(0.95)
    assert sure.stability_score == 1
    # the candidates are the square, the square eroded to 8 x 8, and dilated to a cross of 140
    agreement = (0.95 * 1 + 0.9 * 64 / 100 + 0.85 * 100 / 140) / (0.95 + 0.9 + 0.85)
    assert sure.disagreement == pytest.approx(1 - agreement)
    assert sure.doubt == pytest.approx(1 - (0.95**4 * agreement**4) ** (1 / 9))
    assert unsure.disagreement > 0.6
    assert unsure.doubt > sure.doubt


def test_masks_are_judged_in_batches():
    image = np.zeros((30, 60))
    image[5:15, 5:15] = 1
    patch = MaskPatch(mask=np.ones((10, 10), bool), corner=(5, 5))
    predictor = OraclePredictor()
    events = list(iter_confidence(predictor, predictor.embed(image), [patch] * 5, batch=2))
    assert [event.done for event in events] == [0, 2, 4]
    assert predictor.n_decode == 3
