"""The small network's heads beside SAM's: sizes, kinds, scores of masks, instance maps."""

import pytest
import torch

from napari_sam.model.instance_decoder import InstanceDecoder
from napari_sam.model.kind_decoder import KindDecoder
from napari_sam.model.mask_scorer import MaskScorer, _statistics
from napari_sam.model.sam import EncodedImage, Sam
from napari_sam.model.size_decoder import BINS_PER_OCTAVE, N_BINS, bin_octaves, mean_votes
from napari_sam.training.recipe import read_recipe


def test_votes_are_averaged_over_the_cells_inside():
    votes = torch.zeros(1, N_BINS, 2, 4)
    votes[:, 16, :, :2], votes[:, 24, :, 2:] = 12, 12
    assert int(mean_votes(votes, (64, 70)).argmax()) == 16
    assert int(mean_votes(votes[..., 2:], (64, 64)).argmax()) == 24
    assert mean_votes(votes, (64, 128)).shape == (1, N_BINS)


def test_bins_cover_octaves_evenly():
    assert bin_octaves()[0] == -bin_octaves()[-1]
    assert bin_octaves()[16] == 0
    assert (bin_octaves().diff() == 1 / BINS_PER_OCTAVE).all()


def test_the_scorer_changes_nothing_before_it_is_trained():
    scorer = MaskScorer(32)
    scores = scorer(torch.randn(2, 5, 32), torch.randn(2, 4, 64), torch.randn(2, 64, 4))
    assert torch.equal(scores, torch.zeros(2, 4))


def test_masks_learn_nothing_from_the_scorer():
    scorer = MaskScorer(32)
    torch.nn.init.normal_(scorer.mlp[-1].weight)
    logits = torch.randn(1, 4, 64, requires_grad=True)
    tokens = torch.randn(1, 5, 32, requires_grad=True)
    scorer(tokens, logits, torch.randn(1, 64, 4)).sum().backward()
    assert logits.grad is None
    assert tokens.grad is not None


def test_a_sure_mask_expects_more_of_itself_than_a_doubtful_one():
    sure = torch.full((1, 1, 100), -9.0)
    sure[..., :40] = 9
    doubtful = sure / 18
    for logits, low, high in ((sure, 0.99, 1.0), (doubtful, 0.3, 0.6)):
        probability = logits.sigmoid()
        found = _statistics(logits, probability, probability * (1 - probability))[0, 0]
        assert low <= found[0] <= high
    assert found[1] == 0
    assert found[3] == pytest.approx(torch.tensor(40.0).log() / 8)


def test_kinds_are_unit_vectors():
    vectors = KindDecoder(32)(torch.randn(2, 32, 5, 6))
    assert torch.allclose(vectors.norm(dim=1), torch.ones(2, 5, 6), atol=1e-5)


@pytest.mark.parametrize("stride", [1, 2])
def test_instance_maps_have_their_stride(stride):
    maps = InstanceDecoder(32, stride)(
        torch.randn(1, 32, 4, 6), (torch.randn(1, 8, 8, 12), torch.randn(1, 4, 16, 24))
    )
    assert maps.shape == (1, 3, 32 // stride, 48 // stride)


def test_missing_heads_are_named():
    model = Sam(read_recipe("nano").sam_config())
    model.size_decoder = model.kind_decoder = model.instance_decoder = None
    image = EncodedImage(torch.zeros(1, 128, 4, 4))
    with pytest.raises(ValueError, match="object_diameter"):
        model.size_votes(image, (32, 32))
    with pytest.raises(ValueError, match="kind decoder"):
        model.kind_map(image)
    with pytest.raises(ValueError, match="mode='grid'"):
        model.instance_maps(image)
