"""What is known of a mask, measured."""

import dataclasses

import numpy as np
import pytest
import torch

from napari_sam.model.rater import EVIDENCE, Rater
from napari_sam.segmentation.evidence import Circumstances, measure, rate
from napari_sam.segmentation.prediction import MaskPrediction
from napari_sam.segmentation.prompts import Prompts

HOW = Circumstances(diameter=8.0, octaves=-0.5, other_way=True, hinted=True, hint=1)


@pytest.fixture
def answer():
    """Two squares, of 64 and 16 pixels, whose edges fall off; the second sharper."""
    logits = np.full((2, 12, 12), -2.0, np.float32)
    logits[0, 2:10, 2:10] = 2
    logits[1, 4:8, 4:8] = 8
    logits[1, 3, 4:8] = -6
    return MaskPrediction(
        predicted_iou=np.array([0.5, 0.9], np.float32),
        patches=logits > 0,
        corner=(20, 30),
        image_shape=(100, 100),
        window_logits=logits,
        window_corner=(0, 0),
        low_res_shape=(12, 12),
        box_fit=np.array([1.0, 0.5], np.float32),
    )


def of(name, measured):
    return measured[:, EVIDENCE.index(name)].tolist()


def test_evidence_is_what_its_names_say(answer):
    box = Prompts(box=(22, 32, 29, 39))
    known = measure(answer, box, HOW)
    assert known.shape == (2, len(EVIDENCE))
    assert known.dtype == np.float32
    assert of("rating", known) == pytest.approx([0.5, 0.45])
    assert of("predicted_iou", known) == pytest.approx([0.5, 0.9])
    assert of("rating_behind_best", known) == pytest.approx([0, -0.05])
    assert of("octaves_from_usual", known) == [-0.5, -0.5]
    assert of("in_another_way", known) == of("from_hint", known) == [1, 1]
    assert of("is_hint", known) == [0, 1]
    assert of("stability", known) == [1, 1]
    assert of("wide_stability", known) == pytest.approx([0, 16 / 140])
    assert of("sureness_inside", known) == pytest.approx([1 / (1 + np.exp(-2)), 1], abs=1e-3)
    diameters = 2 * np.sqrt(np.array([64, 16]) / np.pi)
    assert of("octaves_from_looked_for", known) == pytest.approx(np.log2(diameters / 8))
    assert of("box_fit", known) == [1, 0.5]
    assert of("share_of_box", known) == [1, 0.25]
    assert of("boxed", known) == [1, 1]
    assert of("clicks", known) == of("continued", known) == [0, 0]
    assert of("clicks_obeyed", known) == [1, 1]


def test_clicks_that_a_mask_obeys_are_counted(answer):
    """One in both, one in the first alone, one outside, one beyond what was decoded."""
    clicks = Prompts(
        points=[(25, 35), (22, 32), (20, 30), (90, 90)],
        point_labels=[1, 1, 0, 1],
        mask_input=np.zeros((12, 12)),
    )
    known = measure(answer, clicks, HOW)
    assert of("clicks_obeyed", known) == [0.75, 0.5]
    assert of("clicks", known) == [4, 4]
    assert of("background_clicks", known) == [1, 1]
    assert of("continued", known) == [1, 1]
    assert of("boxed", known) == of("share_of_box", known) == [0, 0]


def test_an_empty_answer_can_be_measured(answer):
    nothing = dataclasses.replace(
        answer, patches=np.zeros((2, 0, 0), bool), window_logits=np.full((2, 3, 3), -9, np.float32)
    )
    for prompt in (Prompts(points=[(25, 35)]), Prompts(box=(0, 0, 4, 4))):
        assert np.isfinite(measure(nothing, prompt, HOW)).all()


def test_without_a_rater_an_answer_stays_as_it_is(answer):
    kept = rate(None, answer, Prompts(points=[(25, 35)]), HOW)
    assert kept.answer is answer
    assert kept.evidence.shape == (2, 0)


def test_a_rating_takes_the_place_of_what_it_is_made_of(answer):
    rater = Rater().requires_grad_(requires_grad=False)
    box = Prompts(box=(22, 32, 29, 39))
    same = rate(rater, answer, box, HOW)
    assert same.answer.ratings == pytest.approx(answer.ratings)
    assert same.answer.box_fit is None
    assert np.array_equal(same.evidence, measure(answer, box, HOW))
    rater.mlp[-1].bias.fill_(1.0)
    higher = rate(rater, answer, box, HOW).answer
    assert higher.ratings == pytest.approx(torch.tensor(answer.ratings).logit().add(1).sigmoid())
    assert np.array_equal(higher.patches, answer.patches)
