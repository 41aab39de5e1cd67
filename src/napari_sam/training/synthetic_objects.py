"""Scattered objects of one or two kinds: blobs with texture, filaments and rings that overlap.

A kind has its own form, size, brightness, texture and outline, so that scenes of two kinds teach
what is alike and what is not.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy import ndimage

from napari_sam.training.noise import smooth_noise

Image = NDArray[np.float32]

_FORMS = ("blob", "blob", "filament", "ring")
_HARMONICS = 5
_SPARSE = 0.35
_FEW = 6


@dataclass(frozen=True)
class _Kind:
    form: str
    radius: float
    spread: float
    wobble: float
    brightness: float
    texture: float
    grain: float
    outline: float
    softness: float


def scatter(
    rng: np.random.Generator, size: int
) -> tuple[Image, NDArray[np.int32], NDArray[np.int64]]:
    """Scatter objects, later ones over earlier ones; at times only a few on much ground.

    Parameters
    ----------
    rng : Generator
        Decides everything.
    size : int
        Height and width, pixels.

    Returns
    -------
    picture : ndarray
        (size, size) float32, about 0 ... 1.
    labels : ndarray
        (size, size) int32, the visible part of each object.
    kinds : ndarray
        (n + 1,) kind of each label, from 1.
    """
    kinds = [_draw_kind(rng) for _ in range(int(rng.integers(1, 3)))]
    picture = (0.08 * smooth_noise(rng, size, rng.uniform(8, 60))).astype(np.float32)
    labels = np.zeros((size, size), np.int32)
    count = int(rng.integers(1, _FEW + 1))
    if rng.random() > _SPARSE:
        area = np.pi * np.mean([kind.radius**2 for kind in kinds])
        count = int(np.clip(rng.uniform(0.15, 0.9) * size**2 / area, 4, 160))
    textures = [smooth_noise(rng, size, kind.grain) for kind in kinds]
    kind_of = [0]
    for label in range(1, count + 1):
        chosen = int(rng.integers(len(kinds)))
        kind_of.append(chosen + 1)
        _paint(picture, labels, label, kinds[chosen], textures[chosen], rng)
    return picture, labels, np.asarray(kind_of, np.int64)


def _draw_kind(rng: np.random.Generator) -> _Kind:
    return _Kind(
        form=str(rng.choice(_FORMS)),
        radius=float(np.exp(rng.uniform(np.log(6), np.log(45)))),
        spread=rng.uniform(0.05, 0.35),
        wobble=rng.uniform(0, 0.3),
        brightness=rng.uniform(0.3, 1),
        texture=rng.uniform(0, 0.35),
        grain=rng.uniform(3, 14),
        outline=rng.uniform(-0.5, 0.5) * (rng.random() < 0.4),
        softness=rng.uniform(0.5, 2.5),
    )


def _paint(
    picture: Image,
    labels: NDArray[np.int32],
    label: int,
    kind: _Kind,
    texture: Image,
    rng: np.random.Generator,
) -> None:
    """Draw one object into picture and labels."""
    size = labels.shape[0]
    centre = rng.uniform(0, size, 2)
    radius = kind.radius * float(np.exp(rng.normal(0, kind.spread)))
    reach = int(2.5 * radius) + 4
    low = np.clip(centre.astype(int) - reach, 0, size)
    high = np.clip(centre.astype(int) + reach, 0, size)
    box = (slice(low[0], high[0]), slice(low[1], high[1]))
    rows, cols = np.mgrid[box].astype(np.float32)
    depth = _depth(kind, radius, rows - centre[0], cols - centre[1], rng)
    cover = np.clip(depth / kind.softness + 0.5, 0, 1)
    shade = kind.brightness * rng.uniform(0.8, 1.2) * (1 + kind.texture * texture[box])
    shade = shade + kind.outline * np.exp(-((depth / (0.12 * radius + 1)) ** 2))
    if kind.form == "ring":
        shade = shade * np.clip(np.exp(-((depth / (0.2 * radius + 1)) ** 2)), 0.15, 1)
    picture[box] += cover * (shade - picture[box])
    labels[box][depth > 0] = label


def _depth(
    kind: _Kind, radius: float, down: Image, right: Image, rng: np.random.Generator
) -> Image:
    """Return about how deep each pixel lies inside the object, pixels; negative outside."""
    angle = np.arctan2(down, right)
    distance = np.hypot(down, right)
    if kind.form == "filament":
        turn, bend = rng.uniform(0, np.pi), rng.uniform(-0.35, 0.35) / radius
        along = right * np.cos(turn) + down * np.sin(turn)
        across = down * np.cos(turn) - right * np.sin(turn) + bend * along**2
        width = max(1.6, radius * rng.uniform(0.1, 0.25))
        return np.asarray(np.minimum(width - np.abs(across), 1.8 * radius - np.abs(along)))
    border = np.ones_like(angle)
    for harmonic in range(1, _HARMONICS):
        strength = kind.wobble * rng.normal(0, 0.5) / harmonic
        border += strength * np.cos(harmonic * angle + rng.uniform(0, 2 * np.pi))
    flat = 1 + rng.uniform(0, 0.4) * np.cos(2 * (angle - rng.uniform(0, np.pi)))
    return np.asarray(radius * np.clip(border * flat, 0.3, 1.8) - distance, np.float32)


def dye(picture: Image, labels: NDArray[np.int32], rng: np.random.Generator) -> Image:
    """Stain a picture (H, W) as a section in transmitted light: (H, W, 3) in 0 ... 1.

    Objects take up one dye, what lies between them another (Beer and Lambert).
    """
    size = picture.shape[0]
    nuclear = np.abs(np.array([0.65, 0.70, 0.29]) + rng.normal(0, 0.12, 3))
    counter = np.abs(np.array([0.07, 0.99, 0.11]) + rng.normal(0, 0.15, 3))
    background = np.clip(0.4 + 0.3 * smooth_noise(rng, size, rng.uniform(6, 40)), 0, 2)
    soft = ndimage.gaussian_filter((labels > 0).astype(np.float32), 1)
    amount = np.clip(picture, 0, 1.5) * soft * rng.uniform(0.6, 1.8)
    density = amount[..., None] * nuclear
    density = density + (background * (1 - 0.7 * soft) * rng.uniform(0.1, 0.7))[..., None] * counter
    return np.asarray(np.exp(-density), np.float32)
