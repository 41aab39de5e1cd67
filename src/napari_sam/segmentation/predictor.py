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
from napari_sam.model.devices import resolve_screening_dtype
from napari_sam.model.image_tokens import sample
from napari_sam.model.registry import lasting_name, load_model
from napari_sam.model.sam import Sam
from napari_sam.segmentation.closer_look import CloserLook
from napari_sam.segmentation.decoding import (
    decode_points,
    decode_prompts,
    predict_prompts,
    whole_answers,
)
from napari_sam.segmentation.embedder import Embedder
from napari_sam.segmentation.embedding import ImageEmbedding
from napari_sam.segmentation.evidence import Rate, rating_of
from napari_sam.segmentation.full_resolution import FullResolution, PointMasks
from napari_sam.segmentation.prediction import MaskPrediction
from napari_sam.segmentation.prompts import Prompts
from napari_sam.segmentation.screening import Margins
from napari_sam.segmentation.upscaling import upscale_whole


class Predictor(Embedder):
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
            super().__init__(model, "custom", precision)
        else:
            loaded = load_model(model, device, on_progress=on_progress)
            super().__init__(loaded, str(model), precision)
        screening = resolve_screening_dtype(self._model.device, precision)
        scorer = self._model.config.decoder.mask_scorer
        self.screening_margins = Margins.of(screening, mask_scorer=scorer)
        self._closer_look = CloserLook(self)

    def __repr__(self) -> str:
        """Name model and device."""
        return f"Predictor({self.model_name!r}, device={self.device!r})"

    def loader(self, device: str | None = None) -> Callable[[], Predictor]:
        """Return what makes this predictor again, in another process and on another device."""
        model, precision = self._given
        return partial(Predictor, model, device or self.device, precision=precision)

    @cached_property
    def model_digest(self) -> str:
        """A sha256 of the network's shape and weights: tells models apart whatever their names."""
        return model_digest(self._model)

    @property
    def has_instance_decoder(self) -> bool:
        """Whether the network finds all instances without prompts."""
        return self._model.instance_decoder is not None

    @property
    def gives_hints(self) -> bool:
        """Whether the instance decoder was trained to help the mask decoder, and is quick."""
        return self._model.config.instances

    @property
    def rate_instances(self) -> Rate | None:
        """What rates instances by evidence (N, F), see `best_instances`; None if nothing does."""
        return rating_of(self._model.instance_rater)

    @overload
    def predict(
        self,
        embedding: ImageEmbedding,
        prompts: Prompts,
        *,
        multimask_output: bool = True,
        closer_look: bool = False,
    ) -> MaskPrediction: ...

    @overload
    def predict(
        self,
        embedding: ImageEmbedding,
        prompts: Sequence[Prompts],
        *,
        multimask_output: bool = True,
        closer_look: bool = False,
    ) -> list[MaskPrediction]: ...

    @torch.inference_mode()
    def predict(
        self,
        embedding: ImageEmbedding,
        prompts: Prompts | Sequence[Prompts],
        *,
        multimask_output: bool = True,
        closer_look: bool = False,
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
        closer_look : bool
            Whether objects whose size is far from the embedding's `object_diameter` are looked at
            again at a scale of their own, masks made to fill boxes that come without points, and
            what the instance decoder sees under a first click or in a box taken into account; what
            is doubtful is looked at in other ways, and all candidates vote. Better, and slower: a
            look takes as long as embedding 256 x 256 pixels, and an image's instances are separated
            once for clicks and in several ways for boxes. Answers of the official networks, which
            see all sizes at one scale, stay as they are.

        Returns
        -------
        MaskPrediction or list of MaskPrediction
            In the order of the prompts.

        Raises
        ------
        ValueError
            If a prompt is empty or lies outside the image.
        TypeError
            If something else is given for the embedding or the prompts.
        """
        if isinstance(prompts, Prompts):
            options = {"multimask_output": multimask_output, "closer_look": closer_look}
            return self.predict(embedding, [prompts], **options)[0]
        _check_asked(embedding, prompts)
        if not prompts:
            return []
        kept = slice(1, None) if multimask_output else slice(0, 1)
        tokens, geometry = embedding.tokens, embedding.geometry
        answers = predict_prompts(self._model, tokens, prompts, geometry, kept)
        if closer_look:
            return self._closer_look.improve(embedding, prompts, answers, kept)
        return answers

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
        _check_asked(embedding, prompts)
        kept = slice(1, None) if multimask_output else slice(0, 1)
        found = dict(decode_prompts(self._model, embedding.tokens, prompts, embedding.geometry))
        return whole_answers([found[index] for index in range(len(prompts))], kept)

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
    ) -> Iterator[PointMasks]:
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
        PointMasks, of some points at a time, in their order
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
        centred = self._model.config.centred_prompts
        placed = embedding.geometry.input_points(points, centred=centred)[:, ::-1]
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


def _check_asked(embedding: object, prompts: object) -> None:
    """Check that an embedding and prompts are what they should be."""
    if not isinstance(embedding, ImageEmbedding):
        raise TypeError(
            f"embedding must be an ImageEmbedding, as `Predictor.embed` makes of an image, got "
            f"{type(embedding).__name__}"
        )
    if not (isinstance(prompts, Sequence) and all(isinstance(one, Prompts) for one in prompts)):
        raise TypeError(
            f"prompts must be Prompts, or a sequence of them, one for each object, got {prompts!r}"
        )
