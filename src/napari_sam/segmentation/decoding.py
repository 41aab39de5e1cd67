"""Prompts in image coordinates to a network's decoder and back.

This is the one place where (row, col) of the image becomes (x, y) of the network's input.
"""

from __future__ import annotations

import itertools
from collections.abc import Iterator, Sequence
from typing import NamedTuple

import numpy as np
import torch
from numpy.typing import ArrayLike, NDArray
from torch import Tensor

from napari_sam.model.devices import objects_at_once
from napari_sam.model.image_tokens import ImageTokens
from napari_sam.model.sam import PromptBatch, Sam
from napari_sam.segmentation.full_resolution import LowResMasks, PointMasks
from napari_sam.segmentation.geometry import Geometry
from napari_sam.segmentation.masks import box_fits, mask_boxes
from napari_sam.segmentation.prediction import NOTHING, MaskPrediction
from napari_sam.segmentation.prompts import Prompts
from napari_sam.segmentation.upscaling import upscale_window

WINDOW = 40
"""Side, in image tokens, of what a small network's decoder looks at around a prompt."""
_MARGIN = 8
_FAR = 2**20
_MOST_PROMPTS = 256
"""Prompts that are brought to the device at once."""


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


def to_batch(model: Sam, prompts: Sequence[Prompts], geometry: Geometry) -> PromptBatch:
    """Stack prompts that are alike, in pixels (x, y) of a network's input."""
    centred, device = model.config.centred_prompts, model.device
    first = prompts[0]
    points = labels = boxes = masks = None
    if first.n_points:
        stacked = np.stack([np.asarray(p.points) for p in prompts])
        places = geometry.input_points(stacked, centred=centred)
        points = _tensor(places[..., ::-1], device)
        labels = torch.from_numpy(np.stack([np.asarray(p.point_labels) for p in prompts])).to(
            device
        )
    if first.box is not None:
        stacked = np.stack([np.asarray(p.box) for p in prompts])
        bounds = geometry.input_boxes(stacked, centred=centred)
        boxes = _tensor(bounds[:, [1, 0, 3, 2]], device)
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
    low_res_shape : (int, int)
        Height and width of those.
    """

    logits: Tensor
    predicted_iou: Tensor
    corner: tuple[int, int]
    low_res_shape: tuple[int, int]


def decode_prompts(
    model: Sam, image: ImageTokens, prompts: Sequence[Prompts], geometry: Geometry
) -> Iterator[tuple[int, Window]]:
    """Decode many objects, those that are alike together, as many as a device computes best.

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

    Yields
    ------
    index : int
        Of the prompts; each comes once, in any order.
    window : Window
        The answer. Networks with skip features decode a window around each object's prompts, all
        others the whole image. What else is asked for does not change it.

    Raises
    ------
    ValueError
        If a prompt is empty or lies outside the image.
    """
    low_res = tuple(4 * length for length in image.grid)
    for prompt in prompts:
        check_prompt(prompt, geometry.image_shape, low_res)
    for group in alike(prompts):
        for start in range(0, len(group), _MOST_PROMPTS):
            together = group[start : start + _MOST_PROMPTS]
            batch = to_batch(model, [prompts[index] for index in together], geometry)
            for rows in _portions(model, image, batch):
                windows = decode_in_windows(model, image, batch.of(rows))
                yield from zip([together[row] for row in rows], windows, strict=True)


def _portions(model: Sam, image: ImageTokens, batch: PromptBatch) -> Iterator[list[int]]:
    """Part a batch into objects that are decoded in one call: in windows of one size, a few."""
    sides = _window_sides(batch, model.prompt_encoder.stride) if image.skips else [0]
    by_size: dict[tuple[int, int], list[int]] = {}
    for row, side in enumerate(np.broadcast_to(sides, batch.n_objects).tolist()):
        size = (min(side, image.grid[0]), min(side, image.grid[1])) if side else image.grid
        by_size.setdefault(size, []).append(row)
    for size, rows in by_size.items():
        step = _at_once(model, image, size)
        for start in range(0, len(rows), step):
            yield rows[start : start + step]


def _at_once(model: Sam, image: ImageTokens, size: tuple[int, int]) -> int:
    """Return how many objects are best decoded together in windows of a size, tokens."""
    each = size[0] * size[1] * image.features.shape[-1] * image.features.element_size()
    return objects_at_once(model.device, each)


def decode_in_windows(model: Sam, image: ImageTokens, batch: PromptBatch) -> list[Window]:
    """Decode each object, by networks with skip features in a window around its prompts.

    A small network is trained on such windows; the cost of a click then does not grow with the
    image. Windows grow where prompts lie far apart. All others look at the whole image.

    Parameters
    ----------
    model : Sam
        The network.
    image : ImageTokens
        Of one image.
    batch : PromptBatch
        B objects.

    Returns
    -------
    list of Window
        B answers.
    """
    placed = _windowed(model, image, batch)
    logits, iou = model.decode_tokens(placed.image, placed.batch, placed.origin)
    low_res = 4 * image.grid[0], 4 * image.grid[1]
    return [
        Window(one, score, (top, left), low_res)
        for one, score, (top, left) in zip(logits, iou, placed.corners.tolist(), strict=True)
    ]


def whole_answers(windows: Sequence[Window], kept: slice) -> tuple[Tensor, Tensor]:
    """Lay some of the masks of B answers out at whole low resolution.

    Returns
    -------
    logits, predicted_iou : Tensor
        (B, M, h, w) and (B, M).
    """
    scores = torch.stack([window.predicted_iou[kept] for window in windows])
    logits = scores.new_full((*scores.shape, *windows[0].low_res_shape), NOTHING)
    for full, window in zip(logits, windows, strict=True):
        (top, left), (height, width) = window.corner, window.logits.shape[-2:]
        full[:, top : top + height, left : left + width] = window.logits[kept]
    return logits, scores


def decode_points(
    model: Sam, image: ImageTokens, points: Tensor, least_iou: float
) -> Iterator[PointMasks]:
    """Decode single points, and keep the candidates that are expected to be good.

    Parameters
    ----------
    model : Sam
        The network.
    image : ImageTokens
        Of one image, of any precision.
    points : Tensor
        (N, 2) pixels (x, y) of the network's input.
    least_iou : float
        Candidates with a lower predicted IoU are not drawn.

    Yields
    ------
    PointMasks
        Of as many points as the device computes best together; `origins` are indices of points.
    """
    height, width = image.grid
    size = (min(height, WINDOW), min(width, WINDOW)) if image.skips else (height, width)
    step = _at_once(model, image, size)
    for start in range(0, len(points), step):
        some = points[start : start + step, None]
        batch = PromptBatch(some, torch.ones(len(some), 1, dtype=torch.long, device=some.device))
        placed = _windowed(model, image, batch)
        prompted = model.prompted(placed.image, placed.batch, placed.origin)
        logits, scores, objects, best = model.mask_decoder.above(*prompted, least_iou)
        yield PointMasks(
            LowResMasks(logits, placed.corners[objects], scores, start + objects), best
        )


class _Placed(NamedTuple):
    """A batch and the windows that it looks at; `corners` (B, 2) in low-resolution pixels."""

    image: ImageTokens
    batch: PromptBatch
    origin: Tensor | None
    corners: Tensor


def _windowed(model: Sam, image: ImageTokens, batch: PromptBatch) -> _Placed:
    """Cut windows out of the image of a network with skip features, where that makes it smaller."""
    count, grid = batch.n_objects, image.grid
    whole = _Placed(
        image, batch, None, torch.zeros(count, 2, dtype=torch.long, device=model.device)
    )
    if not image.skips:
        return whole
    stride = model.prompt_encoder.stride
    corners, side = _place_windows(batch, grid, stride)
    height, width = min(side, grid[0]), min(side, grid[1])
    if (height, width) == grid:
        return whole
    masks = batch.masks
    if masks is not None:
        masks = _cut_masks(masks, 4 * corners, (4 * height, 4 * width))
    origin = corners.flip(-1).float() * stride
    local = batch.shifted(-origin)._replace(masks=masks)
    return _Placed(image.windows(corners, (height, width)), local, origin, 4 * corners)


def _place_windows(batch: PromptBatch, grid: Sequence[int], stride: int) -> tuple[Tensor, int]:
    """Return the corners (B, 2), (row, col) in tokens, and the common side of the windows."""
    low, high = _extent(batch, stride)
    side = max(_sides(low, high))
    limit = torch.tensor([max(0, length - side) for length in grid], device=low.device)
    corners = ((low + high - side) / 2).round().long()
    return torch.minimum(corners.clamp(min=0), limit), side


def _window_sides(batch: PromptBatch, stride: int) -> list[int]:
    """Return the side of the window, in tokens, that each object's prompts need."""
    return _sides(*_extent(batch, stride))


