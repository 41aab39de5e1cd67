"""Which objects of views are asked for, and where kinds of objects are compared; on any device."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor
from torch.nn import functional

from napari_sam.training.batch import Regions

_SMALLEST_OBJECT = 24
_WHOLES = 0.3
"""How often an object that contains others is asked for, to one of those others."""
_ASKED_AGAIN = 3
"""How often an object is asked for where a view shows few."""
_REGIONS = 8
"""Objects, and pieces of background, of a view that embeddings of kinds are compared on."""
_TOKEN = 8


class Objects:
    """The objects that views show: how large each is.

    Parameters
    ----------
    labels, nested : Tensor
        (B, S, S) int32, 0 is background; the objects of `nested` contain those of `labels`.
    """

    def __init__(self, labels: Tensor, nested: Tensor) -> None:
        self.layers = torch.stack([labels, nested], 1)
        count = int(self.layers.max()) + 1
        views, layers = self.layers.shape[:2]
        first = torch.arange(views * layers, device=labels.device).view(views, layers, 1, 1) * count
        self._owners = self.layers + first
        areas = self._owners.flatten().bincount(minlength=views * layers * count)
        self.areas = areas.view(views, layers, count)
        """(B, 2, n) pixels of each label; of objects too small to be asked for, and of background,
        zero."""
        self.areas[..., 0] = 0
        self.areas[self.areas < _SMALLEST_OBJECT] = 0

    def missing(self) -> list[int]:
        """Return the views that show no object among `labels`."""
        empty: list[int] = torch.nonzero(self.areas[:, 0].amax(-1) == 0)[:, 0].tolist()
        return empty

    def weights(self) -> Tensor:
        """Return how often each pixel is chosen, (B, 2 S S), so that each object is as often."""
        shares = torch.where(self.areas > 0, 1 / self.areas.clamp(min=1), 0.0)
        shares[:, 1] *= _WHOLES
        return shares.flatten()[self._owners].flatten(1)


class Chosen(NamedTuple):
    """Objects that are asked for.

    Attributes
    ----------
    masks : Tensor
        (K, 8 w / p, 8 w / p) share of each square of p pixels that the object covers.
    views : Tensor
        (K,) which view each is in.
    corners : Tensor
        (K, 2) row and column of its window, tokens.
    """

    masks: Tensor
    views: Tensor
    corners: Tensor


def choose_objects(
    objects: Objects,
    generator: torch.Generator,
    *,
    count: int,
    window: int,
    stride: int,
    pooling: int,
) -> Chosen:
    """Choose objects and windows that show part of each.

    Where views show few objects, those of others are asked for again: a GPU plans anew for every
    new shape of tensors.

    Parameters
    ----------
    objects : Objects
        What there is; every view shows an object.
    generator : torch.Generator
        Decides everything; on the device of the views.
    count : int
        How many, about.
    window : int
        Side of the windows, tokens.
    stride : int
        Pixels along one side of a token.
    pooling : int
        Pixels along one side of a pixel of the masks.
    """
    layers = objects.layers
    views, _, size, _ = layers.shape
    device = layers.device
    each = -(-count // views)
    pixels = torch.multinomial(objects.weights(), each, replacement=True, generator=generator)
    there = (objects.areas > 0).sum((1, 2))
    new = (torch.arange(each, device=device) < _ASKED_AGAIN * there[:, None]).flatten()
    some = torch.nonzero(new)[:, 0]
    spare = torch.randint(len(some), new.shape, generator=generator, device=device)
    kept = torch.where(new, torch.arange(len(new), device=device), some[spare])
    of_view, pixels = kept // each, pixels.flatten()[kept]
    layer, row, col = pixels // size**2, pixels // size % size, pixels % size
    corners = torch.stack([row, col], 1) // stride - _offsets(len(pixels), window, generator)
    corners = corners.clamp(0, size // stride - window)
    along = torch.arange(window * stride, device=device)
    rows, cols = (corners.T[:, :, None] * stride + along).unbind()
    shown = layers[of_view[:, None, None], layer[:, None, None], rows[:, :, None], cols[:, None]]
    masks = shown == layers[of_view, layer, row, col][:, None, None]
    return Chosen(_covered(masks, pooling), of_view, corners)


def _offsets(count: int, window: int, generator: torch.Generator) -> Tensor:
    """Draw how many tokens of its window lie above and left of each object's pixel, (K, 2)."""
    margin = min(2, (window - 1) // 2)
    return torch.randint(
        margin, window - margin, (count, 2), generator=generator, device=generator.device
    )


def choose_regions(
    objects: Objects,
    inside: Tensor,
    generator: torch.Generator,
    *,
    kinds: Sequence[NDArray[np.integer]],
    sources: Sequence[int],
) -> Regions:
    """Choose objects and tokens of background to compare the embeddings of.

    Parameters
    ----------
    objects : Objects
        What there is.
    inside : Tensor
        (B, S, S) bool, where the views show samples.
    generator : torch.Generator
        Decides everything; on the device of the views.
    kinds : sequence of ndarray
        (n + 1,) what kind of object each label is, of every view.
    sources : sequence of int
        A number for the source of each view.
    """
    labels, device = objects.layers[:, 0], inside.device
    views, chosen = _some(objects.areas[:, 0] > 0, generator)
    masks = labels[views] == chosen[:, None, None]
    table = torch.zeros(objects.areas[:, 0].shape, dtype=torch.long)
    for row, known in zip(table, kinds, strict=True):
        fitting = torch.as_tensor(known[: len(row)].astype(np.int64))
        row[: len(fitting)] = fitting
    empty = (_covered(labels > 0, _TOKEN) == 0) & (_covered(inside, _TOKEN) == 1)
    bare, tokens = _some(empty.flatten(1), generator)
    pieces = functional.one_hot(tokens, empty[0].numel()).float().unflatten(1, empty.shape[1:])
    views = torch.cat([views, bare])
    return Regions(
        weights=torch.cat([_covered(masks, _TOKEN), pieces]),
        views=views,
        kinds=torch.cat([table.to(device)[views[: len(chosen)], chosen], torch.zeros_like(bare)]),
        sources=torch.tensor(sources).to(device)[views],
    )


def _some(eligible: Tensor, generator: torch.Generator) -> tuple[Tensor, Tensor]:
    """Choose some columns of each row of (B, n); returns rows and columns, (K,) each."""
    chances = torch.rand(eligible.shape, generator=generator, device=eligible.device)
    drawn = (chances + 1) * eligible
    best, columns = drawn.topk(min(_REGIONS, eligible.shape[1]), 1)
    rows, at = torch.nonzero(best, as_tuple=True)
    return rows, columns[rows, at]


def _covered(masks: Tensor, side: int) -> Tensor:
    """Return the share that masks (K, H, W) cover of each square of this side, float32."""
    return functional.avg_pool2d(masks[:, None].float(), side)[:, 0]
