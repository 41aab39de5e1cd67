import math

import pytest
import torch

from napari_sam.training.losses import (
    dice_loss,
    focal_loss,
    instance_loss,
    mask_iou,
    prompt_loss,
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
