"""Answers that take what is cheap to see besides into account: other scales, instances, boxes.

A small network sees best what has the size that it knows. An image is scaled so that its typical
object has that size; the one large cell, or nuclei of a tenth of the area, are then seen less well.
What a box, or a first answer, shows to be of another size is looked at again: the part of the image
around the prompts is embedded at a scale that is off by at most half an octave, and the better
rated of both answers stands. At every scale, what the instance decoder sees under a click or in a
box is a hint (`instance_hints`), and boxes are filled (`box_filling`).
"""

from __future__ import annotations

import dataclasses
import math
from collections import defaultdict
from collections.abc import Sequence
from functools import lru_cache
from typing import NamedTuple

import numpy as np
import torch
from numpy.typing import NDArray
from scipy import ndimage

from napari_sam.segmentation.box_filling import fill_box
from napari_sam.segmentation.decoding import Window, decode_prompts, prediction_of
from napari_sam.segmentation.embedder import Embedder
from napari_sam.segmentation.embedding import ImageEmbedding, Picture
from napari_sam.segmentation.fit import fitted_geometry
from napari_sam.segmentation.instance_hints import InstanceHints
from napari_sam.segmentation.prediction import NOTHING, MaskPrediction
from napari_sam.segmentation.prompts import Prompts
from napari_sam.segmentation.tiles import Extent, Tile, side_around, tile_around

_MOST_OCTAVES = 3
"""No look is nearer or further than so many octaves."""
_LEAST_GAIN = 1.25
"""Ratio of scales that makes a look worth its while."""
_SIDE = 384
"""Of the part that is looked at, network input pixels; larger for long objects."""
_STEPS = 3
"""Of the grid that parts lie on, on a side."""
_KEPT = 12
_ROUNDS = 2
"""A look can show the object to be of another size again."""
_DOUBTFUL = 0.6
_BOXED = 0.8
"""IoU that is expected of an instance that a box fits."""
_LEAST_RATING = 0.4
"""Another answer to clicks that is rated less is of no object, but of the ground around it."""


class _Look(NamedTuple):
    """A part of an image, and the object diameter (pixels) that it is scaled by."""

    tile: Tile
    diameter: float


