"""Smooth noise: the texture of generated scenes."""

from __future__ import annotations

import numpy as np
import torch
from numpy.typing import NDArray
from torch.nn import functional


def smooth_noise(rng: np.random.Generator, size: int, scale: float) -> NDArray[np.float32]:
    """Return noise (size, size) with features of about `scale` pixels, mean 0, deviation 1."""
    coarse = max(2, round(size / scale)) + 3
    small = torch.from_numpy(rng.standard_normal((1, 1, coarse, coarse)).astype(np.float32))
    grown = functional.interpolate(small, scale_factor=size / (coarse - 3), mode="bicubic")
    noise = grown[0, 0, :size, :size].numpy()
    return np.asarray((noise - noise.mean()) / (noise.std() + 1e-6), np.float32)
