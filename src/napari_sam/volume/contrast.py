"""What one value holds for a whole volume: contrast, object size, and a digest that knows it."""

from __future__ import annotations

import hashlib
import math
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from napari_sam.segmentation.everything_config import within_range
from napari_sam.segmentation.images import finite_range
from napari_sam.volume.source import VolumeSource

SAMPLED_SLICES = 8
SAMPLED_PIXELS = 2**16
_PIXELS_AT_ONCE = 2**22
_SQUARE = 8


@dataclass(frozen=True, kw_only=True)
class VolumeSample:
    """What a few slices tell about a volume.

    Attributes
    ----------
    contrast_limits : tuple of float, optional
        The intensities to be taken as black and white; None where pixels go in as they are
        (8-bit RGB).
    digest : str
        The first 16 digits of the SHA-256 of the sampled slices.
    """

    contrast_limits: tuple[float, float] | None
    digest: str


def sample_volume(source: VolumeSource) -> VolumeSample:
    """Sample up to 8 evenly spaced slices of a volume; always the same ones.

    Parameters
    ----------
    source : VolumeSource
        The volume.

    Returns
    -------
    VolumeSample
        Contrast limits at the percentiles 0.1 and 99.9 of up to 65,536 finite pixels per sampled
        slice, and the digest of the whole sampled slices.
    """
    digest = hashlib.sha256()
    pixels = []
    height, width = source.shape[1:]
    step = math.ceil(math.sqrt(height * width / SAMPLED_PIXELS))
    for z in sampled_slices(source.shape[0]):
        for first, band in _bands(source, z):
            digest.update(band.data)
            pixels.append(_thinned(band, -first % step, step))
    as_it_is = source.is_rgb and source.dtype == np.uint8
    limits = None if as_it_is else finite_range(np.concatenate(pixels))
    return VolumeSample(contrast_limits=limits, digest=digest.hexdigest()[:16])


def _bands(source: VolumeSource, z: int) -> Iterator[tuple[int, NDArray[Any]]]:
    """Read a slice in bands of rows, as many as memory may hold; yields each with its first row."""
    height, width = source.shape[1:]
    stored = min(source.chunks[1], height) if source.chunks else 1
    rows = stored * max(1, _PIXELS_AT_ONCE // (width * stored))
    for first in range(0, height, rows):
        yield first, source.read(z, (slice(first, first + rows), slice(None)))


def sampled_slices(depth: int) -> list[int]:
    """Return the indices of the slices that :func:`sample_volume` reads."""
    evenly = np.linspace(0, depth - 1, min(depth, SAMPLED_SLICES)).round()
    return [int(z) for z in np.unique(evenly)]


def volume_diameter(
    estimate: Callable[..., float | None],
    source: VolumeSource,
    contrast_limits: tuple[float, float] | None,
    *,
    most: int,
) -> float | None:
    """Estimate one object diameter for a whole volume: the median of parts of three slices.

    Parameters
    ----------
    estimate : callable
        Estimates the diameter in a slice, given `contrast_limits`; see `Predictor`.
    source : VolumeSource
        The volume.
    contrast_limits : tuple of float, optional
        Those of the volume.
    most : int
        Side of the parts, pixels; slices that are no larger are looked at whole.

    Returns
    -------
    float or None
        Pixels; None where the model sees every slice at one size.
    """
    parts = {
        (quarter * source.shape[0] // 4, *_around(quarter, source.shape[1:], most))
        for quarter in (1, 2, 3)
    }
    found = [
        estimate(
            source.read(z, (slice(top, top + most), slice(left, left + most))),
            contrast_limits=contrast_limits,
        )
        for z, top, left in sorted(parts)
    ]
    known = [diameter for diameter in found if diameter is not None]
    return within_range(float(np.median(known))) if known else None


def _around(quarter: int, shape: tuple[int, int], most: int) -> list[int]:
    """Return where a part of this side begins that lies around some quarters of an image."""
    return [max(0, min(quarter * n // 4 - most // 2, n - most)) for n in shape]


def is_empty(
    pixels: NDArray[Any], contrast_limits: tuple[float, float] | None, least: float
) -> bool:
    """Tell cheaply whether pixels can hold no object: nowhere are they brighter than elsewhere.

    Parameters
    ----------
    pixels : ndarray
        (Y, X) or (Y, X, 3 or 4).
    contrast_limits : tuple of float, optional
        The volume's black and white; 0 and 255 if left out.
    least : float
        Contrast, over that of the volume, between the brightest and the darkest square of 8 x 8
        pixels (their means, so that noise alone is little; smaller in images under 64 pixels); 0
        takes everything.
    """
    means = _means(pixels)
    if means.size == 0:
        return True
    low, high = contrast_limits or (0.0, 255.0)
    return bool(means.max() - means.min() < least * (high - low))


def _means(pixels: NDArray[Any]) -> NDArray[np.float64]:
    """Return the finite means of squares, and of what remains of them at the edges; of colors."""
    if pixels.ndim == 3:
        pixels = pixels[..., :3].mean(-1)
    side = min(_SQUARE, max(1, min(pixels.shape) // _SQUARE))
    rows, cols = (np.arange(0, length, side) for length in pixels.shape)
    sums = np.add.reduceat(np.add.reduceat(pixels, rows, 0, np.float64), cols, 1)
    heights, widths = (
        np.diff(np.append(starts, length))
        for starts, length in zip((rows, cols), pixels.shape, strict=True)
    )
    means = sums / np.multiply.outer(heights, widths)
    return np.asarray(means[np.isfinite(means)])


def _thinned(band: NDArray[Any], first: int, step: int) -> NDArray[np.float64]:
    """Return finite intensities of every so many rows and columns, without an alpha channel."""
    values = band[first::step, ::step]
    values = values[..., :3] if band.ndim == 3 else values
    values = values.astype(np.float64).ravel()
    return values[np.isfinite(values)]
