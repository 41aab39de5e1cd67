"""Prompts in image coordinates, as they reach a network."""

from types import SimpleNamespace

import pytest
import torch

from napari_sam.model.configs import ConvEncoderConfig, SamConfig, ViTConfig
from napari_sam.segmentation.decoding import to_batch
from napari_sam.segmentation.geometry import free_geometry
from napari_sam.segmentation.prompts import Prompts

VIT = ViTConfig(
    image_size=64, embed_dim=16, depth=1, num_heads=2, mlp_dim=16, global_attn_indexes=(0,)
)


@pytest.mark.parametrize(
    ("encoder", "points", "box"),
    [
        (VIT, [[20.0, 8.0]], [12.0, 8.0, 20.0, 8.0]),
        (ConvEncoderConfig(), [[21.5, 9.5]], [12.0, 8.0, 23.0, 11.0]),
    ],
)
def test_networks_are_prompted_as_they_were_trained(encoder, points, box):
    """At four times the size; official ones in numbers of pixels, ours at their centres."""
    model = SimpleNamespace(config=SamConfig(encoder=encoder), device=torch.device("cpu"))
    geometry = free_geometry((50, 60), 4, 1024)
    prompt = Prompts(points=[(2, 5)], box=(2, 3, 2, 5))
    batch = to_batch(model, [prompt, prompt], geometry)
    assert batch.points.tolist() == [points, points]
    assert batch.boxes.tolist() == [box, box]
