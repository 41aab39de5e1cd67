"""Many masks from low-resolution logits to the image's pixels, each only where it can be.

A mask cannot reach beyond the low-resolution pixels above its threshold and their neighbours. So
each is resized within its own box; masks of about one size are resized together, as two matrix
products (see `upscaling`).
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Iterator
from typing import NamedTuple

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from napari_sam.segmentation.geometry import Geometry
from napari_sam.segmentation.low_res_measures import Axis, iter_counts, iter_cropped, look_up
from napari_sam.segmentation.masks import true_spans
from napari_sam.segmentation.prediction import NOTHING
from napari_sam.segmentation.upscaling import axis_weights

_AT_ONCE = 2**21
"""Pixels resized together."""


class LowResMasks(NamedTuple):
    """Low-resolution logits of K masks of one image.

    Attributes
    ----------
    logits : Tensor
        (K, k, l) float32; each a window of the whole logits.
    corners : Tensor
        (K, 2) int64 first row and column of each window.
    predicted_iou : Tensor
        (K,) float32.
    origins : Tensor
        (K,) int64 index of the prompt that each answers.
    """

    logits: Tensor
    corners: Tensor
    predicted_iou: Tensor
    origins: Tensor

    @classmethod
    def joined(cls, parts: Iterable[LowResMasks]) -> LowResMasks:
        """Return the masks of several, at least one, whose windows are of one size."""
        return cls(*(torch.cat(one) for one in zip(*parts, strict=True)))

    def some(self, kept: Tensor) -> LowResMasks:
        """Return the masks of a mask (K,) bool, or of indices."""
        return LowResMasks(*(part[kept.to(part.device)] for part in self))


class PointMasks(NamedTuple):
    """What N points gave.

    Attributes
    ----------
    masks : LowResMasks
        The candidates that are expected to be good; `origins` are indices of points.
    best_iou : Tensor
        (N,) highest predicted IoU of each point's candidates, good or not.
    """

    masks: LowResMasks
    best_iou: Tensor

    @classmethod
    def joined(cls, parts: Iterable[PointMasks]) -> PointMasks:
        """Return the answers of several calls, at least one."""
        masks, best_iou = zip(*parts, strict=True)
        return cls(LowResMasks.joined(masks), torch.cat(best_iou))


class Measures(NamedTuple):
    """What is known of masks at full resolution.

    Attributes
    ----------
    boxes : Tensor
        (K, 4) int64 (row_min, col_min, row_max, col_max), the last two one past the mask; zeros for
        an empty mask.
    areas : Tensor
        (K,) int64 pixels.
    stability : Tensor
        (K,) float32; see `stability_score`.
    """

    boxes: Tensor
    areas: Tensor
    stability: Tensor


class _Axis(NamedTuple):
    """How pixels along one side of the image follow from low-resolution ones.

    `weights` is (pixels, low), and `first` and `last` (pixels,) the ends of each row's non-zeros.
    """

    weights: Tensor
    first: Tensor
    last: Tensor


class _Chunk(NamedTuple):
    """Masks resized together: indices (n,), and logits (n, h, w) from their boxes' corners on."""

    indices: Tensor
    values: Tensor


