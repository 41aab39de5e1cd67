"""An image as a network sees it."""

from __future__ import annotations

from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray
from torch import Tensor

from napari_sam.model.image_tokens import ImageTokens
from napari_sam.model.sam import EncodedImage
from napari_sam.segmentation.geometry import Geometry


@dataclass(frozen=True, kw_only=True, eq=False)
class Picture:
    """What was embedded.

    Attributes
    ----------
    image : ndarray
        (H, W) or (H, W, 3 or 4), any real dtype.
    contrast_limits : (float, float) or None
        Values that became black and white; None for uint8 colour, which is seen as it is.
    """

    image: NDArray[np.generic]
    contrast_limits: tuple[float, float] | None

    @classmethod
    def of(cls, image: NDArray[np.generic], contrast_limits: tuple[float, float] | None) -> Picture:
        """Keep a copy of an image, which stays as it is whatever becomes of the image."""
        own = np.array(image)
        own.flags.writeable = False
        return cls(image=own, contrast_limits=contrast_limits)


@dataclass(frozen=True, kw_only=True, eq=False)
class ImageEmbedding:
    """An image as a network sees it; prompts are answered from it.

    Attributes
    ----------
    image : EncodedImage
        Features and skip features, on the predictor's device, float32.
    tokens : ImageTokens
        The same as the mask decoder reads it.
    geometry : Geometry
        How the image lies in the network's input.
    object_diameter : float or None
        Diameter of objects that the image was scaled by, image pixels; None where the network's
        input has a fixed size.
    model_name : str
        The model that made it.
    picture : Picture or None
        The image itself, for a closer look at some of its objects; None where it is not known, or
        the network sees images at one scale only.
    """

    image: EncodedImage
    tokens: ImageTokens
    geometry: Geometry
    object_diameter: float | None
    model_name: str
    picture: Picture | None = field(default=None, repr=False)

    def __repr__(self) -> str:
        """Tell of what and by what it is, not its features."""
        seen = "" if self.object_diameter is None else f", objects of {self.object_diameter:.3g} px"
        return f"<ImageEmbedding of an image of shape {self.image_shape}, {self.model_name}{seen}>"

    @property
    def image_shape(self) -> tuple[int, int]:
        """Height and width of the image, pixels."""
        return self.geometry.image_shape

    @property
    def features(self) -> Tensor:
        """(1, C, h, w)."""
        return self.image.features

    @property
    def low_res_shape(self) -> tuple[int, int]:
        """Height and width of low-resolution logits, (4 h, 4 w)."""
        height, width = self.features.shape[-2:]
        return 4 * height, 4 * width
