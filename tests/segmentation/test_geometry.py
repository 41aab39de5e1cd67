"""How images lie in a network's input, and shapes of embeddings, told without a network."""

import numpy as np
import pytest
import torch

from napari_sam.model.configs import ConvEncoderConfig, DecoderConfig, SamConfig, ViTConfig
from napari_sam.model.sam import Sam
from napari_sam.segmentation.geometry import (
    encoded_shapes,
    fitted_geometry,
    free_geometry,
    square_geometry,
)
from napari_sam.segmentation.predictor import Predictor

CONV = SamConfig(
    encoder=ConvEncoderConfig(channels=(8,) * 5, blocks=(1,) * 5, out_channels=32, max_size=512),
    decoder=DecoderConfig(num_heads=2, mlp_dim=32, attention_dim=16),
    object_diameter=30.0,
)
VIT = SamConfig(
    encoder=ViTConfig(
        image_size=64, embed_dim=16, depth=1, num_heads=2, mlp_dim=16, global_attn_indexes=(0,)
    )
)


@pytest.mark.parametrize("config", [CONV, VIT])
@pytest.mark.parametrize("shape", [(1, 1), (100, 70), (900, 30)])
@pytest.mark.parametrize("diameter", [3.0, 30.0, 400.0])
def test_what_is_told_is_what_a_network_gives(config, shape, diameter):
    torch.manual_seed(0)
    embedding = Predictor(Sam(config)).embed(np.zeros(shape), object_diameter=diameter)
    geometry = fitted_geometry(config, shape, diameter)
    assert embedding.geometry == geometry
    maps = (embedding.features, *embedding.image.skips)
    assert tuple(level.shape[1:] for level in maps) == encoded_shapes(config, geometry)


def test_without_a_diameter_objects_have_the_size_that_is_seen_best():
    assert fitted_geometry(CONV, (300, 400)) == fitted_geometry(CONV, (300, 400), 30)
    assert fitted_geometry(CONV, (300, 400)).input_shape == (300, 400)


def test_a_square_input_keeps_the_aspect():
    geometry = square_geometry((600, 1200), 1024)
    assert geometry.input_shape == (512, 1024)
    assert geometry.padded_shape == (1024, 1024)
    assert geometry.scale == pytest.approx((512 / 600, 1024 / 1200))


def test_prompts_are_placed_as_a_network_was_trained():
    """The official ones number pixels; in centred ones a pixel's middle stays its middle."""
    geometry = free_geometry((50, 20), 4, 1024)
    points, box = [[0, 0], [49, 19]], [2, 3, 2, 5]
    assert geometry.input_points(points, centred=False).tolist() == [[0, 0], [196, 76]]
    assert geometry.input_points(points, centred=True).tolist() == [[1.5, 1.5], [197.5, 77.5]]
    assert geometry.input_boxes(box, centred=False).tolist() == [8, 12, 8, 20]
    assert geometry.input_boxes([box], centred=True).tolist() == [[8, 12, 11, 23]]


def test_a_free_input_is_padded_to_the_deepest_stride():
    assert free_geometry((100, 40), 2, 1024).padded_shape == (224, 96)
    assert free_geometry((8, 8), 1, 1024).padded_shape == (32, 32)
    assert free_geometry((4000, 2000), 3, 1024).input_shape == (1024, 512)
