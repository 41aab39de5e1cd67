"""A simulated annotator: first a point or a box, then corrections where the mask is wrong.

Kirillov et al. 2023, appendix A, "Training algorithm".
"""

from __future__ import annotations

import torch
from torch import Tensor


def sample_pixel(weights: Tensor, generator: torch.Generator) -> Tensor:
    """Draw one pixel of each map.

    Parameters
    ----------
    weights : Tensor
        (B, H, W), not negative; a map of zeros gives its first pixel.
    generator : torch.Generator
        Source of chance, on the device of the maps.

    Returns
    -------
    Tensor
        (B, 2) integer (x, y).
    """
    flat = weights.flatten(1).float() + 1e-12
    chosen = torch.multinomial(flat, 1, generator=generator)[:, 0]
    width = weights.shape[-1]
    return torch.stack([chosen % width, chosen // width], -1)


def first_points(target: Tensor, generator: torch.Generator) -> Tensor:
    """Draw a positive point in each object.

    Half of the points lie anywhere in the object, half towards its middle, as a person clicks.

    Parameters
    ----------
    target : Tensor
        (B, H, W) in 0 ... 1.
    generator : torch.Generator
        Source of chance.

    Returns
    -------
    Tensor
        (B, 2) integer (x, y).
    """
    inside = (target > 0.5).float()
    depth = inside
    core = inside
    for _ in range(6):
        core = 1 - torch.nn.functional.max_pool2d(1 - core[:, None], 3, 1, 1)[:, 0]
        depth = depth + core
    middle = depth**4 * inside
    choice = torch.rand(len(target), generator=generator, device=target.device) < 0.5
    weights = torch.where(choice[:, None, None], inside, middle)
    empty = inside.flatten(1).sum(1) == 0
    weights = torch.where(empty[:, None, None], target, weights)
    return sample_pixel(weights, generator)


def jittered_boxes(target: Tensor, generator: torch.Generator, *, jitter: float = 0.1) -> Tensor:
    """Draw a box around each object, its sides moved by chance.

    Parameters
    ----------
    target : Tensor
        (B, H, W) in 0 ... 1.
    generator : torch.Generator
        Source of chance.
    jitter : float
        Standard deviation of a side's move over the box's length, at most 20 pixels.

    Returns
    -------
    Tensor
        (B, 4) float (x_min, y_min, x_max, y_max).
    """
    inside = target > 0.5
    inside = inside | ((target > 0) & ~inside.flatten(1).any(1)[:, None, None])
    x_min, x_max = _extent(inside.any(1))
    y_min, y_max = _extent(inside.any(2))
    boxes = torch.stack([x_min, y_min, x_max, y_max], -1).float()
    length = torch.stack([x_max - x_min, y_max - y_min], -1).float().repeat(1, 2) + 1
    noise = torch.randn(boxes.shape, generator=generator, device=boxes.device) * jitter * length
    height, width = target.shape[-2:]
    limit = boxes.new_tensor([width - 1, height - 1, width - 1, height - 1])
    return torch.minimum((boxes + noise.clamp(-20, 20)).clamp(min=0), limit)


def _extent(occupied: Tensor) -> tuple[Tensor, Tensor]:
    """Return first and last True along the last axis of (B, L)."""
    length = occupied.shape[-1]
    first = occupied.int().argmax(-1)
    last = length - 1 - occupied.flip(-1).int().argmax(-1)
    return first, last


def corrections(
    logits: Tensor, target: Tensor, generator: torch.Generator
) -> tuple[Tensor, Tensor]:
    """Draw a corrective point where each mask is wrong.

    Parameters
    ----------
    logits : Tensor
        (B, H, W) of the mask shown to the annotator.
    target : Tensor
        (B, H, W) in 0 ... 1.
    generator : torch.Generator
        Source of chance.

    Returns
    -------
    points : Tensor
        (B, 2) integer (x, y); inside the object where the mask is right everywhere.
    labels : Tensor
        (B,) 1 where the mask missed the object, 0 where it spilled over.
    """
    truth = target > 0.5
    error = (logits > 0) ^ truth
    right = ~error.flatten(1).any(1)
    weights = torch.where(right[:, None, None], truth, error).float()
    points = sample_pixel(weights, generator)
    row = torch.arange(len(points), device=points.device)
    labels = truth[row, points[:, 1], points[:, 0]].long()
    return points, labels
