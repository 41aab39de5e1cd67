"""Prompts in image coordinates to a network's decoder and back.

This is the one place where (row, col) of the image becomes (x, y) of the network's input.
"""

from __future__ import annotations

import itertools
from collections.abc import Iterator, Sequence
from typing import NamedTuple

import numpy as np
import torch
from torch import Tensor

from napari_sam.model.image_tokens import ImageTokens
from napari_sam.model.sam import PromptBatch, Sam
from napari_sam.segmentation.images import Geometry
from napari_sam.segmentation.prompts import Prompts

WINDOW = 40
"""Side, in image tokens, of what a small network's decoder looks at around a prompt."""
_MARGIN = 8


def check_prompt(prompt: Prompts, shape: tuple[int, int], low_res: tuple[int, ...]) -> None:
    """Check that a prompt can be decoded on an image (H, W) with low-resolution logits (h, w).

    Raises
    ------
    ValueError
        If it is empty, lies outside, or its mask has another shape.
    """
    if prompt.is_empty:
        raise ValueError("A prompt needs at least a point, a box or a mask_input")
    prompt.check_inside(shape)
    given = None if prompt.mask_input is None else np.asarray(prompt.mask_input).shape
    if given is not None and given != low_res:
        raise ValueError(
            f"mask_input must have the shape {low_res} of this embedding's low_res_logits, "
            f"got {given}"
        )


def alike(prompts: Sequence[Prompts]) -> Iterator[list[int]]:
    """Group prompts that can be decoded in one call: as many points, box and mask or not."""

    def kind(index: int) -> tuple[int, bool, bool]:
        prompt = prompts[index]
        return prompt.n_points, prompt.box is not None, prompt.mask_input is not None

    for _, group in itertools.groupby(sorted(range(len(prompts)), key=kind), key=kind):
        yield list(group)


def to_batch(prompts: Sequence[Prompts], geometry: Geometry, device: torch.device) -> PromptBatch:
    """Stack prompts that are alike, in pixels (x, y) of the network's input."""
    rows, cols = geometry.scale
    first = prompts[0]
    points = labels = boxes = masks = None
    if first.n_points:
        stacked = np.stack([np.asarray(p.points) for p in prompts])
        points = _tensor(stacked[..., ::-1] * (cols, rows), device)
        labels = torch.from_numpy(np.stack([np.asarray(p.point_labels) for p in prompts])).to(
            device
        )
    if first.box is not None:
        stacked = np.stack([np.asarray(p.box) for p in prompts])
        boxes = _tensor(stacked[:, [1, 0, 3, 2]] * (cols, rows, cols, rows), device)
    if first.mask_input is not None:
        masks = _tensor(np.stack([np.asarray(p.mask_input) for p in prompts])[:, None], device)
    return PromptBatch(points, labels, boxes, masks)


def _tensor(
    values: np.ndarray[tuple[int, ...], np.dtype[np.float64]], device: torch.device
) -> Tensor:
    return torch.from_numpy(np.ascontiguousarray(values, dtype=np.float32)).to(device)


class Window(NamedTuple):
    """The answer to one object's prompts.

    Attributes
    ----------
    logits : Tensor
        (1 + candidates, k, l) part of the low-resolution logits.
    predicted_iou : Tensor
        (1 + candidates,).
    corner : (int, int)
        Row and column of the part's first pixel in the whole low-resolution logits.
    """

    logits: Tensor
    predicted_iou: Tensor
    corner: tuple[int, int]


def decode_prompts(
    model: Sam, image: ImageTokens, prompts: Sequence[Prompts], geometry: Geometry
) -> list[Window]:
    """Decode many objects, those that are alike together.

    Parameters
    ----------
    model : Sam
        The network.
    image : ImageTokens
        Of one image.
    prompts : sequence of Prompts
        B objects, in image coordinates.
    geometry : Geometry
        How the image lies in the network's input.

    Returns
    -------
    list of Window
        In the order of the prompts. Networks with skip features decode a window around each
        object's prompts, all others the whole image.

    Raises
    ------
    ValueError
        If a prompt is empty or lies outside the image.
    """
    low_res = tuple(4 * length for length in image.grid)
    for prompt in prompts:
        check_prompt(prompt, geometry.image_shape, low_res)
    answers: dict[int, Window] = {}
    for group in alike(prompts):
        batch = to_batch([prompts[i] for i in group], geometry, model.device)
        if image.skips:
            windows = decode_in_windows(model, image, batch)
        else:
            windows = _whole(*model.decode_tokens(image, batch))
        answers.update(zip(group, windows, strict=True))
    return [answers[index] for index in range(len(prompts))]


