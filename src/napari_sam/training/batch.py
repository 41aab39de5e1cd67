"""A training batch: views, the objects chosen in them, and the right answers."""

from __future__ import annotations

import dataclasses
from dataclasses import dataclass
from typing import Any, TypeVar

import torch
from torch import Tensor

from napari_sam.training.augmentation import augment

PADDING_COLOUR = (123.675, 116.28, 103.53)
"""What lies outside an image: zero after normalisation, as where an image is padded in use."""


@dataclass(frozen=True, kw_only=True, eq=False)
class Regions:
    """Objects and pieces of background, by what kind they are.

    Attributes
    ----------
    weights : Tensor
        (R, S / 8, S / 8) share of each token that the region covers.
    views : Tensor
        (R,) index of the view that each region is in.
    kinds : Tensor
        (R,) equal for objects of one kind in one view; 0 is background.
    sources : Tensor
        (R,) a number for the source of the view.
    """

    weights: Tensor
    views: Tensor
    kinds: Tensor
    sources: Tensor


@dataclass(frozen=True, kw_only=True, eq=False)
class Batch:
    """One part of a step: views and objects.

    As drawn, all values of pixels are bytes; `seen_on` makes them float32 and varies how the images
    look.

    Attributes
    ----------
    images : Tensor
        (B, 3, S, S), 0 ... 255.
    grays : tuple of bool
        Which of them are gray pictures.
    plain : Tensor
        (B,) bool, which of them look as their samples do.
    inside : Tensor
        (B, S, S) bool, where the views show their samples and not what lies around.
    instances : Tensor
        (B, 3, S, S) targets of the instance decoder in 0 ... 1.
    octaves : Tensor
        (B,) binary logarithm of the typical diameter over the network's own.
    size_weights : Tensor
        (B, S / 32, S / 32) weights of the size loss: the share of each cell that shows the sample
        and not its surroundings; zero in views whose scale was not drawn widely, from which only
        what is usual would be learned.
    regions : Regions
        Where the kind decoder's embeddings are compared.
    object_masks : Tensor
        (K, 4 w, 4 w) targets of the mask decoder in 0 ... 1, at a quarter of the tokens' stride.
    object_images : Tensor
        (K,) index of the view that each object is in.
    object_windows : Tensor
        (K, 2) row and column of each object's window, tokens.
    window, stride : int
        Side of the windows, w, tokens; and of a token, pixels.
    rounds : int
        Prompt rounds.
    seed : int
        For the chances inside the step.
    """

    images: Tensor
    grays: tuple[bool, ...]
    plain: Tensor
    inside: Tensor
    instances: Tensor
    octaves: Tensor
    size_weights: Tensor
    regions: Regions
    object_masks: Tensor
    object_images: Tensor
    object_windows: Tensor
    window: int
    stride: int
    rounds: int
    seed: int

    def seen_on(self, device: torch.device) -> Batch:
        """Return the batch on a device as the network sees it, pixels in float32."""
        moved = _moved(self, device, regions=_moved(self.regions, device))
        drawn = moved.images.float()
        augmented = augment(drawn / 255, self.grays, self.seed) * 255
        seen = torch.where(moved.plain[:, None, None, None], drawn, augmented)
        padding = torch.tensor(PADDING_COLOUR, device=device)[:, None, None]
        return dataclasses.replace(
            moved,
            images=torch.where(moved.inside[:, None], seen, padding),
            instances=moved.instances.float() / 255,
            object_masks=moved.object_masks.float() / 255,
        )


Moved = TypeVar("Moved", "Regions", "Batch")


def _moved(values: Moved, device: torch.device, **given: Any) -> Moved:
    """Return a dataclass with its tensors on a device."""
    fields = {name: value for name, value in vars(values).items() if isinstance(value, Tensor)}
    moved: dict[str, Any] = {
        name: value.to(device, non_blocking=True) for name, value in fields.items()
    }
    return dataclasses.replace(values, **moved, **given)
