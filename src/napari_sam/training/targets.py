"""What the instance decoder is to predict, from ground truth labels; on any device."""

from __future__ import annotations

import torch
from torch import Tensor
from torch.nn import functional

_AT_ONCE = 16
"""Rows that are looked at together: few enough for memory, many enough for a GPU."""
_NARROW = 127
"""Depth whose square can be added to as large a one in 16 bits."""


def instance_targets(labels: Tensor) -> Tensor:
    """Draw the instance decoder's targets.

    Parameters
    ----------
    labels : Tensor
        (B, H, W) integers; 0 is background. Objects end at the border.

    Returns
    -------
    Tensor
        (B, 3, H, W) float32: foreground; closeness to the object's innermost pixel (1 there, 0 at
        the object's farthest); depth (distance to the boundary over the object's largest).
    """
    count, height, width = labels.shape
    objects = int(labels.max()) + 1 if labels.numel() else 1
    first = torch.arange(count, device=labels.device)[:, None, None] * objects
    owner = (labels + first).flatten().long()
    at_once = 1 if labels.device.type == "cpu" else max(count, 1)
    squared = torch.cat([squared_depth(part) for part in labels.split(at_once)]).flatten()
    largest = _reduced(squared, owner, count * objects, "amax")
    pixels = torch.arange(len(squared), device=labels.device)
    innermost = torch.where(squared == largest[owner], pixels, len(pixels))
    centre = _reduced(innermost, owner, count * objects, "amin")[owner] - pixels
    at = pixels % (height * width)
    there = at + centre
    away = torch.hypot((there // width - at // width).float(), (there % width - at % width).float())
    farthest = _reduced(away, owner, count * objects, "amax").clamp(min=1)
    closeness = 1 - away / farthest[owner]
    depth = (squared / largest[owner]).sqrt()
    foreground = (labels > 0).flatten()
    targets = torch.stack([torch.ones_like(depth), closeness, depth]) * foreground
    shaped: Tensor = targets.unflatten(1, labels.shape).transpose(0, 1).contiguous()
    return shaped


def _reduced(values: Tensor, owner: Tensor, count: int, how: str) -> Tensor:
    start = torch.zeros(count, dtype=values.dtype, device=values.device)
    return start.scatter_reduce(0, owner, values, how, include_self=False)


def squared_depth(labels: Tensor) -> Tensor:
    """Return the squared distance of pixels to the nearest one of another label, or to the border.

    Parameters
    ----------
    labels : Tensor
        (B, H, W) integers.

    Returns
    -------
    Tensor
        (B, H, W) int32, at least 1; exact (a separable transform: Meijster et al. 2000).
    """
    across, along = _run_depth(labels), _run_depth(labels.mT).mT
    nearest = torch.minimum(across, along)
    reach = int(nearest.max()) if labels.numel() else 0
    narrow = torch.int16 if reach <= _NARROW else torch.int32
    squared = nearest.to(narrow) ** 2
    rows = labels.shape[1]
    wide = (0, 0, reach, reach)
    near = functional.pad(across.clamp(max=reach).to(narrow) ** 2, wide).unfold(1, rows, 1).mT
    of_near = functional.pad(labels, wide, value=-1).unfold(1, rows, 1).mT
    away = torch.arange(-reach, reach + 1, dtype=narrow, device=labels.device)
    for first in range(0, len(away), _AT_ONCE):
        part = slice(first, first + _AT_ONCE)
        same = of_near[:, part] == labels[:, None]
        found = near[:, part] * same + (away[part] ** 2)[:, None, None]
        squared = torch.minimum(squared, found.amin(1))
    return squared.int()


def _run_depth(labels: Tensor) -> Tensor:
    """Return how far the nearest pixel of another label in the same row is, (B, H, W) int32."""
    width = labels.shape[-1]
    place = torch.arange(width, dtype=torch.int32, device=labels.device).expand(labels.shape)

    def from_left(values: Tensor) -> Tensor:
        begins = torch.ones_like(values, dtype=torch.bool)
        begins[..., 1:] = values[..., 1:] != values[..., :-1]
        start = torch.where(begins, place, 0).cummax(-1).values
        return place - start + 1

    return torch.minimum(from_left(labels), from_left(labels.flip(-1)).flip(-1))
