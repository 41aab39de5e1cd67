"""A prediction as values: what is asked, what comes back, and the step between, for any thread."""

from __future__ import annotations

import dataclasses
from collections.abc import Hashable, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray
from skimage.draw import polygon2mask

from napari_sam.segmentation.embedding import ImageEmbedding
from napari_sam.segmentation.mask_prompts import prompts_from_mask
from napari_sam.segmentation.prediction import MaskPrediction
from napari_sam.segmentation.prompts import Prompts
from napari_sam.segmentation.tiles import LARGE, Tile
from napari_sam.viewer.bounded_cache import BoundedCache
from napari_sam.viewer.entries import ObjectPrompts
from napari_sam.viewer.layers import Plane, highest_label
from napari_sam.viewer.readings import (
    Reading,
    at_full_resolution,
    identity,
    plan_reading,
    read,
    sampled_range,
)
from napari_sam.viewer.windows import window_around

if TYPE_CHECKING:
    from napari_sam.segmentation.predictor import Predictor

_LARGEST_INPUT = 4
"""More than so many fields of view along a side are never read as they are."""
_NEWS = 1.25
"""A diameter estimated at another zoom counts as the same up to this ratio."""
_ZOOMS = range(16)
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
    levels : tuple of array
        The image's pyramid, the finest first; only its data for other images.
    asked : ObjectPrompts
        What the person said about the object; may be empty to only embed the plane.
    mask_input : ndarray or None
        Low-resolution logits of the answer before.
    predictor : Predictor
        The model.
    cache, ranges, sizes : BoundedCache
        Where embeddings, the contrast of planes that are seen in windows, and estimated diameters
        are kept.
    window : Tile or None
        The part of the plane that is looked at, full-resolution pixels; None for all of it.
    uncounted : array or None
        The output's data, where its highest label is not known yet.
    object_diameter : float or None
        Of the objects in the image, full-resolution pixels; None estimates it on what is looked at.
    zoom : int
        How far away the person is; see `windows.zoom_of`.
    finest : bool
        Whether every pixel is read, for those who compare masks with the embedding.
    closer_look : bool
        As `Predictor.predict` takes it.
    """

    serial: int
    plane: Plane
    levels: tuple[Any, ...] = field(repr=False)
    asked: ObjectPrompts
    mask_input: NDArray[np.float32] | None = field(default=None, repr=False)
    predictor: Predictor
    cache: BoundedCache[ImageEmbedding] = field(repr=False)
    ranges: BoundedCache[tuple[float, float]] = field(repr=False)
    sizes: BoundedCache[float] = field(repr=False)
    uncounted: Any = field(default=None, repr=False)
    object_diameter: float | None = None
    window: Tile | None = None
    zoom: int = 0
    finest: bool = False
    closer_look: bool = True

    @property
    def array(self) -> Any:
        """The image's data at full resolution."""
        return self.levels[0]

    @property
    def key(self) -> Hashable:
        """What the embedding is kept under."""
        looked_at = self.window, self.reading, self.object_diameter
        return identity(self.array, self.plane), *looked_at, self.predictor.model_digest

    @cached_property
    def reading(self) -> Reading:
        """Which pixels are read: the coarsest that give the network its resolution."""
        longest = _LARGEST_INPUT * (self.predictor.field_of_view() or 0)
        return plan_reading(self.levels, self.plane, self.window, self._coarseness, longest)

    @property
    def seen(self) -> ObjectPrompts:
        """What is asked, in pixels of what is read."""
        return self.asked.seen_from(self.reading.origin, self.reading.pixel)

    @property
    def prompts(self) -> Prompts:
        """The prompts in pixels of what is read, but for an outline's filled area."""
        asked = self.seen
        return Prompts(
            points=[(row, col) for row, col, _ in asked.points] or None,
            point_labels=[label for _, _, label in asked.points] or None,
            box=asked.extent,
            mask_input=self.mask_input,
        )

    def check_inside(self) -> None:
        """Check that points and box touch the plane; ValueError if not."""
        asked = self.asked
        points = [(row, col) for row, col, _ in asked.points] or None
        Prompts(points=points, box=asked.extent).check_inside(self.plane.shape)

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
            self,
            serial=0,
            plane=plane,
            asked=dataclasses.replace(self.asked, plane=plane),
            mask_input=None,
        )

    def about(self, asked: ObjectPrompts) -> PredictRequest:
        """Return a request for another object on the same plane, with a window of its own."""
        diameter = self.diameter
        window = self._window(asked, diameter)
        return dataclasses.replace(
            self, asked=asked, mask_input=None, object_diameter=diameter, window=window
        )

    @property
    def diameter(self) -> float | None:
        """Diameter of the objects as given or as estimated before, pixels; else None."""
        return self.object_diameter or self.sizes.peek(self._size_key(self.zoom))

    def sized(self) -> PredictRequest:
        """Return the request with the diameter of the objects; for any thread, reads pixels.

        Networks whose input has a fixed size need none.
        """
        if self.object_diameter is not None or not self._sees_sizes:
            return self
        diameter = self.sizes.get(self._size_key(self.zoom), self._estimate)
        window = self._window(self.asked, diameter)
        return dataclasses.replace(self, object_diameter=diameter, window=window)

    def at_full_resolution(self) -> PredictRequest:
        """Return a request that reads every pixel of its windows, which are as small as can be."""
        return dataclasses.replace(self.sized(), zoom=0, finest=True).about(self.asked)

    def answer(self) -> PredictAnswer:
        """Answer the request; see `compute`."""
        return compute(self)

    def embed(self) -> ImageEmbedding:
        """Return the embedding of what is looked at, made where it is not kept."""
        sized = self.sized()
        return sized.cache.get(sized.key, sized.embed_anew)

    def embed_view(self, view: View, object_diameter: float | None = None) -> ImageEmbedding:
        """Return the embedding of a part of the plane at full resolution, made where not kept.

        That for objects of another diameter (pixels) is made anew, and not kept.
        """
        whole = self.about(ObjectPrompts(plane=self.plane)).at_full_resolution()
        (top, bottom), (left, right) = view
        is_all = (top, left) == (0, 0) and (bottom, right) == self.plane.shape
        if whole.window is not None or not is_all:
            window = Tile(top, left, bottom - top, right - left)
            whole = dataclasses.replace(whole, window=window)
        if object_diameter is None:
            return whole.cache.get(whole.key, whole.embed_anew)
        return dataclasses.replace(whole, object_diameter=object_diameter).embed_anew()

    def embed_anew(self) -> ImageEmbedding:
        """Make the embedding of what is looked at; its diameter is in pixels of what is read."""
        pixels = read(self.levels, self.plane, self.reading)
        diameter = self.object_diameter
        return self.predictor.embed(
            pixels,
            contrast_limits=self._limits(pixels),
            object_diameter=None if diameter is None else diameter / self.reading.coarseness,
        )

    # inside

    @cached_property
    def _sees_sizes(self) -> bool:
        """Whether the network's input may have any size, so that the objects' size matters."""
        look = self.predictor.field_of_view
        return look(1.0) != look(1e6)

    @property
    def _coarseness(self) -> float:
        """How many pixels along a side may become one for the network."""
        view = self.predictor.field_of_view()
        if self.finest or view is None or max(self.plane.shape) <= LARGE * view:
            return 1.0
        longest = max(self.plane.shape if self.window is None else self.window[2:])
        if self.object_diameter is None or not self._sees_sizes:
            return max(1.0, longest / view)
        own = self.predictor.field_of_view(self.object_diameter)
        return max(1.0, own / view, longest / (_LARGEST_INPUT * view))

    def _window(self, asked: ObjectPrompts, diameter: float | None) -> Tile | None:
        """Return the window for prompts: as wide as what is looked at, or as the objects want."""
        by_size = diameter is not None and self._sees_sizes
        view = self.predictor.field_of_view(diameter)
        return window_around(asked.bounds, self.plane.shape, view, 0 if by_size else self.zoom)

    def _size_key(self, zoom: int) -> Hashable:
        return id(self.array), self.predictor.model_digest, zoom

    def _estimate(self) -> float:
        """Estimate the diameter of the objects that are looked at, pixels of the plane."""
        if self.window is None and self.reading.is_exact:
            return self._diameter_of_whole()
        seen = plan_reading(self.levels, self.plane, self.window, 2.0**self.zoom)
        pixels = read(self.levels, self.plane, seen)  # no more than a screen shows of it
        found = self.predictor.estimate_diameter(pixels, contrast_limits=self._limits(pixels))
        diameter = float(found or 1.0) * seen.coarseness
        for zoom in _ZOOMS:  # the same windows, then, and nothing to embed anew
            known = self.sizes.peek(self._size_key(zoom))
            if known is not None and 1 / _NEWS < known / diameter < _NEWS:
                return known
        return diameter

    def _diameter_of_whole(self) -> float:
        """Embed the whole plane at the scale that is found; kept for those who know the scale."""
        embedding = self.cache.get(self.key, self.embed_anew)
        diameter = float(embedding.object_diameter or 1.0)
        window = self._window(self.asked, diameter)
        if window is None:
            sized = dataclasses.replace(self, object_diameter=diameter)
            self.cache.get(sized.key, lambda: embedding)
        return diameter

    def _limits(self, pixels: NDArray[np.generic]) -> tuple[float, float] | None:
        """Return the contrast of the whole plane, so that windows look alike; None for its own."""
        if self.window is None and self.reading.is_exact:
            return None
        if pixels.ndim == 3 and pixels.dtype == np.uint8:
            return None
        key = identity(self.array, self.plane)
        return self.ranges.get(key, lambda: sampled_range(self.levels, self.plane))


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

    def logits_for(self, request: PredictRequest, candidate: int) -> NDArray[np.float32] | None:
        """Return a candidate's logits where a request only adds points to this one's; else None."""
        asked, before = request.asked, self.request.asked
        if self.prediction is None or dataclasses.replace(asked, points=before.points) != before:
            return None
        if request.key != self.request.key:
            return None
        count = len(before.points)
        if len(asked.points) <= count or asked.points[:count] != before.points:
            return None
        logits: NDArray[np.float32] = self.prediction.low_res_logits[candidate]
        return logits


