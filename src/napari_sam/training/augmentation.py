"""How a view may look: colour, stain, light, sharpness, noise and compression, varied by chance.

All views of a batch are changed together, on the device that the network is trained on.
"""

from __future__ import annotations

import math
from collections.abc import Sequence

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor
from torch.nn import functional

_BLOCK = 8
_LUMINANCE_SLOPE = 1.6
"""How much faster high frequencies are rounded than low ones, as JPEG's tables do."""
_REACH = 7
"""Pixels that a blur looks away, four deviations of the widest."""


def augment(images: Tensor, grays: Sequence[bool], seed: int) -> Tensor:
    """Vary the look of images.

    Parameters
    ----------
    images : Tensor
        (B, 3, S, S) float32 in 0 ... 1, S a multiple of 8.
    grays : sequence of bool
        Which of them are gray pictures.
    seed : int
        Decides everything.

    Returns
    -------
    Tensor
        (B, 3, S, S) float32 in 0 ... 1.
    """
    rng = np.random.default_rng(seed)
    count, gray = len(images), np.asarray(grays, bool)
    images = _recoloured(images, gray, rng)
    inverted = _each(rng.random(count) < 0.25, images)
    images = torch.where(inverted, 1 - images, images).clamp(0, 1)
    images = images ** _each(np.exp(rng.normal(0, 0.35, count)), images)
    images = images * _gradients(images, rng)
    blurred = np.flatnonzero(rng.random(count) < 0.3)
    images[blurred] = _blurred(images[blurred], rng.uniform(0.3, 1.8, len(blurred)))
    images = _noisy(images.clamp(0, 1), gray, rng)
    contrast, brightness = rng.uniform(0.6, 1.15, count), rng.uniform(-0.12, 0.12, count)
    images = (images - 0.5) * _each(contrast, images) + _each(0.5 + brightness, images)
    packed = np.flatnonzero(rng.random(count) < 0.15)
    steps = np.exp(rng.uniform(-4.5, -2.2, len(packed)))
    images[packed] = _compressed(images[packed].clamp(0, 1), steps)
    return images.clamp(0, 1)


def _each(values: NDArray[np.generic], images: Tensor) -> Tensor:
    """Return one value for each image, (B, 1, 1, 1), or (B, C, 1, 1) for its channels."""
    given = torch.from_numpy(values)
    given = given.float() if given.is_floating_point() else given
    return given.to(images.device).reshape(*values.shape, *(1,) * (4 - values.ndim))


def _mixed(images: Tensor, mix: NDArray[np.floating]) -> Tensor:
    """Mix the channels by matrices (B, 3, 3)."""
    weights = torch.from_numpy(mix).float().to(images.device)
    return torch.einsum("bij,bjhw->bihw", weights, images)


def _recoloured(images: Tensor, gray: NDArray[np.bool_], rng: np.random.Generator) -> Tensor:
    """Leave gray images or tint them; leave colour, stain it anew, mix it, or make it gray."""
    count = len(images)
    background, foreground = rng.uniform(0, 1, (2, count, 3))
    weights = rng.dirichlet([2, 2, 2], count)
    mix = np.eye(3) + rng.normal(0, 0.12, (count, 3, 3))
    chance = rng.random(count)
    images = images.clone()
    tinted = np.flatnonzero(gray & (chance < 0.15))
    span = _each((foreground - background)[tinted], images)
    images[tinted] = _each(background[tinted], images) + span * images[tinted]
    grayed, stained, mixed = (
        np.flatnonzero(~gray & (chance >= low) & (chance < high))
        for low, high in ((0, 0.3), (0.3, 0.55), (0.55, 0.8))
    )
    images[grayed] = _mixed(images[grayed], np.repeat(weights[grayed, None], 3, 1))
    images[stained] = _stained(images[stained], rng)
    images[mixed] = _mixed(images[mixed], mix[mixed])
    return images