class CloserLook:
    """Answers prompts again from hints, and where the object's size asks for another scale.

    Parameters
    ----------
    embedder : Embedder
        The network that answered first.
    """

    def __init__(self, embedder: Embedder) -> None:
        self._embedder = embedder
        self._hints = InstanceHints(embedder)
        self._embedded = lru_cache(_KEPT)(self._embed_part)

    def __reduce__(self) -> tuple[type[CloserLook], tuple[Embedder]]:
        """Go to another process without what is kept."""
        return CloserLook, (self._embedder,)

    @torch.inference_mode()
    def improve(
        self,
        embedding: ImageEmbedding,
        prompts: Sequence[Prompts],
        answers: Sequence[MaskPrediction],
        kept: slice,
    ) -> list[MaskPrediction]:
        """Return the best rated of what is seen of each object, with and without hints.

        Parameters
        ----------
        embedding : ImageEmbedding
            Of the image; without its picture, nothing is looked at again.
        prompts, answers : sequence
            What was asked, and the first answers.
        kept : slice
            Of the decoder's masks.

        Returns
        -------
        list of MaskPrediction
            In the order of the prompts.
        """
        if embedding.object_diameter is None:
            return list(answers)
        best = self._hinted(embedding, prompts, answers, kept)
        if embedding.picture is None:
            return best
        looked: list[set[int]] = [{0} for _ in prompts]
        for _ in range(_ROUNDS):
            for look, indices in self._looks(embedding, prompts, best, looked).items():
                asked = [prompts[index] for index in indices]
                seen = self._answers(embedding, embedding.picture, look, asked, kept)
                for index, answer in zip(indices, seen, strict=True):
                    best[index] = _better(best[index], answer, prompts[index])
        return best

    def _looks(
        self,
        embedding: ImageEmbedding,
        prompts: Sequence[Prompts],
        answers: Sequence[MaskPrediction],
        looked: list[set[int]],
    ) -> dict[_Look, list[int]]:
        """Choose what to look at, each with the prompts that it is for; note it in `looked`."""
        looks: dict[_Look, list[int]] = defaultdict(list)
        for index, (prompt, answer) in enumerate(zip(prompts, answers, strict=True)):
            extent = _extent(prompt, answer)
            if extent is None:
                continue
            octaves = set(_octaves(prompt, answer, embedding.object_diameter or 1.0))
            for octave in sorted(octaves - looked[index]):
                looked[index].add(octave)
                look = self._look(embedding, octave, extent)
                if look is not None:
                    looks[look].append(index)
        return looks

    def _look(self, embedding: ImageEmbedding, octave: int, extent: Extent) -> _Look | None:
        """Return a part to look at at a scale; None where the image was seen at about the same."""
        config, shape = self._embedder.model.config, embedding.image_shape
        diameter = (embedding.object_diameter or 1.0) * 2.0**octave
        scale = fitted_geometry(config, shape, diameter).scale[0]
        side = math.ceil(side_around(extent, shape, _SIDE / scale))
        tile = tile_around(extent, shape, max(1, side), steps=_STEPS)
        scale = fitted_geometry(config, (tile.height, tile.width), diameter).scale[0]
        gain = scale / embedding.geometry.scale[0]
        return _Look(tile, diameter) if max(gain, 1 / gain) >= _LEAST_GAIN else None

    def _answers(
        self,
        embedding: ImageEmbedding,
        picture: Picture,
        look: _Look,
        prompts: Sequence[Prompts],
        kept: slice,
    ) -> list[MaskPrediction]:
        """Answer prompts for an image from a part of it."""
        near = self._embedded(picture, look)
        moved = [_moved(prompt, embedding, near, look.tile) for prompt in prompts]
        windows = decode_prompts(self._embedder.model, near.tokens, moved, near.geometry)
        seen = [
            prediction_of(window, near.geometry, kept, prompt.box)
            for window, prompt in zip(windows, moved, strict=True)
        ]
        hinted = self._hinted(near, moved, seen, kept)
        return [_placed(one, embedding, near, look.tile) for one in hinted]

    def _hinted(
        self,
        embedding: ImageEmbedding,
        prompts: Sequence[Prompts],
        answers: Sequence[MaskPrediction],
        kept: slice,
    ) -> list[MaskPrediction]:
        """Fill boxes, and answer again where there is a hint; the better rated answer stands."""
        best = [_filled(*one, embedding) for one in zip(answers, prompts, strict=True)]
        hints = {
            index: hint
            for index, prompt in enumerate(prompts)
            if (hint := self._hints.find(embedding, prompt)) is not None
        }
        again = [dataclasses.replace(prompts[index], mask_input=hints[index]) for index in hints]
        windows = decode_prompts(self._embedder.model, embedding.tokens, again, embedding.geometry)
        for index, window, prompt in zip(hints, windows, again, strict=True):
            seen = window if prompt.box is None else _with_hint(window, hints[index], kept)
            answer = prediction_of(seen, embedding.geometry, kept, prompt.box)
            best[index] = _better(best[index], _filled(answer, prompt, embedding), prompt)
        return best

    def _embed_part(self, picture: Picture, look: _Look) -> ImageEmbedding:
        return self._embedder.embed(
            picture.image[look.tile.region],
            contrast_limits=picture.contrast_limits,
            object_diameter=look.diameter,
        )


def _rating(answer: MaskPrediction) -> float:
    return float(answer.ratings.max())


def _with_hint(window: Window, hint: NDArray[np.float32], kept: slice) -> Window:
    """Let a hint (h, w) be the least expected of an answer's masks."""
    logits, expected = window.logits.clone(), window.predicted_iou.clone()
    least = range(len(expected))[kept][int(expected[kept].argmin())]
    (top, left), (height, width) = window.corner, logits.shape[-2:]
    logits[least] = torch.from_numpy(hint[top : top + height, left : left + width])
    expected[least] = _BOXED
    return window._replace(logits=logits, predicted_iou=expected)


