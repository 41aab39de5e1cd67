"""How a network sees images: at which contrast and scale, and what it makes of them."""

from __future__ import annotations

import numpy as np
import torch
from numpy.typing import ArrayLike, NDArray

from napari_sam.model.devices import compute_alone_in_forks, resolve_encoder_dtype
from napari_sam.model.sam import EncodedImage, Sam
from napari_sam.segmentation.embedding import ImageEmbedding, Picture
from napari_sam.segmentation.geometry import (
    Geometry,
    check_diameter,
    field_of_view,
    fitted_geometry,
    free_geometry,
    known_diameter,
)
from napari_sam.segmentation.images import (
    as_image,
    check_limits,
    finite_image,
    pad,
    to_display_range,
    to_pixels,
    whole_range,
)
from napari_sam.segmentation.object_size import object_size


class Embedder:
    """Embeds images with one network.

    Parameters
    ----------
    model : Sam
        The network.
    model_name : str
        What its embeddings are said to be made by.
    precision : str
        Of the image encoder; see `Predictor`.
    """

    def __init__(self, model: Sam, model_name: str, precision: str = "auto") -> None:
        self.model_name = model_name
        self._model = model.eval()
        self._dtype = resolve_encoder_dtype(model.device, precision)
        compute_alone_in_forks()

    @property
    def model(self) -> Sam:
        """The network."""
        return self._model

    @property
    def device(self) -> str:
        """Where the network runs."""
        return str(self._model.device)

    def embed(
        self,
        image: ArrayLike,
        *,
        contrast_limits: tuple[float, float] | None = None,
        object_diameter: float | None = None,
    ) -> ImageEmbedding:
        """Embed an image.

        Parameters
        ----------
        image : array_like
            (H, W) or (H, W, 3 or 4), any real dtype; dask and zarr arrays are read as a whole. NaN
            and infinite pixels count as the nearest limit, with a warning.
        contrast_limits : (float, float), optional
            Values that become black and white; by default percentiles 0.1 and 99.9, and uint8
            colour as it is.
        object_diameter : float, optional
            Typical diameter of an object in image pixels. Networks whose input may have any size
            see the image at the scale that suits it; by default a quick first pass estimates it.

        Returns
        -------
        ImageEmbedding

        Raises
        ------
        TypeError, ValueError
            If the array is no image or has masked pixels, the limits are no two rising numbers, or
            the diameter is not positive.
        """
        pixels = as_image(image)
        check_diameter(object_diameter)
        limits = whole_range(pixels) if contrast_limits is None else check_limits(contrast_limits)
        if limits is not None:
            pixels = finite_image(pixels, limits)
        displayed = to_display_range(pixels, limits)
        picture = None
        if self._model.config.has_fixed_input:
            object_diameter = None
        else:
            object_diameter = object_diameter or self._estimated_diameter(displayed)
            picture = Picture.of(pixels, limits)
        shape = pixels.shape[0], pixels.shape[1]
        geometry = fitted_geometry(self._model.config, shape, object_diameter)
        return self._embed(displayed, geometry, object_diameter, picture)

    @torch.inference_mode()
    def rebuild(
        self,
        image: EncodedImage,
        geometry: Geometry,
        object_diameter: float | None,
        picture: Picture | None = None,
    ) -> ImageEmbedding:
        """Make an embedding of what the image encoder found, now or earlier.

        Parameters
        ----------
        image : EncodedImage
            Features and skip features of one image, float32, on the predictor's device.
        geometry, object_diameter, picture
            Of the embedding; see `ImageEmbedding`.
        """
        return ImageEmbedding(
            image=image,
            tokens=self._model.lay_out(image),
            geometry=geometry,
            object_diameter=object_diameter,
            model_name=self.model_name,
            picture=picture,
        )

    def field_of_view(self, object_diameter: float | None = None) -> int:
        """Return the side of what one embedding shows well, image pixels.

        Parameters
        ----------
        object_diameter : float, optional
            Typical diameter of an object in image pixels.

        Returns
        -------
        int
            The official networks' input size; for networks whose input may have any size, what a
            moderate embedding covers at the scale that suits the objects.
        """
        return field_of_view(self._model.config, object_diameter)

    def estimate_diameter(
        self,
        image: ArrayLike,
        *,
        contrast_limits: tuple[float, float] | None = None,
    ) -> float | None:
        """Estimate how large the objects of an image are.

        Parameters
        ----------
        image, contrast_limits
            As in `embed`.

        Returns
        -------
        float or None
            Diameter in image pixels; None where this network sees every image at one size.
        """
        pixels = as_image(image)
        if self._model.config.has_fixed_input:
            return None
        return self._estimated_diameter(to_display_range(pixels, contrast_limits))

    def _estimated_diameter(self, displayed: NDArray[np.float32]) -> float:
        known = known_diameter(self._model.config)
        return object_size(self._model, displayed, known, self._at_scale)

    def _at_scale(self, part: NDArray[np.float32], scale: float) -> ImageEmbedding:
        """Embed a part of a displayed image at a scale."""
        shape = (part.shape[0], part.shape[1])
        return self._embed(part, free_geometry(shape, scale, max(shape) * 4), None)

    @torch.inference_mode()
    def _embed(
        self,
        displayed: NDArray[np.float32],
        geometry: Geometry,
        object_diameter: float | None,
        picture: Picture | None = None,
    ) -> ImageEmbedding:
        model = self._model
        pixels = pad(model.normalise(to_pixels(displayed, geometry, model.device)), geometry)
        half = self._dtype != torch.float32
        with torch.autocast(model.device.type, self._dtype, enabled=half):
            encoded = model.encode(pixels.contiguous(memory_format=torch.channels_last))
        image = EncodedImage(
            encoded.features.float(), tuple(skip.float() for skip in encoded.skips)
        )
        return self.rebuild(image, geometry, object_diameter, picture)
