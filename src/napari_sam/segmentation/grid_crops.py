"""Where a grid's points lie: in the whole image and, optionally, in crops of it."""

from __future__ import annotations

import math
from typing import NamedTuple

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from napari_sam.segmentation.everything_config import EverythingConfig

_EDGE_TOLERANCE = 20


class Crop(NamedTuple):
    """A part of the image that is embedded by itself.

    Attributes
    ----------
    box : (int, int, int, int)
        (row_min, col_min, row_max, col_max), the last two one past, pixels.
    points : ndarray
        (side ** 2, 2) grid points (row, col) in pixels of the crop, row by row.
    """

    box: tuple[int, int, int, int]
    points: NDArray[np.float64]

    @property
    def side(self) -> int:
        """Points along one side."""
        return math.isqrt(len(self.points))


def grid_points(side: int) -> NDArray[np.float64]:
    """Return side ** 2 points (row, col) in the unit square, row by row."""
    steps = (np.arange(side) + 0.5) / side
    return np.stack(np.meshgrid(steps, steps, indexing="ij"), -1).reshape(-1, 2)


def crop_boxes(
    shape: tuple[int, int], n_layers: int, overlap_ratio: float
) -> list[tuple[tuple[int, int, int, int], int]]:
    """Return the boxes of the whole image and of all crops, each with its layer.

    An image of fewer pixels than crops along a side has no crops where nothing would be left.
    """
    height, width = shape
    boxes = [((0, 0, height, width), 0)]
    for layer in range(1, n_layers + 1):
        count = 2**layer
        overlap = int(overlap_ratio * min(shape) * 2 / count)
        tall, wide = (math.ceil((overlap * (count - 1) + side) / count) for side in shape)
        lefts = [int((wide - overlap) * i) for i in range(count)]
        tops = [int((tall - overlap) * i) for i in range(count)]
        boxes += [
            ((top, left, min(top + tall, height), min(left + wide, width)), layer)
            for left in lefts
            for top in tops
        ]
    return [(box, layer) for box, layer in boxes if box[0] < box[2] and box[1] < box[3]]


def grid_crops(shape: tuple[int, int], config: EverythingConfig) -> list[Crop]:
    """Return the whole image and its crops, each with its grid."""
    crops = []
    for box, layer in crop_boxes(shape, config.crop_n_layers, config.crop_overlap_ratio):
        side = int(config.points_per_side / config.crop_n_points_downscale_factor**layer)
        sides = (box[2] - box[0], box[3] - box[1])
        crops.append(Crop(box, grid_points(max(1, side)) * sides))
    return crops


def at_crop_edge(
    boxes: Tensor, crop: tuple[int, int, int, int], shape: tuple[int, int], slack: int = 0
) -> Tensor:
    """Tell which boxes (N, 4) end at an edge of their crop that is no edge of the image.

    Whose sides may be off by `slack` pixels must surely end there.
    """
    inclusive = boxes - torch.tensor([0, 0, 1, 1], device=boxes.device)
    placed = inclusive + torch.tensor([crop[0], crop[1]] * 2, device=boxes.device)
    edges = torch.tensor(crop, device=boxes.device)
    ends = torch.tensor([0, 0, *shape], device=boxes.device)
    near_crop = (placed - edges).abs() <= _EDGE_TOLERANCE - slack
    near_image = (placed - ends).abs() <= _EDGE_TOLERANCE + slack
    return (near_crop & ~near_image).any(1)
