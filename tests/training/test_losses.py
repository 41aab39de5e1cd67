import math

import pytest
import torch

from napari_sam.model.size_decoder import N_BINS
from napari_sam.training.batch import Regions
from napari_sam.training.losses import (
    dice_loss,
    focal_loss,
    instance_loss,
    kind_loss,
    mask_iou,
    prompt_loss,
    size_loss,
)

SURE = 20.0


def square(size: int = 8, start: int = 2, stop: int = 6) -> torch.Tensor:
    target = torch.zeros(1, size, size)
    target[:, start:stop, start:stop] = 1
    return target


def as_logits(target: torch.Tensor) -> torch.Tensor:
    return (target * 2 - 1) * SURE


def test_a_perfect_mask_costs_nothing_and_a_wrong_one_much():
    target = square()
    assert focal_loss(as_logits(target), target).item() == pytest.approx(0, abs=1e-6)
    assert dice_loss(as_logits(target), target).item() == pytest.approx(0, abs=1e-6)
    assert dice_loss(as_logits(1 - target), target).item() > 0.9


def test_focal_loss_of_an_undecided_pixel():
    # at logit 0: alpha * (1/2)^2 * ln 2 for foreground, (1 - alpha) of it for background
    foreground, background = torch.ones(1, 1, 1), torch.zeros(1, 1, 1)
    undecided = torch.zeros(1, 1, 1)
    assert focal_loss(undecided, foreground).item() == pytest.approx(0.25 * 0.25 * math.log(2))
    assert focal_loss(undecided, background).item() == pytest.approx(0.75 * 0.25 * math.log(2))


def test_iou_of_half_an_object():
    target = square()
    half = target.clone()
    half[:, 4:] = 0
    assert mask_iou(as_logits(half), target).item() == pytest.approx(0.5)


def test_only_the_best_candidate_is_trained():
    target = square()
    logits = torch.stack([as_logits(target), as_logits(target) / 10, -as_logits(target)], 1)
    logits.requires_grad_()
    masks, _ = prompt_loss(logits, torch.zeros(1, 3), target)
    masks.backward()
    moved = logits.grad.abs().amax((0, 2, 3))
    assert moved[1] > 0
    assert moved[2] == 0


def test_iou_loss_is_the_squared_error_of_the_prediction():
    target = square()
    logits = torch.stack([as_logits(target)] * 2, 1)
    _, iou = prompt_loss(logits, torch.tensor([[0.5, 1.0]]), target)
    assert iou.item() == pytest.approx(0.25 / 2)


def test_instance_loss_vanishes_on_the_truth():
    target = torch.cat([square(), square(), square()])[None]
    assert instance_loss(as_logits(target), target).item() == pytest.approx(0, abs=1e-4)
    assert instance_loss(as_logits(1 - target), target).item() > 1


def regions(kinds, views=None, sources=None):
    count = len(kinds)
    weights = torch.zeros(count, 1, count)
    weights[torch.arange(count), 0, torch.arange(count)] = 1
    zeros = torch.zeros(count, dtype=torch.long)
    return Regions(
        weights=weights,
        views=zeros if views is None else torch.tensor(views),
        kinds=torch.tensor(kinds),
        sources=zeros if sources is None else torch.tensor(sources),
    )


def vectors(*rows):
    """One token for each region, (1, C, 1, R)."""
    unit = torch.nn.functional.normalize(torch.tensor(rows, dtype=torch.float32), dim=1)
    return unit.T[None, :, None]


def test_votes_for_the_true_size_cost_least():
    octaves, inside = torch.tensor([1.0]), torch.ones(1, 1, 1)
    costs = []
    for index in (12, 18, 20, 22):
        votes = torch.zeros(1, N_BINS, 1, 1)
        votes[:, index] = 6
        costs.append(float(size_loss(votes, octaves, inside)))
    assert min(costs) == costs[2]
    assert costs[0] > costs[1]


def test_cells_outside_the_sample_do_not_count():
    votes = torch.zeros(1, N_BINS, 1, 2)
    votes[0, 20, 0, 0] = 6
    votes[0, 3, 0, 1] = 6
    octaves = torch.tensor([1.0])
    alone = size_loss(votes[..., :1], octaves, torch.ones(1, 1, 1))
    assert float(size_loss(votes, octaves, torch.tensor([[[1.0, 0.0]]]))) == pytest.approx(
        float(alone)
    )


def test_kinds_that_lie_together_and_apart_from_the_rest_cost_least():
    sorted_out = vectors((1, 0, 0), (1, 0.1, 0), (0, 1, 0), (0, 1, 0.1), (0, 0, 1))
    mixed = vectors((1, 0, 0), (0, 1, 0), (1, 0.1, 0), (0, 1, 0.1), (1, 0, 0))
    given = regions([1, 1, 2, 2, 0])
    assert kind_loss(sorted_out, given) < 0.1
    assert kind_loss(mixed, given) > 3


def test_objects_of_one_source_in_two_views_are_not_compared():
    maps = vectors((1, 0), (1, 0), (1, 0), (1, 0)).expand(2, -1, -1, -1)
    same = regions([1, 1, 1, 1], views=[0, 0, 1, 1], sources=[5, 5, 5, 5])
    other = regions([1, 1, 1, 1], views=[0, 0, 1, 1], sources=[5, 5, 6, 6])
    assert float(kind_loss(maps, same)) == pytest.approx(0, abs=1e-5)
    assert float(kind_loss(maps, other)) == pytest.approx(math.log(3), abs=1e-4)


def test_without_pairs_kinds_cost_nothing():
    loss = kind_loss(vectors((1, 0), (0, 1)).requires_grad_(), regions([1, 0]))
    assert float(loss.detach()) == 0
    loss.backward()
