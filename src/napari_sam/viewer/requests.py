"""A prediction as values: what is asked, what comes back, and the step between, for any thread."""

from __future__ import annotations

import dataclasses
from collections.abc import Hashable, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray
from skimage.draw import polygon2mask

from napari_sam.segmentation.embedding import ImageEmbedding
from napari_sam.segmentation.images import contrast_range
from napari_sam.segmentation.mask_prompts import prompts_from_mask
from napari_sam.segmentation.prediction import MaskPrediction
from napari_sam.segmentation.prompts import Prompts
from napari_sam.viewer.embeddings import BoundedCache
from napari_sam.viewer.entries import ObjectPrompts
from napari_sam.viewer.layers import Plane, read_array
from napari_sam.viewer.windows import Window, window_around

if TYPE_CHECKING:
    from napari_sam.segmentation.predictor import Predictor

_SAMPLED_SIDE = 1024
View = tuple[tuple[int, int], tuple[int, int]]
"""First and one past the last row, then column, of a part of a plane."""


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
    cache, ranges : BoundedCache
        Where embeddings, and the contrast of planes that are seen in windows, are kept.
    window : Window or None
        The part of the plane that is looked at; None for all of it.
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
    cache: BoundedCache[ImageEmbedding] = field(repr=False)
    ranges: BoundedCache[tuple[float, float]] = field(repr=False)
    uncounted: Any = field(default=None, repr=False)
    object_diameter: float | None = None
    window: Window | None = None

    @property
    def key(self) -> Hashable:
        """What the embedding is kept under."""
        return id(self.array), self.plane, self.window, self.predictor.model_digest

    @property
    def prompts(self) -> Prompts:
        """The prompts in pixels of what is looked at, but for an outline's filled area."""
        asked = self.asked if self.window is None else self.asked.moved(*self.window[:2])
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

    def about(self, asked: ObjectPrompts) -> PredictRequest:
        """Return a request for another object on the same plane, with a window of its own."""
        view = self.predictor.field_of_view(self.object_diameter)
        window = window_around(asked.bounds, self.plane.shape, view)
        return dataclasses.replace(self, asked=asked, mask_input=None, window=window)

    def answer(self) -> PredictAnswer:
        """Answer the request; see `compute`."""
        return compute(self)

    def embed(self) -> ImageEmbedding:
        """Return the embedding of what is looked at, made where it is not kept."""
        return self.cache.get(self.key, self.embed_anew)

    def embed_view(self, view: View, object_diameter: float | None = None) -> ImageEmbedding:
        """Return the embedding of a part of the plane, made where it is not kept.

        That for objects of another diameter (pixels) is made anew, and not kept.
        """
        whole = self.about(ObjectPrompts(plane=self.plane))
        (top, bottom), (left, right) = view
        is_all = (top, left) == (0, 0) and (bottom, right) == self.plane.shape
        if whole.window is not None or not is_all:
            window = Window(top, left, bottom - top, right - left)
            whole = dataclasses.replace(whole, window=window)
        if object_diameter is None:
            return whole.embed()
        return dataclasses.replace(whole, object_diameter=object_diameter).embed_anew()

    def embed_anew(self) -> ImageEmbedding:
        """Make the embedding of what is looked at."""
        if self.window is None:
            pixels, limits = read_array(self.array, self.plane), None
        else:
            pixels = read_array(self.array, self.plane, self.window.region)
            limits = self._limits(pixels)
        return self.predictor.embed(
            pixels, contrast_limits=limits, object_diameter=self.object_diameter
        )

    def _limits(self, pixels: NDArray[np.generic]) -> tuple[float, float] | None:
        """Return the contrast of the whole plane, so that windows look alike."""
        if pixels.ndim == 3 and pixels.dtype == np.uint8:
            return None
        key = id(self.array), self.plane
        step = -(-max(self.plane.shape) // _SAMPLED_SIDE)
        thinned = slice(None, None, step), slice(None, None, step)
        return self.ranges.get(
            key, lambda: contrast_range(read_array(self.array, self.plane, thinned))
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

    def logits_for(
        self, asked: ObjectPrompts, window: Window | None, candidate: int
    ) -> NDArray[np.float32] | None:
        """Return a candidate's logits where other prompts only add points to these; else None."""
        before = self.request.asked
        if self.prediction is None or dataclasses.replace(asked, points=before.points) != before:
            return None
        if window != self.request.window:
            return None
        count = len(before.points)
        if len(asked.points) <= count or asked.points[:count] != before.points:
            return None
        logits: NDArray[np.float32] = self.prediction.low_res_logits[candidate]
        return logits


def compute(request: PredictRequest) -> PredictAnswer:
    """Answer a request: read the plane, embed it where it is not kept, decode. For any thread."""
    return compute_alike([request])[0]


def compute_alike(requests: Sequence[PredictRequest]) -> list[PredictAnswer]:
    """Answer requests that look at the same window, in one call of the decoder."""
    embedding = requests[0].embed()
    prompts = [_complete(request, embedding) for request in requests]
    asked = [index for index, one in enumerate(prompts) if not one.is_empty]
    predictions: dict[int, MaskPrediction] = {}
    if asked:
        found = requests[0].predictor.predict(embedding, [prompts[index] for index in asked])
        predictions = dict(zip(asked, found, strict=True))
    return [
        PredictAnswer(
            request=request,
            embedding=embedding,
            prediction=_on_plane(predictions.get(index), request),
            highest_label=0 if request.uncounted is None else highest_label(request.uncounted),
        )
        for index, request in enumerate(requests)
    ]


def _complete(request: PredictRequest, embedding: ImageEmbedding) -> Prompts:
    """Return the prompts, the area of an outline among them."""
    prompts, outline = request.prompts, request.asked.outline
    if not outline or prompts.mask_input is not None:
        return prompts
    corner = (0, 0) if request.window is None else request.window[:2]
    area = polygon2mask(embedding.image_shape, np.array(outline) - corner)
    if not area.any():
        return prompts
    drawn = prompts_from_mask(area, embedding)
    inner = np.asarray(drawn.points)
    if prompts.points is None:
        return dataclasses.replace(drawn, box=prompts.box)
    return Prompts(
        points=np.concatenate([np.asarray(prompts.points), inner]),
        point_labels=np.concatenate([np.asarray(prompts.point_labels), np.ones(len(inner))]),
        box=prompts.box,
        mask_input=drawn.mask_input,
    )


def _on_plane(prediction: MaskPrediction | None, request: PredictRequest) -> MaskPrediction | None:
    """Place a prediction for a window in the whole plane."""
    if prediction is None or request.window is None:
        return prediction
    top, left = prediction.corner
    return dataclasses.replace(
        prediction,
        corner=(top + request.window.top, left + request.window.left),
        image_shape=request.plane.shape,
    )


def highest_label(data: Any) -> int:
    """Return the largest value of a label array, read plane by plane."""
    if isinstance(data, np.ndarray):
        return int(data.max(initial=0))
    if data.ndim <= 2:
        return int(np.asarray(data[...]).max(initial=0))
    return max(int(np.asarray(data[index]).max(initial=0)) for index in range(data.shape[0]))
