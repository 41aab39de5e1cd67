"""From low-resolution logits to the image's pixels, only where there is something.

The reference resizes bilinearly twice: to the padded network input, then, cut to the image, to the
image's size. Both are linear along rows and columns, so a part of the image costs two small matrix
products, and gives the same values.
"""

from __future__ import annotations

import math
from typing import NamedTuple

import torch
from torch import Tensor
from torch.nn import functional

from napari_sam.segmentation.geometry import Geometry


class Patch(NamedTuple):
    """A part of an image.

    Attributes
    ----------
    values : Tensor
        (..., h, w).
    corner : (int, int)
        Row and column of its first pixel in the image.
    """

    values: Tensor
    corner: tuple[int, int]


def upscale_whole(logits: Tensor, geometry: Geometry) -> Tensor:
    """Resize low-resolution logits (..., h, w) to the image's pixels (..., H, W), float32."""
    stacked = logits.reshape(1, -1, *logits.shape[-2:]).float()
    height, width = geometry.input_shape
    padded = functional.interpolate(
        stacked, geometry.padded_shape, mode="bilinear", align_corners=False
    )[..., :height, :width]
    resized = functional.interpolate(
        padded, geometry.image_shape, mode="bilinear", align_corners=False
    )
    return resized.reshape(*logits.shape[:-2], *geometry.image_shape)


def upscale_window(
    logits: Tensor, corner: tuple[int, int], low_res_shape: tuple[int, int], geometry: Geometry
) -> Patch:
    """Resize a window of low-resolution logits to the pixels of the image that it covers.

    Parameters
    ----------
    logits : Tensor
        (..., h, w) part of the logits.
    corner : (int, int)
        Row and column of its first pixel in the whole logits.
    low_res_shape : (int, int)
        Height and width of the whole logits.
    geometry : Geometry
        How the image lies in the network's input.

    Returns
    -------
    Patch
        (..., h', w') float32; empty where the window covers padding alone.
    """
    matrices, starts = [], []
    for axis in (0, 1):
        lengths = (
            geometry.image_shape[axis],
            geometry.input_shape[axis],
            geometry.padded_shape[axis],
            low_res_shape[axis],
        )
        count = logits.shape[axis - 2]
        matrix, start = _axis_matrix(lengths, corner[axis], count)
        matrices.append(matrix.to(logits.device))
        starts.append(start)
    rows, cols = matrices
    values = rows @ logits.float() @ cols.T
    return Patch(values, (starts[0], starts[1]))


def _axis_matrix(lengths: tuple[int, int, int, int], first: int, count: int) -> tuple[Tensor, int]:
    """Return (pixels, count) weights of a window of low-resolution pixels, and the first pixel."""
    image, within, padded, low = lengths
    per_low = padded / low * image / within
    start = max(0, math.floor(first * per_low)) if first else 0
    stop = image if first + count >= low else min(image, math.ceil((first + count) * per_low))
    pixels = torch.arange(start, max(start, stop))
    return _weights(pixels, lengths, first, count), start


def axis_weights(image: int, within: int, padded: int, low: int) -> Tensor:
    """Return the weights (image, low) by which low-resolution pixels make those of the image.

    Parameters
    ----------
    image, within, padded, low : int
        Pixels along one side: of the image, of the image in the network's input, of the padded
        input, and of the low-resolution logits.
    """
    return _weights(torch.arange(image), (image, within, padded, low), 0, low)


def _weights(pixels: Tensor, lengths: tuple[int, int, int, int], first: int, count: int) -> Tensor:
    """Return (pixels, count) weights of the low-resolution pixels from `first` on."""
    image, within, padded, low = lengths
    matrix = torch.zeros(len(pixels), count)
    row = torch.arange(len(pixels))
    for inner, inner_share in _neighbours(pixels, image, within):
        for outer, outer_share in _neighbours(inner, padded, low):
            column = (outer - first).clamp(0, count - 1)
            matrix.index_put_((row, column), inner_share * outer_share, accumulate=True)
    return matrix


def _neighbours(pixels: Tensor, length: int, source: int) -> list[tuple[Tensor, Tensor]]:
    """Return the two source pixels between which each pixel lies, and their shares."""
    position = ((pixels + 0.5) * (source / length) - 0.5).clamp(min=0)
    low = position.floor().long().clamp(max=source - 1)
    share = position - low
    return [(low, 1 - share), ((low + 1).clamp(max=source - 1), share)]
