"""A prediction as values: what is asked, what comes back, and the step between, for any thread."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import numpy as np

from napari_sam.segmentation.embedding import ImageEmbedding
from napari_sam.segmentation.prediction import MaskPrediction
from napari_sam.segmentation.prompts import Prompts
from napari_sam.viewer.embeddings import EmbeddingCache
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
    prompts : Prompts
        Of the object; may be empty to only embed the plane.
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
    prompts: Prompts
    predictor: Predictor
    cache: EmbeddingCache = field(repr=False)
    uncounted: Any = field(default=None, repr=False)
    object_diameter: float | None = None


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


def compute(request: PredictRequest) -> PredictAnswer:
    """Answer a request: read the plane, embed it where it is not kept, decode. For any thread."""
    predictor = request.predictor
    key = (id(request.array), request.plane, predictor.model_digest)
    embedding = request.cache.get(
        key,
        lambda: predictor.embed(
            read_array(request.array, request.plane), object_diameter=request.object_diameter
        ),
    )
    prediction = None
    if not request.prompts.is_empty:
        prediction = predictor.predict(embedding, request.prompts)
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