def _sides(low: Tensor, high: Tensor) -> list[int]:
    """Return the sides of windows for bounds (B, 2): `WINDOW`, or more in steps of a margin."""
    needed = (high - low).amax(1).clamp(max=_FAR).ceil().long() + _MARGIN
    steps = -(-needed // _MARGIN) * _MARGIN
    sides: list[int] = torch.where(needed <= WINDOW, WINDOW, steps).tolist()
    return sides


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


def predict_prompts(
    model: Sam, image: ImageTokens, prompts: Sequence[Prompts], geometry: Geometry, kept: slice
) -> list[MaskPrediction]:
    """Answer the prompts of many objects, in their order, by some of the masks of each."""
    found = {
        index: prediction_of(window, geometry, kept, prompts[index].box)
        for index, window in decode_prompts(model, image, prompts, geometry)
    }
    return [found[index] for index in range(len(prompts))]


def prediction_of(
    window: Window, geometry: Geometry, kept: slice, box: ArrayLike | None = None
) -> MaskPrediction:
    """Resize some of an answer's masks to the image's pixels, and compare them with a box."""
    logits = window.logits[kept]
    patch = upscale_window(logits, window.corner, window.low_res_shape, geometry)
    masks = patch.values > 0
    fit = None if box is None else _box_fit(masks, patch.corner, inside_image(box, geometry))
    return MaskPrediction(
        predicted_iou=window.predicted_iou[kept].cpu().numpy(),
        patches=masks.cpu().numpy(),
        corner=patch.corner,
        image_shape=geometry.image_shape,
        window_logits=logits.numpy(force=True).copy(),
        window_corner=window.corner,
        low_res_shape=window.low_res_shape,
        box_fit=fit,
    )


def _box_fit(
    masks: Tensor, corner: tuple[int, int], box: NDArray[np.float64]
) -> NDArray[np.float32]:
    """Return the IoU of a box with the bounds of masks (M, h, w), their outer pixels included."""
    bounds = mask_boxes(masks).cpu().numpy() + np.tile(corner, 2)
    return box_fits(box, bounds).astype(np.float32)


def inside_image(box: ArrayLike, geometry: Geometry) -> NDArray[np.float64]:
    """Return the part of a box that lies in the image."""
    last = np.tile(np.array(geometry.image_shape, np.float64) - 1, 2)
    return np.clip(np.asarray(box, np.float64), 0, last)
