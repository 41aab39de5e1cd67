"""Focal and dice loss, IoU regression (Kirillov et al. 2023, appendix A), and the instance loss."""

from __future__ import annotations

import torch
from torch import Tensor
from torch.nn import functional

FOCAL_WEIGHT = 20.0
"""Focal to dice, as in the paper."""
FOCAL_AREA = 64 * 64
"""Pixels that the focal loss is a mean over, whatever the size of the decoded window."""


def focal_loss(logits: Tensor, target: Tensor, *, alpha: float = 0.25, gamma: float = 2) -> Tensor:
    """Return the sigmoid focal loss (Lin et al. 2017) of each mask.

    Parameters
    ----------
    logits, target : Tensor
        (..., H, W); the target lies in 0 ... 1.
    alpha, gamma : float
        Weight of foreground, and focus on hard pixels.

    Returns
    -------
    Tensor
        (...), mean over the pixels.
    """
    probability = logits.sigmoid()
    cross_entropy = functional.binary_cross_entropy_with_logits(logits, target, reduction="none")
    miss = probability * (1 - target) + (1 - probability) * target
    weight = alpha * target + (1 - alpha) * (1 - target)
    return (weight * miss**gamma * cross_entropy).mean((-2, -1))


def dice_loss(logits: Tensor, target: Tensor) -> Tensor:
    """Return 1 - dice (Milletari et al. 2016) of each mask (..., H, W), shape (...)."""
    probability = logits.sigmoid()
    overlap = (probability * target).sum((-2, -1))
    total = probability.sum((-2, -1)) + target.sum((-2, -1))
    return 1 - (2 * overlap + 1) / (total + 1)


def mask_loss(logits: Tensor, target: Tensor) -> Tensor:
    """Return focal and dice loss, 20:1, of each mask (..., H, W), shape (...)."""
    share = logits.shape[-1] * logits.shape[-2] / FOCAL_AREA
    return FOCAL_WEIGHT * share * focal_loss(logits, target) + dice_loss(logits, target)


def mask_iou(logits: Tensor, target: Tensor) -> Tensor:
    """Return the IoU of logits > 0 with target > 0.5, both (..., H, W), shape (...)."""
    mask, truth = logits > 0, target > 0.5
    union = (mask | truth).sum((-2, -1))
    return (mask & truth).sum((-2, -1)) / union.clamp(min=1)


def prompt_loss(logits: Tensor, predicted_iou: Tensor, target: Tensor) -> tuple[Tensor, Tensor]:
    """Return the loss of a decoder's answers.

    The best of the candidates is trained (so that each may specialise), and the answer to
    unambiguous prompts beside it; all predicted IoUs are regressed.

    Parameters
    ----------
    logits : Tensor
        (B, 1 + candidates, H, W).
    predicted_iou : Tensor
        (B, 1 + candidates).
    target : Tensor
        (B, H, W) in 0 ... 1.

    Returns
    -------
    masks, iou : Tensor
        Scalars.
    """
    wide = target[:, None].expand_as(logits)
    each = mask_loss(logits, wide)
    masks = (each[:, 0] + each[:, 1:].amin(1)).mean()
    with torch.no_grad():
        truth = mask_iou(logits, wide)
    return masks, functional.mse_loss(predicted_iou, truth)


def instance_loss(logits: Tensor, target: Tensor) -> Tensor:
    """Return the instance decoder's loss.

    Parameters
    ----------
    logits, target : Tensor
        (B, 3, H, W) foreground, closeness to the centre, depth; targets in 0 ... 1.

    Returns
    -------
    Tensor
        Scalar: cross entropy and dice of the foreground, squared errors of the distances with
        boundaries inside the foreground (depth under 0.4) counted three times.
    """
    foreground = target[:, 0]
    rim = 1 + 2 * ((target[:, 2] > 0) & (target[:, 2] < 0.4))
    cross_entropy = functional.binary_cross_entropy_with_logits(
        logits[:, 0], foreground, weight=rim
    )
    squared = (logits[:, 1:].sigmoid() - target[:, 1:]) ** 2
    distances = (squared * rim[:, None]).mean() * 4
    return cross_entropy + dice_loss(logits[:, 0], foreground).mean() + distances
