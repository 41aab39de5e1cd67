"""At which scale a network sees an image, and what size its embedding has: from shapes alone."""

from __future__ import annotations

import math

from napari_sam.model.configs import SamConfig, ViTConfig
from napari_sam.segmentation.images import Geometry, free_geometry, square_geometry

_DEFAULT_DIAMETER = 36.0
_LARGEST_SCALE = 4.0
_COMFORTABLE_INPUT = 1024
_SMALLEST_INPUT = 256
"""No image is shrunk below this longest side, pixels."""


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
    known = known_diameter(config)
    scale = min(known / (object_diameter or known), _LARGEST_SCALE)
    scale = max(scale, min(1.0, _SMALLEST_INPUT / max(shape)))
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
    known = known_diameter(config)
    scale = min(known / (object_diameter or known), _LARGEST_SCALE)
    return max(_SMALLEST_INPUT, round(_COMFORTABLE_INPUT / scale))


def encoded_shapes(config: SamConfig, geometry: Geometry) -> tuple[tuple[int, int, int], ...]:
    """Return the shapes (C, h, w) of an embedding's features and, if any, of its two skips."""
    encoder = config.encoder
    dim = encoder.out_channels
    height, width = (length // encoder.stride for length in geometry.padded_shape)
    features = (dim, height, width)
    if isinstance(encoder, ViTConfig):
        return (features,)
    return features, (dim // 4, 2 * height, 2 * width), (dim // 8, 4 * height, 4 * width)
