"""The losses of one part of a training step: rounds of prompts, and the heads without prompts."""

from __future__ import annotations

import math
from typing import NamedTuple

import torch
from torch import Tensor

from napari_sam.model.devices import mixed_precision
from napari_sam.model.sam import EncodedImage, PromptBatch, Sam
from napari_sam.training.batch import Batch
from napari_sam.training.hints import HintMaker, Sought
from napari_sam.training.losses import instance_loss, kind_loss, prompt_loss, size_loss
from napari_sam.training.recipe import Recipe
from napari_sam.training.simulated_prompts import corrections, first_points, jittered_boxes

_FARTHEST = 1024
_HINTED_VIEWS = 1.25
"""Views whose objects are separated for hints, over the share of objects with hints."""
LOSS_NAMES = ("masks", "iou", "instances", "sizes", "kinds")


class _Asked(NamedTuple):
    """Objects that are decoded together.

    Attributes
    ----------
    objects : Tensor
        (B,) their indices.
    prompts : PromptBatch
        The first.
    sought : Sought or None
        For hints, where answers begin from them.
    """

    objects: Tensor
    prompts: PromptBatch
    sought: Sought | None


def part_losses(
    model: Sam, batch: Batch, recipe: Recipe, hints: HintMaker, *, prompted: bool
) -> tuple[Tensor, dict[str, Tensor]]:
    """Return the losses of a part of a step.

    Parameters
    ----------
    model : Sam
        In training mode.
    batch : Batch
        Views and objects.
    recipe : Recipe
        Weights of the losses.
    hints : HintMaker
        Makes the hints that answers begin from.
    prompted : bool
        Whether objects are decoded; otherwise only the heads without prompts are trained.

    Returns
    -------
    total : Tensor
        Scalar, the weighted sum.
    losses : dict of str to Tensor
        Each of `LOSS_NAMES` that was taken.
    """
    generator = torch.Generator(batch.object_masks.device).manual_seed(batch.seed)
    hint_share = recipe.hint_share if model.config.instances else 0
    asked = _asked(batch, recipe, generator, hint_share) if prompted else []
    with mixed_precision(model.device):
        pixels = model.normalise(batch.images).contiguous(memory_format=torch.channels_last)
        image = model.encode(pixels)
    maps = _instance_maps(model, image)
    coming = [
        None if group.sought is None or maps is None else hints.begin(maps, group.sought)
        for group in asked
    ]
    losses = _head_losses(model, image, maps, batch)
    weights = {
        "masks": 1.0,
        "iou": recipe.iou_weight,
        "instances": recipe.instance_weight,
        "sizes": recipe.size_weight,
        "kinds": recipe.kind_weight,
    }
    if prompted:
        seen = []
        for group, hint in zip(asked, coming, strict=True):
            prompts = group.prompts if hint is None else group.prompts._replace(masks=hint())
            answered = _rounds(
                model, image, batch, group.objects, prompts, generator, recipe.silent_share
            )
            seen.append(len(group.objects) * torch.stack(answered))
        losses["masks"], losses["iou"] = torch.stack(seen).sum(0) / len(batch.object_masks)
    total = torch.stack([weights[name] * loss for name, loss in losses.items()]).sum()
    return total, losses


def _asked(
    batch: Batch, recipe: Recipe, generator: torch.Generator, hint_share: float
) -> list[_Asked]:
    """Decide which objects are boxed and which are clicked on; those with hints come last."""
    count, device = len(batch.object_masks), batch.object_masks.device
    views = math.ceil(_HINTED_VIEWS * hint_share * len(batch.images))
    shuffled = torch.randperm(count, generator=generator, device=device)
    boxed, clicked = _split(shuffled, recipe.box_share)
    asked = []
    for jitter, objects in ((recipe.box_jitter, boxed), (None, clicked)):
        hinted, plain = _hinted(objects, batch, hint_share, views)
        for part, sought in ((hinted, True), (plain, False)):
            if len(part):
                prompts = _first_prompts(batch, part, generator, box_jitter=jitter)
                asked.append(
                    _Asked(part, prompts, Sought.under(prompts, batch, part) if sought else None)
                )
    return sorted(asked, key=lambda group: group.sought is not None)


def _instance_maps(model: Sam, image: EncodedImage) -> Tensor | None:
    if model.instance_decoder is None:
        return None
    with mixed_precision(model.device):
        maps = model.instance_maps(image)
    return maps.float()


