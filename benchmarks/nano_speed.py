"""How quick `nano` is: embedding against plain convolutions, a click against the official decoder.

Besides, what it costs to estimate the size of objects first, against embedding.

Run: python benchmarks/nano_speed.py
"""

from __future__ import annotations

import statistics
import time
from collections.abc import Callable

import numpy as np
import torch
from skimage.data import coins
from torch import nn

from napari_sam.model.configs import SamConfig, ViTConfig
from napari_sam.model.sam import EncodedImage, PromptBatch, Sam
from napari_sam.segmentation.predictor import Predictor
from napari_sam.segmentation.prompts import Prompts

REPEATS = 7
OFFICIAL = ViTConfig(
    image_size=1024, embed_dim=64, depth=1, num_heads=1, mlp_dim=64, global_attn_indexes=(0,)
)
"""Only its decoder is timed; the encoder is as small as can be."""


def in_turns(*calls: Callable[[], object]) -> list[float]:
    """Return the median seconds of each call, measured in turns."""
    times: list[list[float]] = [[] for _ in calls]
    for turn in range(REPEATS + 1):
        for call, kept in zip(calls, times, strict=True):
            started = time.perf_counter()
            call()
            if turn:  # the first warms up
                kept.append(time.perf_counter() - started)
    return [statistics.median(kept) for kept in times]


@torch.inference_mode()
def main() -> None:
    predictor = Predictor("nano", "cpu")
    image = np.random.default_rng(0).random((512, 512)).astype(np.float32)
    convolution = nn.Conv2d(64, 64, 3, padding=1)
    pixels = torch.randn(1, 64, 512, 512)

    def yardstick() -> None:
        for _ in range(16):
            convolution(pixels)

    embed, conv = in_turns(lambda: predictor.embed(image, object_diameter=40), yardstick)
    picture = coins()
    diameter = predictor.estimate_diameter(picture)
    estimate, known = in_turns(
        lambda: predictor.estimate_diameter(picture),
        lambda: predictor.embed(picture, object_diameter=diameter),
    )
    official = Sam(SamConfig(encoder=OFFICIAL)).eval()
    encoded = EncodedImage(torch.randn(1, 256, 64, 64))
    point = PromptBatch(torch.tensor([[[500.0, 500.0]]]), torch.ones(1, 1, dtype=torch.long))
    embedding = predictor.embed(image, object_diameter=40)
    prompt = [Prompts(points=[(250, 250)])]
    click, plain = in_turns(
        lambda: predictor.decode(embedding, prompt), lambda: official.decode(encoded, point)
    )
    print("| what | ratio | bar |\n|---|---|---|")
    print(f"| embed 512 x 512 / 16 convolutions 64 -> 64 | {embed / conv:.2f} | 4 |")
    print(f"| estimate the object size / embed, 303 x 384 | {estimate / known:.2f} | |")
    print(f"| click / official decoder at 1024 | {click / plain:.2f} | 0.40 |")


if __name__ == "__main__":
    main()
