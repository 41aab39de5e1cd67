"""Peak resident memory of one ViT-H embedding on a CPU, with random weights: the bar is 12 GB.

Run: python benchmarks/vit_h_memory.py
"""

from __future__ import annotations

import resource  # not on Windows
import sys
import time

import numpy as np
import torch

from napari_sam.model.configs import SamConfig, ViTConfig
from napari_sam.model.sam import Sam
from napari_sam.segmentation.predictor import Predictor

BAR_GB = 12
VIT_H = ViTConfig(
    image_size=1024,
    embed_dim=1280,
    depth=32,
    num_heads=16,
    mlp_dim=5120,
    global_attn_indexes=(7, 15, 23, 31),
)


def peak_gb() -> float:
    """Return the peak resident size of this process, GB."""
    unit = 1 if sys.platform == "darwin" else 1024
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * unit / 1e9


def main() -> None:
    torch.manual_seed(0)
    predictor = Predictor(Sam(SamConfig(encoder=VIT_H)), precision="float32")
    loaded = peak_gb()
    image = np.random.default_rng(0).integers(0, 255, (1024, 1024, 3), dtype=np.uint8)
    started = time.perf_counter()
    predictor.embed(image)
    print("| what | value |\n|---|---|")
    print(f"| weights loaded | {loaded:.1f} GB |")
    print(f"| peak while embedding | {peak_gb():.1f} GB (bar: {BAR_GB}) |")
    print(f"| time | {time.perf_counter() - started:.0f} s on {torch.get_num_threads()} threads |")
    if peak_gb() > BAR_GB:
        raise SystemExit("above the bar")


if __name__ == "__main__":
    main()