def _head_losses(
    model: Sam, image: EncodedImage, maps: Tensor | None, batch: Batch
) -> dict[str, Tensor]:
    losses = {}
    if maps is not None:
        losses["instances"] = instance_loss(maps, batch.instances)
    if model.size_decoder is not None:
        with mixed_precision(model.device):
            votes = model.size_decoder(image.features)
        losses["sizes"] = size_loss(votes.float(), batch.octaves, batch.size_weights)
    if model.kind_decoder is not None:
        losses["kinds"] = kind_loss(model.kind_decoder(image.features.float()), batch.regions)
    return losses


def _split(indices: Tensor, share: float) -> tuple[Tensor, ...]:
    """Return the first share of indices, and the others."""
    return indices.tensor_split([round(share * len(indices))])


def _hinted(objects: Tensor, batch: Batch, share: float, views: int) -> tuple[Tensor, ...]:
    """Return a share of objects, no more than are in the first views; and the others."""
    outside = batch.object_images[objects] >= views
    count = min(round(share * len(objects)), len(objects) - int(outside.sum()))
    return objects[outside.byte().argsort(stable=True)].tensor_split([count])


def _first_prompts(
    batch: Batch, part: Tensor, generator: torch.Generator, *, box_jitter: float | None
) -> PromptBatch:
    """Draw a box around each object, or without a jitter a point in it, in pixels of its window."""
    target = batch.object_masks[part]
    scale = batch.stride / 4
    if box_jitter is not None:
        boxes = jittered_boxes(target, generator, jitter=box_jitter)
        return PromptBatch(boxes=_to_pixels(boxes, scale))
    points = _to_pixels(first_points(target, generator), scale)[:, None]
    labels = torch.ones(len(part), 1, dtype=torch.long, device=target.device)
    return PromptBatch(points, labels)


def _rounds(
    model: Sam,
    image: EncodedImage,
    batch: Batch,
    part: Tensor,
    prompts: PromptBatch,
    generator: torch.Generator,
    silent_share: float,
) -> tuple[Tensor, Tensor]:
    """Decode some objects over the batch's rounds; returns the means of both losses."""
    pieces = _windows(image, batch, part)
    target = batch.object_masks[part]
    device = target.device
    scale = batch.stride / 4
    origin = None
    if pieces.skips:
        origin = torch.rand(len(part), 2, generator=generator, device=device) * _FARTHEST
    silences = _silences(batch, silent_share)
    masks, ious = [], []
    for turn in range(batch.rounds):
        with mixed_precision(device):
            logits, predicted = model.decode(pieces, prompts, origin)
        logits = logits.float()
        losses = prompt_loss(logits, predicted.float(), target)
        masks.append(losses[0])
        ious.append(losses[1])
        if turn + 1 < batch.rounds:
            shown = logits.detach()[torch.arange(len(part), device=device), predicted.argmax(1)]
            prompts = prompts._replace(masks=shown[:, None].clamp(-32, 32))
            if not silences[turn]:
                more, kinds = corrections(shown, target, generator)
                prompts = _with_points(prompts, _to_pixels(more, scale)[:, None], kinds[:, None])
    return torch.stack(masks).mean(), torch.stack(ious).mean()


def _with_points(prompts: PromptBatch, points: Tensor, labels: Tensor) -> PromptBatch:
    """Add a point (B, 1, 2) with its label (B, 1) to each object's prompts."""
    if prompts.points is not None and prompts.labels is not None:
        points = torch.cat([prompts.points, points], 1)
        labels = torch.cat([prompts.labels, labels], 1)
    return prompts._replace(points=points, labels=labels)


def _silences(batch: Batch, share: float) -> list[bool]:
    """Draw which rounds bring no new point; on the processor, so that no device is waited for."""
    chances = torch.rand(batch.rounds, generator=torch.Generator().manual_seed(batch.seed))
    return [bool(chance < share) for chance in chances]


def _windows(image: EncodedImage, batch: Batch, part: Tensor) -> EncodedImage:
    """Cut each object's window out of the image features."""
    views, corners = batch.object_images[part], batch.object_windows[part]

    def cut(level: Tensor, finer: int) -> Tensor:
        along = torch.arange(batch.window * finer, device=level.device)
        rows, cols = (corners.T[:, :, None] * finer + along).unbind()
        pieces = level.permute(0, 2, 3, 1)[views[:, None, None], rows[:, :, None], cols[:, None]]
        return pieces.permute(0, 3, 1, 2)

    skips = tuple(cut(skip, finer) for skip, finer in zip(image.skips, (2, 4), strict=False))
    return EncodedImage(cut(image.features, 1), skips)


def _to_pixels(points: Tensor, scale: float) -> Tensor:
    """Map coordinates in the low-resolution mask to those in the image, centre to centre."""
    return (points.float() + 0.5) * scale - 0.5