class FullResolution:
    """Resizes masks of one image.

    Parameters
    ----------
    geometry : Geometry
        How the image lies in the network's input.
    low_res_shape : (int, int)
        Height and width of the whole low-resolution logits.
    device : torch.device
        Where the logits are.
    """

    def __init__(
        self, geometry: Geometry, low_res_shape: tuple[int, int], device: torch.device
    ) -> None:
        self._device = device
        rows, cols = (
            axis_weights(*lengths).to(device)
            for lengths in zip(
                geometry.image_shape,
                geometry.input_shape,
                geometry.padded_shape,
                low_res_shape,
                strict=True,
            )
        )
        self.pixels_each = math.prod(
            len(weights) / int(weights.any(0).sum()) for weights in (rows, cols)
        )
        """Pixels of the image for each low-resolution one."""
        self._axes = _axis(rows), _axis(cols)
        self._groups = Axis.of(rows), Axis.of(cols)

    def measure(self, masks: LowResMasks, offset: float) -> Measures:
        """Measure masks, at thresholds 0 and +-offset, without keeping them."""
        thresholds = torch.tensor([0.0, offset, -offset], device=self._device)
        count = len(masks.logits)
        boxes = torch.zeros(count, 4, dtype=torch.long, device=self._device)
        areas, inner, outer = torch.zeros(3, count, dtype=torch.long, device=self._device)
        reach = max(axis.reach for axis in self._groups)
        for indices, logits, corners in iter_cropped(
            masks.logits, masks.corners, -offset, NOTHING, reach
        ):
            parts = list(iter_counts(self._groups, logits, corners, thresholds))
            areas[indices], inner[indices], outer[indices] = torch.cat(
                [part.above for part in parts]
            ).unbind(1)
            boxes[indices] = torch.cat([part.boxes for part in parts])
        return Measures(boxes * (areas > 0)[:, None], areas, inner / outer.clamp(min=1))

    def at(
        self, masks: LowResMasks, rows: NDArray[np.floating], cols: NDArray[np.floating]
    ) -> Tensor:
        """Return the logits (K, R, C) of masks where so many rows and columns of pixels cross."""
        products = []
        for axis, pixels in enumerate((rows, cols)):
            weights = self._axes[axis].weights
            chosen = weights[torch.from_numpy(pixels.astype(np.int64)).to(self._device)]
            length = masks.logits.shape[1 + axis]
            low = masks.corners[:, axis, None] + torch.arange(length, device=self._device)
            products.append(chosen[:, low].transpose(0, 1))
        inside = products[0] @ (masks.logits - NOTHING) @ products[1].transpose(1, 2)
        return inside + NOTHING

    def draw(self, masks: LowResMasks, boxes: NDArray[np.integer]) -> list[NDArray[np.bool_]]:
        """Return each mask cut to its box (K, 4)."""
        drawn: list[NDArray[np.bool_]] = [np.zeros((0, 0), bool)] * len(masks.logits)
        for index, mask in self.iter_drawn(masks, boxes):
            drawn[index] = mask.copy()
        return drawn

    def iter_drawn(
        self, masks: LowResMasks, boxes: NDArray[np.integer]
    ) -> Iterator[tuple[int, NDArray[np.bool_]]]:
        """Draw each mask that is not empty, cut to its box (K, 4): its index, and a view of it."""
        for chunk in self._resized(masks, torch.from_numpy(boxes).to(self._device)):
            found = (chunk.values > 0).cpu().numpy()
            for index, mask in zip(chunk.indices.tolist(), found, strict=True):
                top, left, bottom, right = boxes[index].tolist()
                yield index, mask[: bottom - top, : right - left]

    # inside

    def _resized(self, masks: LowResMasks, boxes: Tensor) -> Iterator[_Chunk]:
        """Resize masks within their boxes (K, 4), those of about one size together."""
        starts, stops = boxes[:, :2], boxes[:, 2:]
        sides = (stops - starts).max(1).values
        alive = torch.nonzero(sides > 0)[:, 0]
        classes = sides[alive].double().log2().ceil().long()
        for size in classes.unique().tolist():
            own = alive[classes == size]
            for some in own.split(max(1, _AT_ONCE // 4**size)):
                yield self._chunk(masks, some, starts[some], stops[some])

    def _chunk(self, masks: LowResMasks, indices: Tensor, starts: Tensor, stops: Tensor) -> _Chunk:
        """Resize a few masks, whose pixels (n, 2) begin and end there."""
        windows, weights = [], []
        for axis in (0, 1):
            table = self._axes[axis]
            start, stop = starts[:, axis, None], stops[:, axis, None]
            pixels = start + torch.arange(int((stop - start).max()), device=self._device)
            pixels = pixels.clamp(max=len(table.first) - 1)
            first = table.first[pixels[:, :1]]
            reach = int((table.last[(stop - 1).clamp(min=0)] - first).max()) + 1
            low = first + torch.arange(max(reach, 1), device=self._device)
            there = low < table.weights.shape[1]
            low = low.clamp(max=table.weights.shape[1] - 1)
            weights.append(table.weights[pixels[:, :, None], low[:, None]] * there[:, None])
            windows.append(low - masks.corners[indices, axis, None])
        logits = look_up(masks.logits, indices, windows[0], windows[1], NOTHING)
        values = weights[0] @ logits @ weights[1].transpose(1, 2)
        return _Chunk(indices, values)


def _axis(weights: Tensor) -> _Axis:
    first, stop = true_spans(weights > 0)
    return _Axis(weights, first, stop - 1)
