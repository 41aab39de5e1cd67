"""All that may be an object, beside the truth."""

import dataclasses

import numpy as np
import pytest
import torch

from napari_sam.model.rater import INSTANCE_EVIDENCE
from napari_sam.model.sam import Sam
from napari_sam.segmentation.embedding import ImageEmbedding
from napari_sam.segmentation.predictor import Predictor
from napari_sam.training.judge_instances import judge_instances
from napari_sam.training.samples import Sample
from tests.segmentation.test_instance_evidence import disc_labels, true_maps
from tests.training.toys import TINY

RNG = np.random.default_rng(0)
TRUTH = disc_labels([(25, 20), (25, 38)])


class Knowing(Predictor):
    """Draws the maps of the truth, however it looks."""

    def instance_maps(self, embedding: ImageEmbedding):
        maps = true_maps(TRUTH)
        return maps if embedding.picture.image[0, 0] else maps[..., ::-1]


@pytest.fixture(scope="module")
def predictor():
    torch.manual_seed(0)
    return Knowing(Sam(TINY.sam_config()).eval())


@pytest.fixture
def sample(monkeypatch):
    monkeypatch.setattr("napari_sam.segmentation.instance_looks._OTHERS", ())
    image = 100.0 * (TRUTH > 0)
    image[0, 0] = 1
    return Sample(name="discs", source="drawn", image=image, labels=TRUTH)


def test_every_mask_is_compared_with_the_object_that_it_fits_best(predictor, sample):
    judged = judge_instances(predictor, sample, RNG)
    assert judged.evidence.shape == (len(judged.iou), len(INSTANCE_EVIDENCE))
    joined = judged.evidence[:, INSTANCE_EVIDENCE.index("parting")] > 0
    assert judged.iou[~joined].min() > 0.9
    assert judged.iou[joined].tolist() == pytest.approx([0.5] * int(joined.sum()), abs=0.03)


def test_good_masks_count_for_more_and_those_of_crowds_for_less(predictor, sample, monkeypatch):
    few = judge_instances(predictor, sample, RNG)
    assert torch.allclose(few.weight, (0.2 + few.iou) / 30**0.5)
    monkeypatch.setattr("napari_sam.training.judge_instances._FEW", 1)
    many = judge_instances(predictor, sample, RNG)
    assert torch.allclose(many.weight, (0.2 + few.iou) / len(few.iou) ** 0.5)


def test_where_nothing_is_true_all_masks_are_wrong(predictor, sample):
    empty = dataclasses.replace(sample, labels=np.zeros_like(TRUTH))
    assert judge_instances(predictor, empty, RNG).iou.max() == 0
