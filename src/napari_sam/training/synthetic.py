"""Generated scenes whose ground truth is exact.

Drawn at random: cells (round, touching, each with a nucleus inside), tissue (a dense tessellation
with membranes, as in electron microscopy), vesicles (rings and discs, overlapping), and scattered
objects of one or two kinds (textured blobs, filaments, rings). Light, noise, blur and stains vary.
The same seed gives the same scene.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray
from scipy import ndimage
from scipy.spatial import cKDTree

from napari_sam.training.noise import smooth_noise
from napari_sam.training.samples import Sample
from napari_sam.training.synthetic_objects import dye, scatter

_SMOOTHNESS = 0.35
_STAINED = 0.3
_MOST_NOISE = 0.15
"""Standard deviation, where light reaches from 0 to 1; mostly it is much less."""


def draw_scene(seed: int | list[int], *, size: int = 384) -> Sample:
    """Draw a scene.

    Parameters
    ----------
    seed : int or list of int
        Decides everything.
    size : int
        Height and width, pixels.

    Returns
    -------
    Sample
        A gray or colour uint8 image; `nested` holds whole cells where `labels` holds their nuclei.
    """
    rng = np.random.default_rng(seed)
    kind = str(rng.choice(["cells", "tissue", "vesicles", "scattered"]))
    kinds = nested = None
    if kind == "scattered":
        picture, labels, kinds = scatter(rng, size)
    else:
        drawers = {"cells": _cells, "tissue": _tissue, "vesicles": _vesicles}
        picture, labels, nested = drawers[kind](rng, size)
    stained = kind in ("cells", "scattered") and rng.random() < _STAINED
    return Sample(
        name=f"{kind}_{seed}",
        source="synthetic",
        image=_expose(dye(picture, labels, rng) if stained else picture, rng),
        labels=labels,
        nested=nested,
        kinds=kinds,
        tags={"modality": kind},
    )


def _centres(rng: np.random.Generator, size: int, spacing: float) -> NDArray[np.float64]:
    """Points on a jittered grid with gaps."""
    steps = np.arange(-spacing / 2, size + spacing / 2, spacing)
    grid = np.stack(np.meshgrid(steps, steps, indexing="ij"), -1).reshape(-1, 2)
    moved = grid + rng.uniform(-0.35, 0.35, grid.shape) * spacing
    kept: NDArray[np.float64] = moved[rng.random(len(moved)) < rng.uniform(0.3, 0.95)]
    return kept if len(kept) else moved[:1]


def _territories(
    rng: np.random.Generator, size: int, spacing: float
) -> tuple[NDArray[np.int32], NDArray[np.float32], NDArray[np.float64]]:
    """Nearest centre (wobbling borders), distance to it in units of spacing, and the centres."""
    centres = _centres(rng, size, spacing)
    rows, cols = np.mgrid[:size, :size].astype(np.float32)
    wobble = spacing * rng.uniform(0.02, 0.2)
    rows += wobble * smooth_noise(rng, size, spacing * _SMOOTHNESS + 4)
    cols += wobble * smooth_noise(rng, size, spacing * _SMOOTHNESS + 4)
    seeds = np.stack([rows, cols], -1).reshape(-1, 2)
    distance, nearest = cKDTree(centres).query(seeds)
    owner = nearest.reshape(size, size).astype(np.int32) + 1
    return owner, (distance / spacing).reshape(size, size).astype(np.float32), centres


def _cells(
    rng: np.random.Generator, size: int
) -> tuple[NDArray[np.float32], NDArray[np.int32], NDArray[np.int32] | None]:
    spacing = float(np.exp(rng.uniform(np.log(18), np.log(110))))
    owner, distance, centres = _territories(rng, size, spacing)
    radii = rng.uniform(0.3, 0.6, len(centres) + 1).astype(np.float32)
    cells = np.where(distance < radii[owner], owner, 0)
    nuclei = np.where(distance < radii[owner] * rng.uniform(0.35, 0.65), owner, 0)
    brightness = rng.uniform(0.25, 1, len(centres) + 1).astype(np.float32)
    texture = 0.15 * smooth_noise(rng, size, max(4, spacing / 6))
    body = (cells > 0) * brightness[owner] * rng.uniform(0.2, 0.8)
    core = (nuclei > 0) * brightness[owner] * rng.uniform(-0.5, 0.9)
    shape = 1 - rng.uniform(0, 0.6) * (distance / radii[owner]) ** 2
    picture = (body + core) * shape * (1 + texture)
    if abs(float(core.sum())) < 0.15 * float(body.sum()):
        return picture, cells, None
    return picture, nuclei, cells


def _tissue(
    rng: np.random.Generator, size: int
) -> tuple[NDArray[np.float32], NDArray[np.int32], NDArray[np.int32] | None]:
    spacing = float(np.exp(rng.uniform(np.log(20), np.log(90))))
    owner, _, centres = _territories(rng, size, spacing)
    width = rng.uniform(1, 1 + spacing * 0.06)
    inside = np.ones((size, size), bool)
    for axis in (0, 1):
        change = np.diff(owner, axis=axis, append=np.take(owner, [-1], axis)) != 0
        inside &= ~change
    depth = ndimage.distance_transform_edt(inside)
    labels = np.where(depth > width, owner, 0).astype(np.int32)
    membrane = np.exp(-((depth / width) ** 2)).astype(np.float32)
    fill = rng.uniform(0.6, 1, len(centres) + 1).astype(np.float32)[owner]
    specks = smooth_noise(rng, size, max(3, spacing / 10))
    organelles = 0.35 * ((specks > 1.6) & (depth > 2 * width))
    return fill * (1 - rng.uniform(0.5, 1) * membrane) - organelles, labels, None


def _vesicles(
    rng: np.random.Generator, size: int
) -> tuple[NDArray[np.float32], NDArray[np.int32], NDArray[np.int32] | None]:
    count = int(rng.integers(8, 90))
    picture = 0.1 * smooth_noise(rng, size, 30)
    labels = np.zeros((size, size), np.int32)
    rows, cols = np.mgrid[:size, :size].astype(np.float32)
    base = float(np.exp(rng.uniform(np.log(6), np.log(40))))
    hollow = rng.random() < 0.5
    for label in range(1, count + 1):
        row, col = rng.uniform(0, size, 2)
        radius = base * rng.uniform(0.6, 1.5)
        tall, angle = rng.uniform(0.6, 1), rng.uniform(0, np.pi)
        low = np.maximum(0, np.array([row, col]) - 2 * radius - 3).astype(int)
        high = np.array([row, col]).astype(int) + int(2 * radius) + 4
        box = (slice(low[0], high[0]), slice(low[1], high[1]))
        down, right = rows[box] - row, cols[box] - col
        along = down * np.cos(angle) + right * np.sin(angle)
        across = (right * np.cos(angle) - down * np.sin(angle)) / tall
        reach = np.hypot(along, across) / radius
        glow = np.exp(-(((reach - 0.85) / 0.18) ** 2)) if hollow else np.clip(1.5 - reach, 0, 1)
        lit = glow > 0.05
        brighter = np.maximum(picture[box], rng.uniform(0.4, 1) * glow)
        picture[box][lit] = brighter[lit]
        labels[box][reach < 1] = label
    return picture, labels, None


def _expose(picture: NDArray[np.float32], rng: np.random.Generator) -> NDArray[np.uint8]:
    """Photograph a scene (S, S) or (S, S, 3): uneven light, blur, noise, and polarity if gray."""
    size = picture.shape[0]
    light = 1 + rng.uniform(0, 0.3) * smooth_noise(rng, size, size / 2)
    gray = picture.ndim == 2
    image = (picture + rng.uniform(0, 0.3)) * light if gray else picture * light[..., None]
    blur = rng.uniform(0.3, 1.8)
    image = ndimage.gaussian_filter(image, (blur, blur) if gray else (blur, blur, 0))
    if gray:
        image = (image - image.min()) / (np.ptp(image) + 1e-6)
    photons = np.exp(rng.uniform(np.log(15), np.log(400)))
    noise = rng.normal(0, _MOST_NOISE * rng.random() ** 3, image.shape)
    image = rng.poisson(np.clip(image, 0, None) * photons) / photons + noise
    if gray and rng.random() < 0.4:
        image = 1 - image
    return np.asarray(np.clip(image, 0, 1) * 255, np.uint8)
