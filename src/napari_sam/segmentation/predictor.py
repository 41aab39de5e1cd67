"""Embed an image once, then answer prompts: values in, values out."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from functools import cached_property, partial
from pathlib import Path
from typing import overload

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor
from torch.nn import functional

from napari_sam.model.checkpoints import model_digest
from napari_sam.model.configs import ViTConfig
from napari_sam.model.devices import resolve_encoder_dtype, resolve_screening_dtype
from napari_sam.model.image_tokens import sample
from napari_sam.model.registry import lasting_name, load_model
from napari_sam.model.sam import EncodedImage, Sam
from napari_sam.segmentation.decoding import (
    decode_points,
    decode_prompts,
    prediction_of,
    whole_answers,
)
from napari_sam.segmentation.embedding import ImageEmbedding
from napari_sam.segmentation.fit import field_of_view, fitted_geometry, known_diameter
from napari_sam.segmentation.full_resolution import FullResolution, LowResMasks
from napari_sam.segmentation.images import (
    Geometry,
    check_image,
    free_geometry,
    pad,
    to_display_range,
    to_pixels,
)
from napari_sam.segmentation.object_size import object_size
from napari_sam.segmentation.prediction import MaskPrediction
from napari_sam.segmentation.prompts import Prompts
from napari_sam.segmentation.screening import Margins
from napari_sam.segmentation.upscaling import upscale_whole


class Predictor:
    """Answers prompts with one network.

    Parameters
    ----------
    model : Sam, str or Path
        A network, a known model's name, or the path of a checkpoint.
    device : str
        Where a model given by name or path is loaded to; see `napari_sam.model.load_model`.
    precision : str
        ``"auto"``, ``"float32"``, ``"bfloat16"`` or ``"float16"``: to encode images, screen grids.
    on_progress : callable, optional
        Called with bytes done and in all while a model is downloaded.
    """

    def __init__(
        self,
        model: Sam | str | Path = "nano",
        device: str = "auto",
        *,
        precision: str = "auto",
        on_progress: Callable[[int, int], None] | None = None,
    ) -> None:
        self._given = (model if isinstance(model, Sam) else lasting_name(model)), precision
        if isinstance(model, Sam):
            self.model_name = "custom"
            self._model = model.eval()
        else:
            self.model_name = str(model)
            self._model = load_model(model, device, on_progress=on_progress)
        self._dtype = resolve_encoder_dtype(self._model.device, precision)
        screening = resolve_screening_dtype(self._model.device, precision)
        scorer = self._model.config.decoder.mask_scorer
        self.screening_margins = Margins.of(screening, mask_scorer=scorer)

    def __repr__(self) -> str:
        """Name model and device."""
        return f"Predictor({self.model_name!r}, device={self.device!r})"

    def loader(self, device: str | None = None) -> Callable[[], Predictor]:
        """Return what makes this predictor again, in another process and on another device."""
        model, precision = self._given
        return partial(Predictor, model, device or self.device, precision=precision)

    @property
    def model(self) -> Sam:
        """The network."""
        return self._model

    @property
    def device(self) -> str:
        """Where the network runs."""
        return str(self._model.device)

    @cached_property
    def model_digest(self) -> str:
        """A sha256 of the network's shape and weights: tells models apart whatever their names."""
        return model_digest(self._model)

    @property
    def has_instance_decoder(self) -> bool:
        """Whether the network finds all instances without prompts."""
        return self._model.instance_decoder is not None

    def embed(
        self,
        image: NDArray[np.generic],
        *,
        contrast_limits: tuple[float, float] | None = None,
        object_diameter: float | None = None,
    ) -> ImageEmbedding:
        """Embed an image.

        Parameters
        ----------
        image : ndarray
            (H, W) or (H, W, 3 or 4), any real dtype.
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
            If the array is no image, or the diameter is not positive.
        """
        image = np.asarray(image)
        shape = check_image(image)
        if object_diameter is not None and not object_diameter > 0:
            raise ValueError(f"object_diameter must be positive, got {object_diameter}")
        displayed = to_display_range(image, contrast_limits)
        if isinstance(self._model.config.encoder, ViTConfig):
            object_diameter = None
        elif object_diameter is None:
            object_diameter = self._estimated_diameter(displayed)
        geometry = fitted_geometry(self._model.config, shape, object_diameter)
        return self._embed(displayed, geometry, object_diameter)

    @torch.inference_mode()
    def rebuild(
        self, image: EncodedImage, geometry: Geometry, object_diameter: float | None
    ) -> ImageEmbedding:
        """Make an embedding of what the image encoder found, now or earlier.

        Parameters
        ----------
        image : EncodedImage
            Features and skip features of one image, float32, on the predictor's device.
        geometry, object_diameter
            Of the embedding; see `ImageEmbedding`.
        """
        return ImageEmbedding(
            image=image,
            tokens=self._model.lay_out(image),
            geometry=geometry,
            object_diameter=object_diameter,
            model_name=self.model_name,
        )

    @overload
    def predict(
        self, embedding: ImageEmbedding, prompts: Prompts, *, multimask_output: bool = True
    ) -> MaskPrediction: ...

    @overload
    def predict(
        self,
        embedding: ImageEmbedding,
        prompts: Sequence[Prompts],
        *,
        multimask_output: bool = True,
    ) -> list[MaskPrediction]: ...

    @torch.inference_mode()
    def predict(
        self,
        embedding: ImageEmbedding,
        prompts: Prompts | Sequence[Prompts],
        *,
        multimask_output: bool = True,
    ) -> MaskPrediction | list[MaskPrediction]:
        """Answer the prompts of one object or of many.

        Parameters
        ----------
        embedding : ImageEmbedding
            From `embed`.
        prompts : Prompts or sequence of Prompts
            One for each object.
        multimask_output : bool
            Three candidates (whole, part, sub-part) or one mask.

        Returns
        -------
        MaskPrediction or list of MaskPrediction
            In the order of the prompts.

        Raises
        ------
        ValueError
            If a prompt is empty or lies outside the image.
        """
        if isinstance(prompts, Prompts):
            return self.predict(embedding, [prompts], multimask_output=multimask_output)[0]
        if not prompts:
            return []
        kept = slice(1, None) if multimask_output else slice(0, 1)
        answers = decode_prompts(self._model, embedding.tokens, prompts, embedding.geometry)
        return [prediction_of(window, embedding.geometry, kept) for window in answers]

    @torch.inference_mode()
    def decode(
        self,
        embedding: ImageEmbedding,
        prompts: Sequence[Prompts],
        *,
        multimask_output: bool = True,
    ) -> tuple[Tensor, Tensor]:
        """Decode many objects, staying at low resolution.

        Parameters
        ----------
        embedding : ImageEmbedding
            From `embed`.
        prompts : sequence of Prompts
            B objects, at least one.
        multimask_output : bool
            Three candidates or one.

        Returns
        -------
        low_res_logits : Tensor
            (B, M, h, w) float32.
        predicted_iou : Tensor
            (B, M) float32.
        """
        kept = slice(1, None) if multimask_output else slice(0, 1)
        answers = decode_prompts(self._model, embedding.tokens, prompts, embedding.geometry)
        return whole_answers(answers, kept)

    @torch.inference_mode()
    def upscale(self, embedding: ImageEmbedding, low_res_logits: Tensor) -> Tensor:
        """Resize low-resolution logits (..., h, w) to the image's pixels (..., H, W)."""
        return upscale_whole(low_res_logits, embedding.geometry)

    @torch.inference_mode()
    def iter_points(
        self,
        embedding: ImageEmbedding,
        points: NDArray[np.floating],
        least_iou: float,
        *,
        screening: bool = False,
    ) -> Iterator[LowResMasks]:
        """Decode single points (N, 2), (row, col), and draw what is expected to be good.

        Parameters
        ----------
        embedding, points : ImageEmbedding, ndarray
            From `embed`, and (N, 2) points (row, col), each an object's only prompt.
        least_iou : float
            Of the three candidates, those with a higher predicted IoU are drawn.
        screening : bool
            Whether to do so in half precision, if that gains; then `screening_margins` apply.

        Yields
        ------
        LowResMasks, of some points at a time, in their order
        """
        dtype = self.screening_margins.dtype if screening else torch.float32
        placed = self._to_input(embedding, points)
        yield from decode_points(self._model, embedding.tokens.to(dtype), placed, least_iou)

    def point_features(
        self, embedding: ImageEmbedding, points: NDArray[np.floating]
    ) -> NDArray[np.float32]:
        """Return what the image shows at points (N, 2), (row, col): unit vectors (N, C)."""
        stride = self._model.prompt_encoder.stride
        at = self._to_input(embedding, points)[None]
        found = functional.normalize(sample(embedding.tokens.features, at, stride)[0], dim=1)
        vectors: NDArray[np.float32] = found.cpu().numpy()
        return vectors

    def full_resolution(self, embedding: ImageEmbedding) -> FullResolution:
        """Return what resizes many masks to the image's pixels, each within its box."""
        return FullResolution(embedding.geometry, embedding.low_res_shape, self._model.device)

    def _to_input(self, embedding: ImageEmbedding, points: NDArray[np.floating]) -> Tensor:
        """Map points (N, 2), (row, col) of the image, to (x, y) of the network's input."""
        rows, cols = embedding.geometry.scale
        placed = np.asarray(points, np.float64)[:, ::-1] * (cols, rows)
        return torch.from_numpy(placed.astype(np.float32)).to(self._model.device)

    @torch.inference_mode()
    def instance_maps(self, embedding: ImageEmbedding) -> NDArray[np.float32]:
        """Predict the maps from which all instances follow.

        Returns
        -------
        ndarray
            (3, H, W) float32 in 0 ... 1: foreground, closeness to the centre, depth below the edge.

        Raises
        ------
        ValueError
            If the network has no instance decoder.
        """
        maps = self._model.instance_maps(embedding.image)[0]
        resized: NDArray[np.float32] = self.upscale(embedding, maps).sigmoid().cpu().numpy()
        return resized

    @torch.inference_mode()
    def kind_map(self, embedding: ImageEmbedding) -> NDArray[np.float32]:
        """Embed the image's tokens so that objects of one kind lie together.

        Returns
        -------
        ndarray
            (K, h, w) float32 unit vectors, one for each image token; their products tell how
            alike two places are. Networks without a kind decoder give their image features.
        """
        if self._model.kind_decoder is not None:
            vectors = self._model.kind_map(embedding.image)
        else:
            vectors = functional.normalize(embedding.features, dim=1)
        found: NDArray[np.float32] = vectors[0].cpu().numpy()
        return found

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
        image: NDArray[np.generic],
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
        image = np.asarray(image)
        check_image(image)
        if isinstance(self._model.config.encoder, ViTConfig):
            return None
        return self._estimated_diameter(to_display_range(image, contrast_limits))

    def _estimated_diameter(self, displayed: NDArray[np.float32]) -> float:
        def at_scale(part: NDArray[np.float32], scale: float) -> ImageEmbedding:
            shape = (part.shape[0], part.shape[1])
            return self._embed(part, free_geometry(shape, scale, max(shape) * 4), None)

        return object_size(self._model, displayed, known_diameter(self._model.config), at_scale)

    @torch.inference_mode()
    def _embed(
        self, displayed: NDArray[np.float32], geometry: Geometry, object_diameter: float | None
    ) -> ImageEmbedding:
        model = self._model
        pixels = pad(model.normalise(to_pixels(displayed, geometry, model.device)), geometry)
        half = self._dtype != torch.float32
        with torch.autocast(model.device.type, self._dtype, enabled=half):
            encoded = model.encode(pixels.contiguous(memory_format=torch.channels_last))
        image = EncodedImage(
            encoded.features.float(), tuple(skip.float() for skip in encoded.skips)
        )
        return self.rebuild(image, geometry, object_diameter)
