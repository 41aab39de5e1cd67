"""What masks are turned into for a network, by hand."""

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from napari_sam.model.image_tokens import ImageTokens
from napari_sam.model.sam import EncodedImage
from napari_sam.segmentation.embedding import ImageEmbedding
from napari_sam.segmentation.geometry import free_geometry
from napari_sam.segmentation.mask_prompts import (
    inner_points,
    logits_from_mask,
    prompts_from_mask,
)
from napari_sam.segmentation.patches import MaskPatch
from napari_sam.segmentation.upscaling import upscale_window


def embedding_of(shape, scale=1.0, stride=8):
    geometry = free_geometry(shape, scale, 4096)
    rows, cols = (length // stride for length in geometry.padded_shape)
    return ImageEmbedding(
        image=EncodedImage(torch.zeros(1, 1, rows, cols)),
        tokens=ImageTokens(*torch.zeros(2, 1, rows, cols, 1)),
        geometry=geometry,
        object_diameter=None,
        model_name="drawn",
    )


def test_logits_rise_with_the_distance_from_the_edge():
    mask = np.zeros((32, 64), bool)
    mask[:, 20:40] = True
    logits = logits_from_mask(mask, embedding_of((32, 64), stride=4))
    assert logits.shape == (32, 64)
    assert logits.dtype == np.float32
    assert logits[7, 15:25].tolist() == [-8, -7, -5, -3, -1, 1, 3, 5, 7, 8]
    assert np.array_equal(logits[0], logits[31])  # the image's border is no edge


@pytest.mark.parametrize("scale", [0.5, 1.0, 3.0])
def test_logits_give_the_mask_back(scale):
    rows, cols = np.mgrid[:90, :120]
    mask = (rows - 40) ** 2 + (cols - 100) ** 2 < 30**2
    embedding = embedding_of(mask.shape, scale)
    logits = torch.from_numpy(logits_from_mask(mask, embedding))
    assert logits.shape == embedding.low_res_shape
    patch = upscale_window(logits, (0, 0), embedding.low_res_shape, embedding.geometry)
    again = (patch.values > 0).numpy()
    assert (again & mask).sum() / (again | mask).sum() > 0.96


def test_thin_and_full_masks_have_logits():
    embedding = embedding_of((64, 64), 0.25)
    mask = np.zeros((64, 64), bool)
    mask[33, 17] = True
    logits = logits_from_mask(mask, embedding)
    assert np.argwhere(logits > 0).tolist() == [[33 // 8, 17 // 8]]
    assert (logits_from_mask(np.ones((64, 64), bool), embedding)[:8, :8] == 8).all()


def test_what_is_no_mask_of_the_image_is_refused():
    embedding = embedding_of((32, 32))
    with pytest.raises(ValueError, match=r"image's shape \(32, 32\), got \(16, 16\)"):
        logits_from_mask(np.ones((16, 16), bool), embedding)
    with pytest.raises(ValueError, match="The mask is empty"):
        prompts_from_mask(np.zeros((32, 32), bool), embedding)


def test_prompts_say_where_the_mask_is():
    mask = np.zeros((32, 64), bool)
    mask[10:15, 20:27] = True
    prompts = prompts_from_mask(mask, embedding_of(mask.shape))
    assert prompts.box.tolist() == [10, 20, 14, 26]
    assert prompts.points.tolist() == [[12, 22]]
    assert prompts.mask_input.shape == (16, 32)


def test_long_objects_have_three_points_inside():
    mask = np.zeros((20, 60), bool)
    mask[5:12, 3:55] = True
    points = inner_points(MaskPatch.cut(mask))
    assert len(points) == 3
    assert all(mask[int(row), int(col)] for row, col in points)
    assert np.ptp(points[:, 1]) > 40


@settings(max_examples=40, deadline=None)
@given(seed=st.integers(0, 1000))
def test_patches_are_the_masks_they_were_cut_from(seed):
    rng = np.random.default_rng(seed)
    masks = np.zeros((2, 12, 15), bool)
    for mask in masks:
        (top, left), (height, width) = rng.integers(0, 9, 2), rng.integers(0, 7, 2)
        mask[top : top + height, left : left + width] = (
            rng.random((height, width))[: 12 - top, : 15 - left] > 0.5
        )
    one, two = (MaskPatch.cut(mask) for mask in masks)
    assert np.array_equal(one.full_mask((12, 15)), masks[0])
    assert one.area == masks[0].sum()
    left = one.without(two)
    assert np.array_equal(left.full_mask((12, 15)), masks[0] & ~masks[1])
    union = (masks[0] | masks[1]).sum()
    expected = (masks[0] & masks[1]).sum() / union if union else 0
    assert one.iou_with(two) == pytest.approx(expected)
    window = one.within((3, -2), (20, 9))
    padded = np.pad(masks[0], ((0, 20), (2, 20)))
    assert np.array_equal(window, padded[3:23, :9])
