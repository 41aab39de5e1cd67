"""From any image array to a network's input: three channels of 0 ... 255, resized and padded."""

from __future__ import annotations

import math
import warnings

import numpy as np
import torch
from numpy.typing import ArrayLike, NDArray
from torch import Tensor
from torch.nn import functional

from napari_sam.segmentation.geometry import Geometry

_PERCENTILES = (0.1, 99.9)
_SAMPLED_PIXELS = 1_000_000


def as_image(image: ArrayLike) -> NDArray[np.generic]:
    """Return an image as an array in memory.

    Raises
    ------
    TypeError, ValueError
        As `check_image`; and if pixels are masked, which nothing here heeds.
    """
    if np.ma.is_masked(image):
        raise ValueError(
            "The image has masked pixels, which would count like all others; fill them first, as "
            "image.filled(value) does"
        )
    array = np.asarray(image)
    check_image(array)
    return array


def check_limits(contrast_limits: object) -> tuple[float, float]:
    """Check the values that become black and white; returns them as numbers.

    Raises
    ------
    TypeError, ValueError
        If they are no two finite numbers, the first at most the second.
    """
    try:
        low, high = (float(limit) for limit in contrast_limits)  # type: ignore[attr-defined]
    except (TypeError, ValueError) as error:
        raise type(error)(
            f"contrast_limits must be two numbers, (black, white), got {contrast_limits!r}"
        ) from error
    if not (math.isfinite(low) and math.isfinite(high) and low <= high):
        raise ValueError(f"contrast_limits must be finite and rising, got ({low:g}, {high:g})")
    return low, high


def check_image(image: NDArray[np.generic]) -> tuple[int, int]:
    """Check that an array is an image; returns its height and width.

    Raises
    ------
    TypeError
        If its values are no real numbers.
    ValueError
        If it is empty or has another shape than (H, W) or (H, W, 3 or 4).
    """
    if image.dtype.kind not in "buif":
        raise TypeError(f"An image must hold real numbers, got dtype {image.dtype}")
    gray = image.ndim == 2
    colour = image.ndim == 3 and image.shape[2] in (3, 4)
    if not (gray or colour):
        raise ValueError(
            f"An image must have shape (H, W) or (H, W, 3 or 4), got {image.shape}; pass one slice "
            "or channel at a time"
        )
    if 0 in image.shape:
        raise ValueError(f"The image is empty: its shape is {image.shape}")
    return image.shape[0], image.shape[1]