def compute(request: PredictRequest) -> PredictAnswer:
    """Answer a request: read the plane, embed it where it is not kept, decode. For any thread."""
    return compute_alike([request.sized()])[0]


def compute_alike(requests: Sequence[PredictRequest]) -> list[PredictAnswer]:
    """Answer requests, `sized`, that look at the same window, in one call of the decoder."""
    embedding = requests[0].embed()
    prompts = [_complete(request, embedding) for request in requests]
    asked = [index for index, one in enumerate(prompts) if not one.is_empty]
    predictions: dict[int, MaskPrediction] = {}
    if asked:
        found = requests[0].predictor.predict(
            embedding,
            [prompts[index] for index in asked],
            closer_look=requests[0].closer_look,
        )
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
    area = polygon2mask(embedding.image_shape, np.array(request.seen.outline))
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
    """Place a prediction for what was read in the whole plane, at full resolution."""
    reading, shape = request.reading, request.plane.shape
    if prediction is None or (request.window is None and reading.is_exact):
        return prediction
    patches = prediction.patches
    if reading.is_exact:
        top, left = prediction.corner
        corner = top + reading.rows[0], left + reading.cols[0]
    else:
        patches, corner = at_full_resolution(patches, prediction.corner, reading, shape)
    placed = dataclasses.replace(prediction, patches=patches, corner=corner, image_shape=shape)
    placed.areas  # noqa: B018  counted here, not on the main thread
    return placed
