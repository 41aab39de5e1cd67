"""The perceptron that corrects ratings by what was seen in use."""

import torch

from napari_sam.model import read_checkpoint
from napari_sam.model.checkpoints import write_checkpoint
from napari_sam.model.configs import ConvEncoderConfig, SamConfig
from napari_sam.model.rater import EVIDENCE, Rater
from napari_sam.model.sam import Sam


def evidence(count=50):
    return torch.rand(count, len(EVIDENCE), generator=torch.Generator().manual_seed(0))


def test_before_training_ratings_stay_as_they_are():
    known = evidence()
    known[:, 0] = known[:, 0] * 0.9 + 0.05
    assert torch.allclose(Rater()(known), known[:, 0], atol=1e-6)


def test_ratings_are_between_nothing_and_all():
    known = evidence()
    known[:, 0] = known[:, 0] * 4 - 2
    rated = Rater()(known)
    assert (rated > 0).all()
    assert (rated < 1).all()


def test_evidence_far_from_the_usual_counts_no_more():
    torch.manual_seed(1)
    rater = Rater()
    torch.nn.init.normal_(rater.mlp[-1].weight)
    far, farther = evidence(3), evidence(3)
    far[:, 5], farther[:, 5] = 10, 1000
    assert torch.equal(rater(far), rater(farther))


def test_a_rater_travels_with_the_weights(tmp_path):
    encoder = ConvEncoderConfig(channels=(16,) * 5, blocks=(1,) * 5, out_channels=32)
    model = Sam(SamConfig(encoder=encoder, object_diameter=40.0, rater=True))
    torch.nn.init.normal_(model.rater.mlp[-1].weight)
    model.rater.mean.fill_(0.25)
    write_checkpoint(model, tmp_path / "rated.safetensors", half=True)
    again = read_checkpoint(tmp_path / "rated.safetensors")
    assert torch.allclose(again.rater(evidence()), model.rater(evidence()), atol=1e-2)
    assert again.rater.mean.tolist() == model.rater.mean.tolist()