def contrast_range(image: NDArray[np.generic]) -> tuple[float, float]:
    """Return the values that become black and white: percentiles 0.1 and 99.9 of the finite pixels.

    Parameters
    ----------
    image : ndarray
        Any shape; about a million evenly spaced values are looked at, of all channels and columns.
    """
    values = np.asarray(image).reshape(-1)
    step = max(1, values.size // _SAMPLED_PIXELS)
    while step > 1 and math.gcd(step, np.shape(image)[-1]) > 1:
        step += 1
    sampled = values[::step].astype(np.float64)
    return finite_range(sampled[np.isfinite(sampled)])


def finite_range(values: NDArray[np.float64]) -> tuple[float, float]:
    """Return the percentiles 0.1 and 99.9 of finite values; where these are equal, the extremes.

    0 and 1 without values.
    """
    if not values.size:
        return 0.0, 1.0
    low, high = np.percentile(values, _PERCENTILES)
    if low == high:
        low, high = values.min(), values.max()
    return float(low), float(high)


def whole_range(image: NDArray[np.generic]) -> tuple[float, float] | None:
    """Return what is black and white in an image (H, W) or (H, W, 3 or 4), alpha left aside.

    None for uint8 colour, which is shown as it is.
    """
    if image.ndim == 3 and image.dtype == np.uint8:
        return None
    return contrast_range(image[..., :3] if image.ndim == 3 else image)


def to_display_range(
    image: NDArray[np.generic], contrast_limits: tuple[float, float] | None = None
) -> NDArray[np.float32]:
    """Map an image to 0 ... 255.

    Parameters
    ----------
    image : ndarray
        (H, W) or (H, W, 3 or 4); alpha is dropped. uint8 colour stays as it is unless
        `contrast_limits` are given. NaN and infinite pixels become the nearest limit, with a
        warning.
    contrast_limits : (float, float), optional
        Values that become black and white; see `contrast_range` for the default.

    Returns
    -------
    ndarray
        (H, W, 1) or (H, W, 3) float32. A constant image becomes middle gray.
    """
    check_image(image)
    channels = image[..., :3] if image.ndim == 3 else image[..., None]
    limits = whole_range(image) if contrast_limits is None else contrast_limits
    if limits is None:
        return np.ascontiguousarray(channels, dtype=np.float32)
    low, high = check_limits(limits)
    factor = 255 / (high - low) if low < high else 0.0
    values = _real_copy(channels, factor)
    if image.dtype.kind == "f":
        _replace_not_finite(values, low, high)
    if low == high:
        return np.full(values.shape, 127.5, np.float32)
    values -= low
    values *= factor
    return np.clip(values, 0, 255, out=values).astype(np.float32, copy=False)


def _real_copy(image: NDArray[np.generic], factor: float = 1.0) -> NDArray[np.floating]:
    """Copy an image into the smallest type in which its values, and a factor, are exact."""
    short = image.dtype.itemsize <= 2 or image.dtype == np.float32
    exact = np.float32 if short and factor < float(np.finfo(np.float32).max) else np.float64
    return np.array(image, dtype=exact)


def finite_image(
    image: NDArray[np.generic], contrast_limits: tuple[float, float]
) -> NDArray[np.generic]:
    """Replace NaN and infinite pixels as `to_display_range` does, with a warning.

    Parameters
    ----------
    image : ndarray
        Any shape and real dtype; one that is finite is returned as it is.
    contrast_limits : (float, float)
        The values that become black and white.
    """
    if image.dtype.kind != "f" or np.isfinite(image).all():
        return image
    values = _real_copy(image)
    _replace_not_finite(values, *contrast_limits)
    return values


def _replace_not_finite(values: NDArray[np.floating], low: float, high: float) -> None:
    finite = np.isfinite(values)
    if finite.all():
        return
    count = int((~finite).sum())
    warnings.warn(
        f"The image has {count} pixels that are NaN or infinite; they count as its lowest value "
        "(positive infinity as its highest)",
        stacklevel=4,
    )
    np.nan_to_num(values, copy=False, nan=low, posinf=high, neginf=low)


def to_pixels(displayed: NDArray[np.float32], geometry: Geometry, device: torch.device) -> Tensor:
    """Resize an image of `to_display_range` to a network's input.

    Parameters
    ----------
    displayed : ndarray
        (H, W, 1 or 3) float32, 0 ... 255.
    geometry : Geometry
        Size before padding.
    device : torch.device
        Where the pixels go.

    Returns
    -------
    Tensor
        (1, 3, h, w) float32, whole numbers of 0 ... 255, not padded.
    """
    pixels = torch.from_numpy(np.ascontiguousarray(displayed)).permute(2, 0, 1)[None].to(device)
    if geometry.input_shape != geometry.image_shape:
        pixels = functional.interpolate(
            pixels, geometry.input_shape, mode="bilinear", align_corners=False, antialias=True
        )
    return pixels.round().clamp(0, 255).expand(1, 3, -1, -1)


def pad(pixels: Tensor, geometry: Geometry) -> Tensor:
    """Pad normalised pixels (1, 3, h, w) with zeros to the padded shape."""
    bottom = geometry.padded_shape[0] - pixels.shape[-2]
    right = geometry.padded_shape[1] - pixels.shape[-1]
    return functional.pad(pixels, (0, right, 0, bottom))