def _better(best: MaskPrediction, answer: MaskPrediction, prompt: Prompts) -> MaskPrediction:
    """Return the better rated answer; what clicks are answered with anew must be of an object."""
    to_beat = max(_rating(best), _LEAST_RATING if prompt.box is None else 0.0)
    return answer if _rating(answer) > to_beat else best


def _filled(answer: MaskPrediction, prompt: Prompts, embedding: ImageEmbedding) -> MaskPrediction:
    """Let the answer to a box alone fill it."""
    if prompt.box is None or prompt.points is not None:
        return answer
    return fill_box(answer, prompt.box, embedding.geometry)


def _octaves(prompt: Prompts, answer: MaskPrediction, usual: float) -> list[int]:
    """Return the scales, in octaves from that of the usual diameter, that suit an object.

    Its size is that of the box, or else of the best mask. Masks that little is expected of are
    often the middle of something larger, so these are also looked at from further away.
    """
    if prompt.box is not None:
        top, left, bottom, right = np.asarray(prompt.box)
        diameter = math.sqrt((bottom - top + 1) * (right - left + 1))
    else:
        diameter = 2 * math.sqrt(float(answer.areas[answer.best]) / math.pi)
    octave = round(math.log2(max(diameter, 1.0) / usual))
    wanted = [octave]
    if prompt.box is None and _rating(answer) < _DOUBTFUL:
        wanted.append(octave + 1)
    return [max(-_MOST_OCTAVES, min(one, _MOST_OCTAVES)) for one in wanted]


def _extent(prompt: Prompts, answer: MaskPrediction) -> Extent | None:
    """Return the bounds of points, box and best mask; None where there is nothing of these.

    (row_min, col_min, row_max, col_max), pixels.
    """
    given = [
        np.asarray(part).reshape(-1, 2) for part in (prompt.points, prompt.box) if part is not None
    ]
    found = np.argwhere(answer.patches[answer.best])
    if len(found):
        given.append(np.array([found.min(0), found.max(0)]) + answer.corner)
    if not given:
        return None
    corners = np.concatenate(given)
    (top, left), (bottom, right) = corners.min(0).tolist(), corners.max(0).tolist()
    return top, left, bottom, right


def _moved(prompt: Prompts, whole: ImageEmbedding, near: ImageEmbedding, tile: Tile) -> Prompts:
    """Return prompts for an image in the pixels of a part, its mask as logits of that."""
    moved = prompt.moved(-tile.top, -tile.left)
    if moved.mask_input is None:
        return moved
    places = [
        _centres(near, axis, np.arange(near.low_res_shape[axis])) + tile[axis] for axis in (0, 1)
    ]
    logits = _sampled(
        np.asarray(moved.mask_input)[None],
        [_indices(whole, axis, place) for axis, place in enumerate(places)],
    )
    return dataclasses.replace(moved, mask_input=logits[0])


def _placed(
    seen: MaskPrediction, whole: ImageEmbedding, near: ImageEmbedding, tile: Tile
) -> MaskPrediction:
    """Bring an answer for a part of an image into the image, its logits into the image's own."""
    corner, indices = [], []
    for axis in (0, 1):
        first, count = seen.window_corner[axis], seen.window_logits.shape[1 + axis]
        ends = _centres(near, axis, np.array([first, first + count - 1])) + tile[axis]
        low, high = _indices(whole, axis, ends)
        last = whole.low_res_shape[axis] - 1
        own = np.arange(max(0, math.ceil(low)), min(last, math.floor(high)) + 1)
        corner.append(int(own[0]) if len(own) else 0)
        indices.append(_indices(near, axis, _centres(whole, axis, own) - tile[axis]) - first)
    row, col = seen.corner
    return dataclasses.replace(
        seen,
        corner=(row + tile.top, col + tile.left),
        image_shape=whole.image_shape,
        window_logits=_sampled(seen.window_logits, indices),
        window_corner=(corner[0], corner[1]),
        low_res_shape=whole.low_res_shape,
    )


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