def decode_in_windows(model: Sam, image: ImageTokens, batch: PromptBatch) -> list[Window]:
    """Decode each object in a window of the image around its prompts.

    A small network is trained on such windows; the cost of a click then does not grow with the
    image. Windows grow where prompts lie far apart.

    Parameters
    ----------
    model : Sam
        A network with skip features.
    image : ImageTokens
        Of one image.
    batch : PromptBatch
        B objects.

    Returns
    -------
    list of Window
        B answers.
    """
    corners, side = _place_windows(batch, image.grid, model.prompt_encoder.stride)
    height, width = min(side, image.grid[0]), min(side, image.grid[1])
    if (height, width) == image.grid:
        return _whole(*model.decode_tokens(image, batch))
    origin = corners.flip(-1).float() * model.prompt_encoder.stride
    masks = batch.masks
    if masks is not None:
        masks = _cut_masks(masks, 4 * corners, (4 * height, 4 * width))
    local = batch.shifted(-origin)._replace(masks=masks)
    cut = image.windows(corners, (height, width))
    logits, iou = model.decode_tokens(cut, local, origin)
    return [
        Window(one, score, (4 * top, 4 * left))
        for one, score, (top, left) in zip(logits, iou, corners.tolist(), strict=True)
    ]


def _whole(logits: Tensor, predicted_iou: Tensor) -> list[Window]:
    return [Window(*one, (0, 0)) for one in zip(logits, predicted_iou, strict=True)]


def _place_windows(batch: PromptBatch, grid: Sequence[int], stride: int) -> tuple[Tensor, int]:
    """Return the corners (B, 2), (row, col) in tokens, and the common side of the windows."""
    low, high = _extent(batch, stride)
    needed = int((high - low).max().ceil()) + _MARGIN
    side = WINDOW if needed <= WINDOW else -(-needed // _MARGIN) * _MARGIN
    limit = torch.tensor([max(0, length - side) for length in grid], device=low.device)
    corners = ((low + high - side) / 2).round().long()
    return torch.minimum(corners.clamp(min=0), limit), side


def _extent(batch: PromptBatch, stride: int) -> tuple[Tensor, Tensor]:
    """Return the bounds of each object's prompts, (B, 2) as (row, col) in tokens."""
    given = []
    if batch.points is not None:
        given.append(batch.points)
    if batch.boxes is not None:
        given.append(batch.boxes.unflatten(1, (2, 2)))
    if batch.masks is not None:
        given.append(torch.stack([_mask_bounds(mask[0], stride) for mask in batch.masks]))
    if not given:
        raise ValueError("There is nothing to decode: a prompt needs a point, a box or a mask")
    corners = torch.cat(given, dim=1).flip(-1) / stride
    return corners.amin(1), corners.amax(1)


def _mask_bounds(logits: Tensor, stride: int) -> Tensor:
    """Return the corners (2, 2), (x, y) in pixels, of a low-resolution mask, or its centre."""
    found = torch.nonzero(logits > 0).flip(-1).float()
    if not len(found):
        middle = logits.new_tensor([logits.shape[1] / 2, logits.shape[0] / 2])
        found = middle[None]
    return torch.stack([found.amin(0), found.amax(0)]) * (stride / 4)


def _cut_masks(masks: Tensor, corners: Tensor, size: tuple[int, int]) -> Tensor:
    """Cut from each object's mask (B, 1, H, W) its own window (B, 1, h, w)."""
    height, width = size
    return torch.stack(
        [
            mask[:, top : top + height, left : left + width]
            for mask, (top, left) in zip(masks, corners.tolist(), strict=True)
        ]
    )
