"""A part of an image that is looked at by itself: prompts into it, and answers out of it."""

from __future__ import annotations

import dataclasses
import math
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray
from scipy import ndimage

from napari_sam.segmentation.embedding import ImageEmbedding
from napari_sam.segmentation.prediction import NOTHING, MaskPrediction
from napari_sam.segmentation.prompts import Prompts
from napari_sam.segmentation.tiles import Tile

_COLUMNS = 1


class CroppedView(NamedTuple):
    """A part of an image, and whether it is seen mirrored, left to right.

    Its methods take the embedding of the `whole` image, and of the part as it is seen, `near`.
    """

    tile: Tile
    mirrored: bool = False

    def cut(self, image: NDArray[Any]) -> NDArray[Any]:
        """Cut the part out of an image (H, W, ...)."""
        part = image[self.tile.region]
        return part[:, ::-1] if self.mirrored else part

    def ask(self, prompt: Prompts, whole: ImageEmbedding, near: ImageEmbedding) -> Prompts:
        """Return prompts for the image as prompts for the part, a mask as logits of that."""
        moved = prompt.moved(-self.tile.top, -self.tile.left)
        if self.mirrored:
            moved = moved.mirrored(self.tile.width)
        if moved.mask_input is None:
            return moved
        indices = []
        for axis in (0, 1):
            centres = _centres(near, axis, np.arange(near.low_res_shape[axis]))
            indices.append(_indices(whole, axis, self._turn(axis, centres) + self.tile[axis]))
        logits = _sampled(np.asarray(moved.mask_input)[None], indices)
        return dataclasses.replace(moved, mask_input=logits[0])

    def place(
        self, seen: MaskPrediction, whole: ImageEmbedding, near: ImageEmbedding
    ) -> MaskPrediction:
        """Bring an answer for the part into the image, its logits into the image's own."""
        corner, indices = [], []
        for axis in (0, 1):
            first, count = seen.window_corner[axis], seen.window_logits.shape[1 + axis]
            ends = self._turn(axis, _centres(near, axis, np.array([first, first + count - 1])))
            low, high = sorted(_indices(whole, axis, ends + self.tile[axis]))
            last = whole.low_res_shape[axis] - 1
            own = np.arange(max(0, math.ceil(low)), min(last, math.floor(high)) + 1)
            corner.append(int(own[0]) if len(own) else 0)
            places = self._turn(axis, _centres(whole, axis, own) - self.tile[axis])
            indices.append(_indices(near, axis, places) - first)
        row, col = seen.corner
        patches = seen.patches
        if self.mirrored:
            patches = np.ascontiguousarray(patches[..., ::-1])
            col = self.tile.width - col - patches.shape[2]
        return dataclasses.replace(
            seen,
            patches=patches,
            corner=(row + self.tile.top, col + self.tile.left),
            image_shape=whole.image_shape,
            window_logits=_sampled(seen.window_logits, indices),
            window_corner=(corner[0], corner[1]),
            low_res_shape=whole.low_res_shape,
        )

    def _turn(self, axis: int, places: NDArray[np.float64]) -> NDArray[np.float64]:
        """Mirror places in the part, pixels on an axis, if it is seen mirrored; either way."""
        return self.tile.width - 1 - places if self.mirrored and axis == _COLUMNS else places


def _centres(
    embedding: ImageEmbedding, axis: int, indices: NDArray[np.integer]
) -> NDArray[np.float64]:
    """Return where the centres of low-resolution pixels lie in the embedded image."""
    return np.asarray((indices + 0.5) * _per_logit(embedding)[axis] - 0.5, np.float64)


def _indices(
    embedding: ImageEmbedding, axis: int, places: NDArray[np.float64]
) -> NDArray[np.float64]:
    """Return the low-resolution pixels, with fractions, of places in the embedded image."""
    return np.asarray((places + 0.5) / _per_logit(embedding)[axis] - 0.5, np.float64)


def _per_logit(embedding: ImageEmbedding) -> tuple[float, float]:
    return embedding.geometry.pixels_per_logit(embedding.low_res_shape)


def _sampled(
    logits: NDArray[np.float32], indices: list[NDArray[np.float64]]
) -> NDArray[np.float32]:
    """Interpolate logits (M, k, l) at rows and columns; beyond them is nothing."""
    rows, cols = np.meshgrid(*indices, indexing="ij")
    sampled = [
        ndimage.map_coordinates(one, (rows, cols), order=1, mode="constant", cval=NOTHING)
        for one in logits
    ]
    return np.asarray(sampled, np.float32)
