"""How one image is looked at: requests at the zoom of the canvas, and what earlier ones left."""

from __future__ import annotations

import dataclasses
from typing import TYPE_CHECKING, Any

from napari_sam.segmentation.embedding import ImageEmbedding
from napari_sam.viewer.bounded_cache import BoundedCache
from napari_sam.viewer.entries import ObjectPrompts
from napari_sam.viewer.layers import Plane, levels_of, shown_plane, visible_centre, visible_side
from napari_sam.viewer.requests import PredictAnswer, PredictRequest
from napari_sam.viewer.windows import zoom_of

if TYPE_CHECKING:
    from napari.components import ViewerModel
    from napari.layers import Image

    from napari_sam.segmentation.predictor import Predictor


class Looks:
    """Makes the requests of one session; for the main thread.

    Parameters
    ----------
    viewer : ViewerModel
        Shows the image.
    image : Image
        What is looked at.
    predictor : Predictor
        Who looks.

    Attributes
    ----------
    seen : float or None
        Longer side of what is looked at, full-resolution pixels; None takes what the canvas shows,
        and full resolution where there is no canvas.
    """

    def __init__(self, viewer: ViewerModel, image: Image, predictor: Predictor) -> None:
        self._viewer = viewer
        self._image = image
        self._predictor = predictor
        self._embeddings: BoundedCache[ImageEmbedding] = BoundedCache()
        self._ranges: BoundedCache[tuple[float, float]] = BoundedCache()
        self._sizes: BoundedCache[float] = BoundedCache(16)
        self._diameter: float | None = None
        self.seen: float | None = None

    @property
    def object_diameter(self) -> float | None:
        """Typical object, pixels: as set, or as estimated at the zoom of the canvas."""
        plane = shown_plane(self._viewer, self._image)
        return self._diameter or self._request(ObjectPrompts(plane=plane), plane).diameter

    @object_diameter.setter
    def object_diameter(self, diameter: float | None) -> None:
        self._diameter = diameter
        for kept in (self._embeddings, self._sizes):
            kept.clear()

    def forget(self) -> None:
        """Forget all that was seen: the image changed."""
        self.object_diameter = None
        self._ranges.clear()

    def request(
        self, asked: ObjectPrompts, serial: int = 0, uncounted: Any = None
    ) -> PredictRequest:
        """Return a request about an object, or about the shown plane."""
        plane = asked.plane or shown_plane(self._viewer, self._image)
        request = self._request(asked, plane)
        return dataclasses.replace(request, serial=serial, uncounted=uncounted).about(asked)

    def following(
        self, request: PredictRequest, answer: PredictAnswer | None, candidate: int
    ) -> PredictRequest:
        """Return the request with a candidate's logits, where it only adds points to an answer."""
        logits = None if answer is None else answer.logits_for(request, candidate)
        return dataclasses.replace(request, mask_input=logits)

    def ahead(self, steps: int) -> PredictRequest | None:
        """Return a request to embed a slice `steps` on; None at the end, or where it is kept.

        Of a large plane it looks where the camera does, and is good for nothing but embedding.
        """
        plane = shown_plane(self._viewer, self._image)
        here = visible_centre(self._viewer, self._image, plane)
        about = ObjectPrompts(plane=plane).with_point(here, foreground=True)
        request: PredictRequest | None = self.request(about)
        if steps and request is not None:
            request = request.neighbour(steps)
        return None if request is None or request.is_embedded else request

    def _request(self, asked: ObjectPrompts, plane: Plane) -> PredictRequest:
        seen = self.seen or visible_side(self._viewer, self._image, plane)
        return PredictRequest(
            serial=0,
            plane=plane,
            levels=levels_of(self._image),
            asked=asked,
            predictor=self._predictor,
            cache=self._embeddings,
            ranges=self._ranges,
            sizes=self._sizes,
            object_diameter=self._diameter,
            zoom=zoom_of(seen, self._predictor.field_of_view()),
        )