def _stained(images: Tensor, rng: np.random.Generator) -> Tensor:
    """Dye transmitted-light images anew: mix and scale optical densities (Beer and Lambert)."""
    count = len(images)
    mix = np.eye(3) + rng.normal(0, 0.15, (count, 3, 3))
    strength = np.exp(rng.normal(0, 0.25, (count, 1, 1)))
    density = _mixed(-images.clamp(1 / 256, 1).log(), mix * strength)
    return density.clamp(0, 8).neg().exp()


def _gradients(images: Tensor, rng: np.random.Generator) -> Tensor:
    """Return light (B, 1, S, S), in some images one that changes linearly by up to half."""
    count, size = len(images), images.shape[-1]
    slopes = rng.uniform(-0.5, 0.5, (count, 2)) * (rng.random((count, 1)) < 0.3)
    ramp = torch.linspace(-0.5, 0.5, size, device=images.device)
    down, right = _each(slopes[:, 0], images), _each(slopes[:, 1], images)
    return 1 + down * ramp[:, None] + right * ramp


def _blurred(images: Tensor, sigmas: NDArray[np.floating]) -> Tensor:
    """Blur each image by a Gaussian of its own deviation, pixels."""
    if not len(images):
        return images
    away = np.arange(-_REACH, _REACH + 1)
    bells = np.exp(-((away / sigmas[:, None]) ** 2) / 2)
    bells = np.repeat(bells / bells.sum(1, keepdims=True), images.shape[1], 0)
    kernels = torch.from_numpy(bells).float().to(images.device)[:, None]
    planes = images.flatten(0, 1)[None]
    padded = functional.pad(planes, (_REACH,) * 4, mode="reflect")
    groups = len(kernels)
    down = functional.conv2d(padded, kernels[..., None], groups=groups)
    across = functional.conv2d(down, kernels[:, :, None], groups=groups)
    return across.view(images.shape)


def _noisy(images: Tensor, gray: NDArray[np.bool_], rng: np.random.Generator) -> Tensor:
    """Add read noise, shot noise (alike in all channels of gray pictures), or none."""
    count = len(images)
    chance = rng.random(count)
    read = rng.uniform(0.005, 0.08, count) * (chance < 0.35)
    photons = np.exp(rng.uniform(math.log(12), math.log(300), count))
    shot = photons**-0.5 * ((chance >= 0.35) & (chance < 0.6))
    generator = torch.Generator(images.device).manual_seed(int(rng.integers(2**31)))
    noise = torch.randn(images.shape, generator=generator, device=images.device)
    alike = _each(gray & (shot > 0), images)
    noise = torch.where(alike, noise[:, :1], noise)
    return images + noise * (_each(read, images) + _each(shot, images) * images.sqrt())


def _compressed(images: Tensor, steps: NDArray[np.floating]) -> Tensor:
    """Round the cosine coefficients of 8 x 8 blocks, the lowest to the step, as JPEG does."""
    height, width = images.shape[-2:]
    blocks = images.unflatten(3, (width // _BLOCK, _BLOCK)).unflatten(2, (height // _BLOCK, _BLOCK))
    waves = torch.from_numpy(_cosines()).float().to(images.device)
    frequency = torch.arange(_BLOCK, device=images.device)
    slope = 1 + _LUMINANCE_SLOPE * (frequency[:, None] + frequency)
    rounding = _each(steps, images)[..., None, None] * slope[:, None]
    coefficients = torch.einsum("ui,vj,bcyixj->bcyuxv", waves, waves, blocks)
    rounded = (coefficients / rounding).round() * rounding
    return torch.einsum("ui,vj,bcyuxv->bcyixj", waves, waves, rounded).reshape(images.shape)


def _cosines() -> NDArray[np.float64]:
    """Return the orthonormal discrete cosine transform of a block's side (frequency, pixel)."""
    at = np.arange(_BLOCK)
    waves = np.cos(np.pi * (at + 0.5) * at[:, None] / _BLOCK) * math.sqrt(2 / _BLOCK)
    waves[0] *= math.sqrt(0.5)
    return waves
