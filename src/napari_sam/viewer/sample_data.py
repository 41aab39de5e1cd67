"""Pictures to try the plugin on, without a download."""

from __future__ import annotations

from typing import Any, TypeAlias

import numpy as np
from numpy.typing import NDArray

LayerData: TypeAlias = tuple[NDArray[np.generic], dict[str, Any], str]


def coins_2d() -> list[LayerData]:
    """Return scikit-image's picture of 24 Greek coins, (303, 384) uint8."""
    from skimage.data import coins

    return [(coins(), {"name": "coins"}, "image")]


def nuclei_3d() -> list[LayerData]:
    """Return a generated stack of nuclei, (16, 160, 192) uint16, voxels of 2 x 0.5 x 0.5 um."""
    stack, _ = draw_nuclei()
    return [(stack, {"name": "nuclei", "scale": (2.0, 0.5, 0.5), "units": ("um",) * 3}, "image")]


def draw_nuclei(seed: int = 0) -> tuple[NDArray[np.uint16], NDArray[np.uint16]]:
    """Draw bright ellipsoids, apart from each other, in noise.

    Parameters
    ----------
    seed : int
        Decides everything.

    Returns
    -------
    stack, labels : ndarray
        (16, 160, 192) uint16 each; labels are the exact ground truth.
    """
    rng = np.random.default_rng(seed)
    shape = (16, 160, 192)
    grid = np.mgrid[tuple(slice(length) for length in shape)].astype(np.float32)
    labels = np.zeros(shape, np.uint16)
    stack = np.full(shape, 400, np.float32)
    for label, (row, col) in enumerate(np.ndindex(4, 5), start=1):
        centre = np.array([8, 20 + 40 * row, 19 + 38 * col]) + rng.uniform(-3, 3, 3)
        radii = np.array([5, 13, 13]) * rng.uniform(0.75, 1.1, 3)
        away = (((grid - centre[:, None, None, None]) / radii[:, None, None, None]) ** 2).sum(0)
        labels[away < 1] = label
        stack += rng.uniform(2500, 5000) * np.clip(1.4 - away, 0, 1)
    noisy = rng.poisson(stack / 10) * 10 + rng.normal(0, 60, shape)
    return noisy.clip(0, 65535).astype(np.uint16), labels
