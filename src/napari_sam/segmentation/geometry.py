"""How an image lies in a network's input, at which scale, and how large its embedding is."""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike, NDArray

from napari_sam.model.configs import SamConfig, ViTConfig

_DEEPEST_STRIDE = 32
_DEFAULT_DIAMETER = 36.0
_LARGEST_SCALE = 4.0
_COMFORTABLE_INPUT = 1024
_SMALLEST_INPUT = 256
"""No image is shrunk below this longest side, pixels."""


@dataclass(frozen=True, kw_only=True)
class Geometry:
    """How an image lies in a network's input.

    Attributes
    ----------
    image_shape : (int, int)
        Height and width of the image, pixels.
    input_shape : (int, int)
        Height and width after resizing.
    padded_shape : (int, int)
        Height and width after padding at the bottom and on the right.
    """

    image_shape: tuple[int, int]
    input_shape: tuple[int, int]
    padded_shape: tuple[int, int]

    @property
    def scale(self) -> tuple[float, float]:
        """Input pixels for one image pixel, along rows and columns."""
        return (
            self.input_shape[0] / self.image_shape[0],
            self.input_shape[1] / self.image_shape[1],
        )

    def input_points(self, points: ArrayLike, *, centred: bool) -> NDArray[np.float64]:
        """Map points (..., 2), (row, col), to input pixels.

        See `napari_sam.model.configs.SamConfig.centred_prompts`.
        """
        half = 0.5 * centred
        return (np.asarray(points, np.float64) + half) * self.scale - half

    def input_boxes(self, boxes: ArrayLike, *, centred: bool) -> NDArray[np.float64]:
        """Map boxes (..., 4), first and last row and col, to those of input pixels."""
        first, last = np.split(np.asarray(boxes, np.float64), 2, axis=-1)
        one = float(centred)
        return np.concatenate([first * self.scale, (last + one) * self.scale - one], -1)

    def pixels_per_logit(self, low_res_shape: tuple[int, int]) -> tuple[float, float]:
        """Return how many image pixels one of (h, w) logits spans, along rows and columns."""
        rows, cols = (
            padded / low / scale
            for padded, low, scale in zip(self.padded_shape, low_res_shape, self.scale, strict=True)
        )
        return rows, cols


def square_geometry(image_shape: tuple[int, int], size: int) -> Geometry:
    """Fit an image into a square: the longer side becomes `size`, as for the official networks."""
    scale = size / max(image_shape)
    return Geometry(
        image_shape=image_shape, input_shape=_scaled(image_shape, scale), padded_shape=(size, size)
    )


def free_geometry(image_shape: tuple[int, int], scale: float, max_size: int) -> Geometry:
    """Scale an image, keep its longer side within `max_size`, and pad it to the deepest stride."""
    scale = min(scale, max_size / max(image_shape))
    height, width = _scaled(image_shape, scale)
    return Geometry(
        image_shape=image_shape,
        input_shape=(height, width),
        padded_shape=(_round_up(height), _round_up(width)),
    )


def _scaled(shape: tuple[int, int], scale: float) -> tuple[int, int]:
    return max(1, int(shape[0] * scale + 0.5)), max(1, int(shape[1] * scale + 0.5))


def _round_up(length: int) -> int:
    return math.ceil(length / _DEEPEST_STRIDE) * _DEEPEST_STRIDE


def known_diameter(config: SamConfig) -> float:
    """Return the diameter of an object at which a network sees best, input pixels."""
    return config.object_diameter or _DEFAULT_DIAMETER


def fitted_geometry(
    config: SamConfig, shape: tuple[int, int], object_diameter: float | None = None
) -> Geometry:
    """Return how an image lies in a network's input.

    Parameters
    ----------
    config : SamConfig
        The network.
    shape : (int, int)
        Height and width of the image, pixels.
    object_diameter : float, optional
        Typical diameter of an object in image pixels; by default what the network sees best. It
        does not matter to networks whose input has a fixed size.
    """
    encoder = config.encoder
    if isinstance(encoder, ViTConfig):
        return square_geometry(shape, encoder.image_size)
    scale = max(_suiting_scale(config, object_diameter), min(1.0, _SMALLEST_INPUT / max(shape)))
    return free_geometry(shape, scale, encoder.max_size)


def check_diameter(object_diameter: float | None) -> None:
    """Check a typical diameter, where one is given.

    Raises
    ------
    TypeError, ValueError
        If it is no number, or not positive and finite.
    """
    try:
        fits = object_diameter is None or 0 < object_diameter < math.inf
    except TypeError as error:
        raise TypeError(
            f"object_diameter must be a number of pixels, got {object_diameter!r}"
        ) from error
    if not fits:
        raise ValueError(f"object_diameter must be positive, got {object_diameter}")


def field_of_view(config: SamConfig, object_diameter: float | None = None) -> int:
    """Return the side of what one embedding shows well, image pixels; see `Predictor`."""
    check_diameter(object_diameter)
    encoder = config.encoder
    if isinstance(encoder, ViTConfig):
        return encoder.image_size
    return max(_SMALLEST_INPUT, round(_COMFORTABLE_INPUT / _suiting_scale(config, object_diameter)))


def _suiting_scale(config: SamConfig, object_diameter: float | None) -> float:
    """Return the scale at which objects have the size that a network sees best, or the largest."""
    known = known_diameter(config)
    return min(known / (object_diameter or known), _LARGEST_SCALE)


def encoded_shapes(config: SamConfig, geometry: Geometry) -> tuple[tuple[int, int, int], ...]:
    """Return the shapes (C, h, w) of an embedding's features and, if any, of its two skips."""
    encoder = config.encoder
    dim = encoder.out_channels
    height, width = (length // encoder.stride for length in geometry.padded_shape)
    features = (dim, height, width)
    if isinstance(encoder, ViTConfig):
        return (features,)
    return features, (dim // 4, 2 * height, 2 * width), (dim // 8, 4 * height, 4 * width)
