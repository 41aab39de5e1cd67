"""How a view may look: colour, stain, light, sharpness, noise and compression, varied by chance."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray
from scipy import fft, ndimage

Image = NDArray[np.float32]

_BLOCK = 8
_LUMINANCE_SLOPE = 1.6
"""How much faster high frequencies are rounded than low ones, as JPEG's tables do."""


def wear(image: Image, rng: np.random.Generator) -> Image:
    """Vary the look of an image.

    Parameters
    ----------
    image : ndarray
        (1 or 3, S, S) float32 in 0 ... 1, S a multiple of 8.
    rng : Generator
        Decides everything.

    Returns
    -------
    ndarray
        (3, S, S) float32 in 0 ... 255.
    """
    image = _recolour(image, rng)
    if rng.random() < 0.25:
        image = 1 - image
    image = np.clip(image, 0, 1) ** np.float32(np.exp(rng.normal(0, 0.35)))
    if rng.random() < 0.3:
        image = image * _gradient(image.shape[-1], rng)
    if rng.random() < 0.3:
        image = ndimage.gaussian_filter(image, (0, *[rng.uniform(0.3, 1.8)] * 2))
    image = _noise(np.clip(image, 0, 1), rng)
    image = (image - 0.5) * rng.uniform(0.6, 1.15) + 0.5 + rng.uniform(-0.12, 0.12)
    if rng.random() < 0.15:
        image = _compress(np.clip(image, 0, 1), float(np.exp(rng.uniform(-4.5, -2.2))))
    return np.asarray(np.clip(image, 0, 1) * 255, np.float32)


def _recolour(image: Image, rng: np.random.Generator) -> Image:
    """Return (3, S, S): gray as it is or tinted; colour as it is, stained anew, mixed, or gray."""
    if image.shape[0] == 1:
        gray = np.repeat(image, 3, axis=0)
        if rng.random() < 0.85:
            return gray
        background, foreground = rng.uniform(0, 1, (2, 3, 1, 1))
        return np.asarray(background + (foreground - background) * gray, np.float32)
    chance = rng.random()
    if chance < 0.3:
        weights = rng.dirichlet([2, 2, 2])
        mixed = np.tensordot(weights, image, 1)[None]
        return np.repeat(mixed, 3, axis=0).astype(np.float32)
    if chance < 0.55:
        return _stain(image, rng)
    if chance < 0.8:
        mix = np.eye(3) + rng.normal(0, 0.12, (3, 3))
        return np.tensordot(mix, image, 1).astype(np.float32)
    return image


def _stain(image: Image, rng: np.random.Generator) -> Image:
    """Dye a transmitted-light image anew: mix and scale optical densities (Beer and Lambert)."""
    density = -np.log(np.clip(image, 1 / 256, 1))
    mix = np.eye(3) + rng.normal(0, 0.15, (3, 3))
    dyed = np.tensordot(mix, density, 1) * np.exp(rng.normal(0, 0.25))
    return np.asarray(np.exp(-np.clip(dyed, 0, 8)), np.float32)


def _noise(image: Image, rng: np.random.Generator) -> Image:
    """Add read noise, shot noise, or none; alike in all channels of gray pictures."""
    chance = rng.random()
    if chance < 0.35:
        noise = rng.normal(0, rng.uniform(0.005, 0.08), image.shape)
        return image + noise.astype(np.float32)
    if chance < 0.6:
        photons = np.exp(rng.uniform(np.log(12), np.log(300)))
        gray = image[:1] if np.array_equal(image[0], image[1]) else image
        return np.asarray(np.broadcast_to(rng.poisson(gray * photons) / photons, image.shape))
    return image


def _gradient(size: int, rng: np.random.Generator) -> Image:
    """Return light (size, size) that changes linearly by up to half."""
    slope = rng.uniform(-0.5, 0.5, 2)
    ramp = np.linspace(-0.5, 0.5, size)
    return np.asarray(1 + slope[0] * ramp[:, None] + slope[1] * ramp[None], np.float32)


def _compress(image: Image, step: float) -> Image:
    """Round the cosine coefficients of 8 x 8 blocks, the lowest to `step`, as JPEG does."""
    channels, height, width = image.shape
    blocks = image.reshape(channels, height // _BLOCK, _BLOCK, width // _BLOCK, _BLOCK)
    frequency = np.add.outer(np.arange(_BLOCK), np.arange(_BLOCK))[:, None, :]
    rounding = step * (1 + _LUMINANCE_SLOPE * frequency)
    coefficients = fft.dctn(blocks, axes=(2, 4), norm="ortho")
    rounded = np.round(coefficients / rounding) * rounding
    return np.asarray(fft.idctn(rounded, axes=(2, 4), norm="ortho").reshape(image.shape))
