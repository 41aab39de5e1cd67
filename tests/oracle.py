"""A predictor that knows the answers: its objects are the bright components of the image.

It needs no weights and answers at once, so that tests of everything around the network can be
checked by eye. A point or box in an object answers that object; three candidates are the object,
the object eroded by one pixel, and dilated by one pixel.
"""

from __future__ import annotations

import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import ClassVar

import numpy as np
import torch
from numpy.typing import NDArray
from scipy import ndimage
from torch import Tensor

from napari_sam.segmentation.full_resolution import FullResolution, LowResMasks, PointMasks
from napari_sam.segmentation.geometry import Geometry
from napari_sam.segmentation.prediction import MaskPrediction
from napari_sam.segmentation.prompts import Prompts
from napari_sam.segmentation.screening import EXACT

SURE = 10.0
SCORES = (0.95, 0.9, 0.85)


@dataclass(frozen=True, kw_only=True, eq=False)
class OracleEmbedding:
    """The components (H, W) of an image."""

    components: NDArray[np.int32]
    picture: ClassVar[None] = None

    @property
    def image_shape(self) -> tuple[int, int]:
        return self.components.shape

    @property
    def features(self) -> Tensor:
        return torch.from_numpy(self.components.astype(np.float32))[None, None]

    @property
    def geometry(self) -> Geometry:
        shape = self.image_shape
        return Geometry(image_shape=shape, input_shape=shape, padded_shape=shape)

    @property
    def low_res_shape(self) -> tuple[int, int]:
        return self.image_shape

    object_diameter: float | None = None
    model_name: str = "oracle"


class OraclePredictor:
    """Same methods as `Predictor`; counts its calls."""

    model_name = "oracle"
    model_digest = "oracle"
    screening_margins = EXACT
    rate_instances = None
    device = "cpu"

    def __init__(
        self, threshold: float = 0.5, *, seconds: float = 0.0, has_instance_decoder: bool = True
    ) -> None:
        self.threshold = threshold
        self.seconds = seconds
        self.has_instance_decoder = has_instance_decoder
        self.view: int | None = None
        self.n_embed = 0
        self.n_decode = 0
        self.n_points = 0

    @property
    def gives_hints(self) -> bool:
        return self.has_instance_decoder

    def embed(
        self,
        image: NDArray[np.generic],
        *,
        contrast_limits: tuple[float, float] | None = None,
        object_diameter: float | None = None,
    ) -> OracleEmbedding:
        self.n_embed += 1
        time.sleep(self.seconds)
        gray = np.asarray(image, np.float64)
        if gray.ndim == 3:
            gray = gray[..., :3].mean(-1)
        return OracleEmbedding(components=ndimage.label(gray > self.threshold)[0])

    def decode(
        self,
        embedding: OracleEmbedding,
        prompts: Sequence[Prompts],
        *,
        multimask_output: bool = True,
    ) -> tuple[Tensor, Tensor]:
        self.n_decode += 1
        masks = np.stack([self._candidates(embedding, prompt) for prompt in prompts])
        if not multimask_output:
            masks = masks[:, :1]
        logits = torch.from_numpy(np.where(masks, SURE, -SURE).astype(np.float32))
        scores = torch.tensor(SCORES[: masks.shape[1]]).expand(len(masks), -1).clone()
        scores[~logits.amax((2, 3)).gt(0)] = 0
        return logits, scores

    def iter_points(
        self,
        embedding: OracleEmbedding,
        points: NDArray[np.floating],
        least_iou: float,
        *,
        screening: bool = False,
    ) -> Iterator[PointMasks]:
        self.n_points += len(points)
        logits, scores = self.decode(embedding, [Prompts(points=[point]) for point in points])
        origins, candidates = torch.nonzero(scores > least_iou, as_tuple=True)
        corners = torch.zeros(len(origins), 2, dtype=torch.long)
        kept = logits[origins, candidates], corners, scores[origins, candidates], origins
        yield PointMasks(LowResMasks(*kept), scores.amax(1))

    def point_features(
        self, embedding: OracleEmbedding, points: NDArray[np.floating]
    ) -> NDArray[np.float32]:
        """Objects look one way, background another."""
        rows, cols = np.floor(points).astype(int).T
        inside = embedding.components[rows, cols] > 0
        return np.stack([inside, ~inside], 1).astype(np.float32)

    def full_resolution(self, embedding: OracleEmbedding) -> FullResolution:
        return FullResolution(embedding.geometry, embedding.low_res_shape, torch.device("cpu"))

    def upscale(self, embedding: OracleEmbedding, low_res_logits: Tensor) -> Tensor:
        return low_res_logits

    def predict(
        self,
        embedding: OracleEmbedding,
        prompts: Prompts | Sequence[Prompts],
        *,
        multimask_output: bool = True,
        closer_look: bool = False,
    ) -> MaskPrediction | list[MaskPrediction]:
        if isinstance(prompts, Prompts):
            return self.predict(embedding, [prompts], multimask_output=multimask_output)[0]
        logits, scores = self.decode(embedding, prompts, multimask_output=multimask_output)
        return [
            MaskPrediction.of_whole(one.numpy() > 0, score.numpy(), one.numpy())
            for one, score in zip(logits, scores, strict=True)
        ]

    def field_of_view(self, object_diameter: float | None = None) -> int | None:
        return self.view

    def estimate_diameter(
        self,
        image: NDArray[np.generic],
        *,
        contrast_limits: tuple[float, float] | None = None,
    ) -> float | None:
        return None

    def instance_maps(self, embedding: OracleEmbedding) -> NDArray[np.float32]:
        """Foreground; closeness and depth are 1 inside, so that every component is one seed."""
        inside = (embedding.components > 0).astype(np.float32)
        return np.stack([inside, inside, inside])

    def _candidates(self, embedding: OracleEmbedding, prompt: Prompts) -> NDArray[np.bool_]:
        wanted, unwanted = self._named(embedding, prompt)
        mask = np.isin(embedding.components, sorted(wanted - unwanted - {0}))
        return np.stack([mask, ndimage.binary_erosion(mask), ndimage.binary_dilation(mask)])

    @staticmethod
    def _named(embedding: OracleEmbedding, prompt: Prompts) -> tuple[set[int], set[int]]:
        """Return the components that the prompt asks for, and those it excludes."""
        components = embedding.components
        wanted: set[int] = set()
        unwanted: set[int] = set()
        if prompt.points is not None:
            high = np.array(components.shape) - 1
            for point, label in zip(prompt.points, prompt.point_labels, strict=True):
                row, col = np.clip(np.round(point).astype(int), 0, high)
                (wanted if label else unwanted).add(int(components[row, col]))
        if prompt.box is not None:
            top, left, bottom, right = np.round(prompt.box).astype(int)
            inside = components[max(top, 0) : bottom + 1, max(left, 0) : right + 1]
            counts = np.bincount(inside.ravel(), minlength=2)
            counts[0] = 0
            wanted.add(int(counts.argmax()))
        if prompt.mask_input is not None and not wanted:
            counts = np.bincount(components[prompt.mask_input > 0], minlength=2)
            counts[0] = 0
            wanted.add(int(counts.argmax()))
        return wanted, unwanted
