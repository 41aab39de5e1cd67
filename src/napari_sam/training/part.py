"""The losses of one part of a training step: rounds of prompts, and the heads without prompts."""

from __future__ import annotations

import torch
from torch import Tensor

from napari_sam.model.devices import mixed_precision
from napari_sam.model.sam import EncodedImage, PromptBatch, Sam
from napari_sam.training.batch import Batch
from napari_sam.training.losses import instance_loss, kind_loss, prompt_loss, size_loss
from napari_sam.training.recipe import Recipe
from napari_sam.training.simulated_prompts import corrections, first_points, jittered_boxes

_FARTHEST = 1024
LOSS_NAMES = ("masks", "iou", "instances", "sizes", "kinds")


def part_losses(
    model: Sam, batch: Batch, recipe: Recipe, *, prompted: bool
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
    prompted : bool
        Whether objects are decoded; otherwise only the heads without prompts are trained.

    Returns
    -------
    total : Tensor
        Scalar, the weighted sum.
    losses : dict of str to Tensor
        Each of `LOSS_NAMES` that was taken.
    """
    with mixed_precision(model.device):
        pixels = model.normalise(batch.images).contiguous(memory_format=torch.channels_last)
        image = model.encode(pixels)
    losses = _head_losses(model, image, batch)
    weights = {
        "masks": 1.0,
        "iou": recipe.iou_weight,
        "instances": recipe.instance_weight,
        "sizes": recipe.size_weight,
        "kinds": recipe.kind_weight,
    }
    if prompted:
        losses |= _prompt_losses(model, image, batch, recipe)
    total = torch.stack([weights[name] * loss for name, loss in losses.items()]).sum()
    return total, losses


def _head_losses(model: Sam, image: EncodedImage, batch: Batch) -> dict[str, Tensor]:
    losses = {}
    half = mixed_precision(model.device)
    if model.instance_decoder is not None:
        with half:
            maps = model.instance_maps(image)
        losses["instances"] = instance_loss(maps.float(), batch.instances)
    if model.size_decoder is not None:
        with half:
            votes = model.size_decoder(image.features)
        losses["sizes"] = size_loss(votes.float(), batch.octaves, batch.judged)
    if model.kind_decoder is not None:
        losses["kinds"] = kind_loss(model.kind_decoder(image.features.float()), batch.regions)
    return losses


def _prompt_losses(
    model: Sam, image: EncodedImage, batch: Batch, recipe: Recipe
) -> dict[str, Tensor]:
    """Decode the batch's objects over its rounds of prompts; the mean of the rounds' losses."""
    device = batch.object_masks.device
    generator = torch.Generator(device).manual_seed(batch.seed)
    count = len(batch.object_masks)
    shuffled = torch.randperm(count, generator=generator, device=device)
    parts = shuffled.tensor_split([round(recipe.box_share * count)])
    masks, iou = [], []
    for with_box, part in zip((True, False), parts, strict=True):
        if len(part):
            rounds = _rounds(
                model,
                _windows(image, batch, part),
                batch,
                part,
                generator,
                recipe.silent_share,
                with_box=with_box,
            )
            masks.append(len(part) * rounds[0])
            iou.append(len(part) * rounds[1])
    return {
        "masks": torch.stack(masks).sum() / count,
        "iou": torch.stack(iou).sum() / count,
    }


def _rounds(
    model: Sam,
    image: EncodedImage,
    batch: Batch,
    part: Tensor,
    generator: torch.Generator,
    silent_share: float,
    *,
    with_box: bool,
) -> tuple[Tensor, Tensor]:
    target = batch.object_masks[part]
    device = target.device
    scale = model.prompt_encoder.stride / 4
    origin = None
    if image.skips:
        origin = torch.rand(len(part), 2, generator=generator, device=device) * _FARTHEST
    boxes, points, labels, previous = None, None, None, None
    silences = _silences(batch, silent_share)
    if with_box:
        boxes = (jittered_boxes(target, generator) + 0.5) * scale - 0.5
    else:
        points = _to_pixels(first_points(target, generator), scale)[:, None]
        labels = torch.ones(len(part), 1, dtype=torch.long, device=device)
    masks, ious = [], []
    for turn in range(batch.rounds):
        with mixed_precision(device):
            prompts = PromptBatch(points, labels, boxes, previous)
            logits, predicted = model.decode(image, prompts, origin)
        logits = logits.float()
        losses = prompt_loss(logits, predicted.float(), target)
        masks.append(losses[0])
        ious.append(losses[1])
        if turn + 1 < batch.rounds:
            shown = logits.detach()[torch.arange(len(part), device=device), predicted.argmax(1)]
            previous = shown[:, None].clamp(-32, 32)
            if silences[turn]:
                continue
            more, kinds = corrections(shown, target, generator)
            new = _to_pixels(more, scale)[:, None]
            points = new if points is None else torch.cat([points, new], 1)
            labels = kinds[:, None] if labels is None else torch.cat([labels, kinds[:, None]], 1)
    return torch.stack(masks).mean(), torch.stack(ious).mean()


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
    """Map pixels of the low-resolution mask to pixels of the image, centre to centre."""
    return (points.float() + 0.5) * scale - 0.5
