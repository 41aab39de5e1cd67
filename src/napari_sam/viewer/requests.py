"""A prediction as values: what is asked, what comes back, and the step between, for any thread."""

from __future__ import annotations

import dataclasses
from collections.abc import Hashable
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray
from skimage.draw import polygon2mask

from napari_sam.segmentation.embedding import ImageEmbedding
from napari_sam.segmentation.mask_logits import logits_from_mask
from napari_sam.segmentation.prediction import MaskPrediction
from napari_sam.segmentation.prompts import Prompts
from napari_sam.viewer.embeddings import EmbeddingCache
from napari_sam.viewer.entries import ObjectPrompts
from napari_sam.viewer.layers import Plane, read_array

if TYPE_CHECKING:
    from napari_sam.segmentation.predictor import Predictor


@dataclass(frozen=True, kw_only=True, eq=False)
class PredictRequest:
    """Everything that a prediction needs, taken from the viewer at one moment.

    Attributes
    ----------
    serial : int
        Counts the requests of a session; only the latest is answered.
    plane : Plane
        The plane of the image.
    array : array
        The image's data at full resolution.
    asked : ObjectPrompts
        What the person said about the object; may be empty to only embed the plane.
    mask_input : ndarray or None
        Low-resolution logits of the answer before.
    predictor : Predictor
        The model.
    cache : EmbeddingCache
        Where embeddings are kept.
    uncounted : array or None
        The output's data, where its highest label is not known yet.
    object_diameter : float or None
        Of the objects in the image, pixels; None estimates it.
    """

    serial: int
    plane: Plane
    array: Any = field(repr=False)
    asked: ObjectPrompts
    mask_input: NDArray[np.float32] | None = field(default=None, repr=False)
    predictor: Predictor
    cache: EmbeddingCache = field(repr=False)
    uncounted: Any = field(default=None, repr=False)
    object_diameter: float | None = None

    @property
    def key(self) -> Hashable:
        """What the plane's embedding is kept under."""
        return id(self.array), self.plane, self.predictor.model_digest

    @property
    def prompts(self) -> Prompts:
        """The prompts in pixels of the plane, but for an outline's filled area."""
        asked = self.asked
        return Prompts(
            points=[(row, col) for row, col, _ in asked.points] or None,
            point_labels=[label for _, _, label in asked.points] or None,
            box=asked.extent,
            mask_input=self.mask_input,
        )

    @property
    def is_embedded(self) -> bool:
        """Whether the plane's embedding is kept."""
        return self.key in self.cache

    def neighbour(self, steps: int) -> PredictRequest | None:
        """Return the request to embed the plane some steps on along the last sliced axis.

        None where the image ends, or has no such axis.
        """
        index = list(self.plane.index)
        sliced = [axis for axis, position in enumerate(index) if position is not None]
        if not sliced:
            return None
        at = (index[sliced[-1]] or 0) + steps
        if not 0 <= at < self.array.shape[sliced[-1]]:
            return None
        index[sliced[-1]] = at
        plane = dataclasses.replace(self.plane, index=tuple(index))
        return dataclasses.replace(
            self, serial=0, plane=plane, asked=ObjectPrompts(plane=plane), mask_input=None
        )

    def answer(self) -> PredictAnswer:
        """Answer the request; see `compute`."""
        return compute(self)

    def embed(self) -> ImageEmbedding:
        """Return the plane's embedding, made where it is not kept."""
        return self.cache.get(
            self.key,
            lambda: self.predictor.embed(
                read_array(self.array, self.plane), object_diameter=self.object_diameter
            ),
        )


@dataclass(frozen=True, kw_only=True, eq=False)
class PredictAnswer:
    """What came of a request.

    Attributes
    ----------
    request : PredictRequest
        The request.
    embedding : ImageEmbedding
        Of its plane.
    prediction : MaskPrediction or None
        The candidates; None where there were no prompts.
    highest_label : int
        The highest label of `request.uncounted`; 0 where it was not asked for.
    """

    request: PredictRequest
    embedding: ImageEmbedding
    prediction: MaskPrediction | None
    highest_label: int = 0

    def logits_for(self, asked: ObjectPrompts, candidate: int) -> NDArray[np.float32] | None:
        """Return a candidate's logits where other prompts only add points to these; else None."""
        before = self.request.asked
        if self.prediction is None or dataclasses.replace(asked, points=before.points) != before:
            return None
        count = len(before.points)
        if len(asked.points) <= count or asked.points[:count] != before.points:
            return None
        logits: NDArray[np.float32] = self.prediction.low_res_logits[candidate]
        return logits


def compute(request: PredictRequest) -> PredictAnswer:
    """Answer a request: read the plane, embed it where it is not kept, decode. For any thread."""
    embedding = request.embed()
    prediction = None
    prompts = request.prompts
    if not prompts.is_empty:
        if request.asked.outline and prompts.mask_input is None:
            area = polygon2mask(request.plane.shape, request.asked.outline)
            prompts = dataclasses.replace(prompts, mask_input=logits_from_mask(area, embedding))
        prediction = request.predictor.predict(embedding, prompts)
    return PredictAnswer(
        request=request,
        embedding=embedding,
        prediction=prediction,
        highest_label=0 if request.uncounted is None else highest_label(request.uncounted),
    )


def highest_label(data: Any) -> int:
    """Return the largest value of a label array, read plane by plane."""
    if isinstance(data, np.ndarray):
        return int(data.max(initial=0))
    if data.ndim <= 2:
        return int(np.asarray(data[...]).max(initial=0))
    return max(int(np.asarray(data[index]).max(initial=0)) for index in range(data.shape[0]))
