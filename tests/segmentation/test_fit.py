"""Shapes of embeddings, told without a network."""

import numpy as np
import pytest
import torch

from napari_sam.model.configs import ConvEncoderConfig, DecoderConfig, SamConfig, ViTConfig
from napari_sam.model.sam import Sam
from napari_sam.segmentation.fit import encoded_shapes, fitted_geometry
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
