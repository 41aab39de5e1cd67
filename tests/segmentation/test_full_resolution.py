"""Masks resized within their boxes are those resized as whole images."""

import numpy as np
import pytest
import torch
from torch.nn import functional

from napari_sam.segmentation.full_resolution import FullResolution, LowResMasks
from napari_sam.segmentation.geometry import free_geometry, square_geometry
from napari_sam.segmentation.masks import mask_boxes, stability_score

CPU = torch.device("cpu")


def blobs(count: int, shape: tuple[int, int], seed: int = 0) -> torch.Tensor:
    """Logits (K, h, w) of smooth masks: small ones, large ones, one at each edge, an empty one."""
    rng = np.random.default_rng(seed)
    rows, cols = np.mgrid[: shape[0], : shape[1]]
    logits = []
    for index in range(count):
        row, col = rng.uniform(0, shape[0]), rng.uniform(0, shape[1])
        radius = rng.uniform(0.2, 1.2 * max(shape)) if index else -40.0
        logits.append(radius - np.hypot(rows - row, cols - col) + rng.normal(0, 0.4, shape))
    return torch.from_numpy(np.array(logits, np.float32))


def whole(logits: torch.Tensor, geometry) -> torch.Tensor:
    height, width = geometry.input_shape
    padded = functional.interpolate(logits[None], geometry.padded_shape, mode="bilinear")
    return functional.interpolate(
        padded[..., :height, :width], geometry.image_shape, mode="bilinear"
    )[0]


GEOMETRIES = {
    "shrunk": square_geometry((150, 201), 128),
    "grown": square_geometry((33, 57), 128),
    "free": free_geometry((97, 61), 1.7, 4096),
    "a line": square_geometry((1, 90), 128),
}


@pytest.mark.parametrize("name", GEOMETRIES)
def test_measures_are_those_of_whole_images(name):
    geometry = GEOMETRIES[name]
    low = (geometry.padded_shape[0] // 4, geometry.padded_shape[1] // 4)
    logits = blobs(60, low)
    zeros = torch.zeros(60, 2, dtype=torch.long)
    masks = LowResMasks(logits, zeros, torch.ones(60), torch.arange(60))
    full = FullResolution(geometry, low, CPU)
    found, expected = full.measure(masks, 1.0), whole(logits, geometry)
    # pixels whose logit is 0 within float noise may fall to either side
    sure = (expected.abs() > 1e-4).flatten(1).all(1)
    assert sure.sum() > 50
    areas = (expected > 0).sum((1, 2))
    assert torch.equal(found.areas[sure], areas[sure])
    assert torch.equal(found.boxes[sure], mask_boxes(expected > 0)[sure])
    assert torch.allclose(found.stability, stability_score(expected, 1.0), atol=2e-3)
    boxes = found.boxes.numpy()
    for mask, box, truth in zip(full.draw(masks, boxes), boxes, expected > 0, strict=True):
        top, left, bottom, right = box
        assert mask.shape == (bottom - top, right - left)
        assert (torch.from_numpy(mask) != truth[top:bottom, left:right]).sum() <= 1


def test_windows_lie_where_their_corners_say():
    geometry = free_geometry((96, 128), 1.0, 4096)
    low = (24, 32)
    logits = torch.full((1, 8, 8), -9.0)
    logits[0, 2:5, 3:7] = 9
    corners = torch.tensor([[10, 20]])
    full = FullResolution(geometry, low, CPU)
    masks = LowResMasks(logits, corners, torch.ones(1), torch.zeros(1, dtype=torch.long))
    measures = full.measure(masks, 1.0)
    assert measures.boxes.tolist() == [[48, 92, 60, 108]]
    assert measures.areas.tolist() == [12 * 16 - 4]  # interpolation rounds the corners


def test_nothing_gives_nothing():
    geometry = free_geometry((96, 128), 1.0, 4096)
    none = torch.zeros(0, dtype=torch.long)
    masks = LowResMasks(torch.zeros(0, 24, 32), none.reshape(0, 2), none.float(), none)
    full = FullResolution(geometry, (24, 32), CPU)
    assert full.measure(masks, 1.0).boxes.shape == (0, 4)
    assert full.draw(masks, np.zeros((0, 4), int)) == []
