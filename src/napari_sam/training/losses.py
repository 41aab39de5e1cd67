"""Focal and dice loss, IoU regression (Kirillov et al. 2023, appendix A), and the instance loss."""

from __future__ import annotations

import torch
from torch import Tensor
from torch.nn import functional

from napari_sam.model.size_decoder import bin_octaves
from napari_sam.training.batch import Regions

FOCAL_WEIGHT = 20.0
"""Focal to dice, as in the paper."""
FOCAL_AREA = 64 * 64
"""Pixels that the focal loss is a mean over, whatever the size of the decoded window."""

_BELL = 0.25
_TEMPERATURE = 0.1


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


def size_loss(votes: Tensor, octaves: Tensor, weights: Tensor) -> Tensor:
    """Return the size decoder's loss.

    Parameters
    ----------
    votes : Tensor
        (B, bins, h, w) logits.
    octaves : Tensor
        (B,) the truth, binary logarithms over the network's own diameter.
    weights : Tensor
        (B, h, w) weight of each cell.

    Returns
    -------
    Tensor
        Scalar: cross entropy with a bell of a quarter octave's deviation around the truth.
    """
    away = bin_octaves(votes.device)[None] - octaves[:, None]
    bell = torch.softmax(-((away / _BELL) ** 2) / 2, dim=1)
    each = -(votes.log_softmax(1) * bell[:, :, None, None]).sum(1)
    return (each * weights).sum() / weights.sum().clamp(min=1)


def kind_loss(embeddings: Tensor, regions: Regions) -> Tensor:
    """Return the kind decoder's supervised contrastive loss (Khosla et al. 2020).

    Objects of one kind in one view attract each other; background of any view, other kinds in the
    same view, and objects of other sources repel. Objects of the same source in other views may be
    alike or not, and are left out.

    Parameters
    ----------
    embeddings : Tensor
        (B, C, h, w) unit vectors.
    regions : Regions
        What is compared.
    """
    maps = embeddings[regions.views]
    pooled = (maps * regions.weights[:, None]).sum((2, 3))
    vectors = functional.normalize(pooled, dim=1)
    likeness = vectors @ vectors.T / _TEMPERATURE
    same_view = regions.views[:, None] == regions.views[None]
    same_source = regions.sources[:, None] == regions.sources[None]
    objects = regions.kinds > 0
    both = objects[:, None] & objects[None]
    alike = both & same_view & (regions.kinds[:, None] == regions.kinds[None])
    alike = alike & ~torch.eye(len(vectors), dtype=torch.bool, device=vectors.device)
    other_kind = same_view & (regions.kinds[:, None] != regions.kinds[None])
    unlike = (objects[:, None] != objects[None]) | (both & (~same_source | other_kind))
    compared = alike | unlike
    anchors = alike.any(1)
    if not anchors.any():
        return vectors.sum() * 0
    likeness, alike, compared = likeness[anchors], alike[anchors], compared[anchors]
    total = likeness.masked_fill(~compared, -torch.inf).logsumexp(1, keepdim=True)
    log_share = (likeness - total).masked_fill(~alike, 0)
    return -(log_share.sum(1) / alike.sum(1)).mean()
