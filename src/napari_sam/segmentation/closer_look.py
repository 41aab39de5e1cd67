"""Answers that take what is cheap to see besides into account: other scales, instances, boxes.

A small network sees best what has the size that it knows. An image is scaled so that its typical
object has that size; the one large cell, or nuclei of a tenth of the area, are then seen less well.
What a box, or a first answer, shows to be of another size is looked at again: the part of the image
around the prompts is embedded at a scale that is off by at most half an octave. What stays doubtful
after a first click or a box is looked at in other ways: mirrored, from a little nearer and further
away. At every scale, what the instance decoder sees under a click or in a box is a hint
(`instance_hints`), and boxes are filled (`box_filling`). To a first click or a box, all candidates
then vote (`majority`); after corrections, the best rated answer stands.
"""

from __future__ import annotations

import dataclasses
import math
import weakref
from collections import defaultdict
from collections.abc import Sequence
from functools import lru_cache
from typing import NamedTuple

import numpy as np
import torch
from numpy.typing import NDArray

from napari_sam.segmentation.box_filling import fill_box
from napari_sam.segmentation.cropped_views import CroppedView
from napari_sam.segmentation.decoding import (
    Window,
    decode_prompts,
    predict_prompts,
    prediction_of,
)
from napari_sam.segmentation.embedder import Embedder
from napari_sam.segmentation.embedding import ImageEmbedding, Picture
from napari_sam.segmentation.evidence import Circumstances, Seen, rate
from napari_sam.segmentation.geometry import fitted_geometry
from napari_sam.segmentation.instance_hints import InstanceHints
from napari_sam.segmentation.majority import majority
from napari_sam.segmentation.prediction import MaskPrediction
from napari_sam.segmentation.prompts import Prompts
from napari_sam.segmentation.tiles import Extent, side_around, tile_around

_MOST_OCTAVES = 3
"""No look is nearer or further than so many octaves."""
_LEAST_GAIN = 1.25
"""Ratio of scales that makes a look worth its while."""
_SIDE = 384
"""Of the part that is looked at, network input pixels; larger for long objects."""
_OTHER_SIDE = 256
"""The same of a look in another way."""
_STEPS = 3
"""Of the grid that parts lie on, on a side."""
_KEPT = 12
_ROUNDS = 5
"""A look can show the object to be of another size again."""
_SURE = 0.9
"""What a first click or a box is answered with is looked at in other ways too if rated less."""
_OTHER_WAYS = (-1 / 3, 1 / 3, 0.0)
"""Octaves from the object's own scale, first nearer, then from further away; all mirrored."""
_DOUBTFUL = 0.6
_BOXED = 0.8
"""IoU that is expected of an instance that a box fits."""
_LEAST_RATING = 0.4
"""Another answer to clicks that is rated less is of no object, but of the ground around it."""


_Way = tuple[float, bool]
"""Octaves from the image's scale and no mirror, or from the object's, mirrored."""


class _Look(NamedTuple):
    """A part of an image, the object diameter (pixels) that it is scaled by, octaves from usual."""

    view: CroppedView
    diameter: float
    octaves: float

    @property
    def circumstances(self) -> Circumstances:
        """How an answer from this look comes about."""
        return Circumstances(self.diameter, self.octaves, self.view.mirrored)


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

    def improve(
        self,
        embedding: ImageEmbedding,
        prompts: Sequence[Prompts],
        answers: Sequence[MaskPrediction],
        kept: slice,
    ) -> list[MaskPrediction]:
        """Return what is made of all that is seen of each object, with and without hints.

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
        found = self.see(embedding, prompts, answers, kept)
        return [answer_of(one, prompt) for one, prompt in zip(found, prompts, strict=True)]

    @torch.inference_mode()
    def see(
        self,
        embedding: ImageEmbedding,
        prompts: Sequence[Prompts],
        answers: Sequence[MaskPrediction],
        kept: slice,
    ) -> list[list[Seen]]:
        """Return all that is seen of each object, the first answer first; else as `improve`."""
        how = Circumstances(embedding.object_diameter or 1.0)
        found = self._hinted(embedding, prompts, answers, kept, how)
        if embedding.picture is None:
            return found
        looked: list[set[_Way]] = [{(0.0, False)} for _ in prompts]
        for _ in range(_ROUNDS):
            best = [best_of(one, prompt) for one, prompt in zip(found, prompts, strict=True)]
            for look, indices in self._looks(embedding, prompts, best, looked).items():
                asked = [prompts[index] for index in indices]
                more = self._answers(embedding, embedding.picture, look, asked, kept)
                for index, seen in zip(indices, more, strict=True):
                    found[index] += seen
        return found

    def _looks(
        self,
        embedding: ImageEmbedding,
        prompts: Sequence[Prompts],
        answers: Sequence[MaskPrediction],
        looked: list[set[_Way]],
    ) -> dict[_Look, list[int]]:
        """Choose what to look at, each with the prompts that it is for; note it in `looked`."""
        looks: dict[_Look, list[int]] = defaultdict(list)
        for index, (prompt, answer) in enumerate(zip(prompts, answers, strict=True)):
            extent = _extent(prompt, answer)
            if extent is not None:
                for look in self._next(embedding, prompt, answer, extent, looked[index]):
                    looks[look].append(index)
        return looks

    def _next(
        self,
        embedding: ImageEmbedding,
        prompt: Prompts,
        answer: MaskPrediction,
        extent: Extent,
        looked: set[_Way],
    ) -> list[_Look]:
        """Choose the next looks for an object: at its own scale, then, if in doubt, other ways."""
        octaves = _octaves(prompt, answer, embedding.object_diameter or 1.0)
        fresh = [float(octave) for octave in octaves if (octave, False) not in looked]
        looked.update((octave, False) for octave in fresh)
        looks = [self._look(embedding, octave, extent) for octave in fresh]
        scaled = [look for look in looks if self._gain(embedding, look) >= _LEAST_GAIN]
        if scaled or answer.rating >= _SURE or not prompt.says_little:
            return scaled
        others = [away for away in _OTHER_WAYS if (away, True) not in looked][:1]
        looked.update((away, True) for away in others)
        return [self._look(embedding, octaves[0] + away, extent, mirrored=True) for away in others]

    def _look(
        self, embedding: ImageEmbedding, octave: float, extent: Extent, *, mirrored: bool = False
    ) -> _Look:
        """Return a part to look at at a scale."""
        config, shape = self._embedder.model.config, embedding.image_shape
        diameter = (embedding.object_diameter or 1.0) * 2.0**octave
        scale = fitted_geometry(config, shape, diameter).scale[0]
        least = _OTHER_SIDE if mirrored else _SIDE
        side = math.ceil(side_around(extent, shape, least / scale))
        tile = tile_around(extent, shape, max(1, side), steps=_STEPS)
        return _Look(CroppedView(tile, mirrored), diameter, octave)

    def _gain(self, embedding: ImageEmbedding, look: _Look) -> float:
        """Return the ratio, 1 or more, of a look's scale and that of the image."""
        shape = look.view.tile.height, look.view.tile.width
        scale = fitted_geometry(self._embedder.model.config, shape, look.diameter).scale[0]
        gain = scale / embedding.geometry.scale[0]
        return max(gain, 1 / gain)

    def _answers(
        self,
        embedding: ImageEmbedding,
        picture: Picture,
        look: _Look,
        prompts: Sequence[Prompts],
        kept: slice,
    ) -> list[list[Seen]]:
        """Answer prompts for an image from a part of it."""
        near = self._embedded(weakref.ref(picture), look)
        moved = [look.view.ask(prompt, embedding, near) for prompt in prompts]
        model = self._embedder.model
        answers = predict_prompts(model, near.tokens, moved, near.geometry, kept)
        return [
            [seen._replace(answer=look.view.place(seen.answer, embedding, near)) for seen in of_one]
            for of_one in self._hinted(near, moved, answers, kept, look.circumstances)
        ]

    def _hinted(
        self,
        embedding: ImageEmbedding,
        prompts: Sequence[Prompts],
        answers: Sequence[MaskPrediction],
        kept: slice,
        how: Circumstances,
    ) -> list[list[Seen]]:
        """Fill boxes, and answer again where there is a hint."""
        model = self._embedder.model

        def seen(answer: MaskPrediction, prompt: Prompts, how: Circumstances) -> Seen:
            return rate(model.rater, _filled(answer, prompt, embedding), prompt, how)

        pairs = zip(answers, prompts, strict=True)
        found = [[seen(answer, prompt, how)] for answer, prompt in pairs]
        hints = {
            index: hint
            for index, prompt in enumerate(prompts)
            if (hint := self._hints.find(embedding, prompt)) is not None
        }
        hinted = list(hints)
        again = [dataclasses.replace(prompts[index], mask_input=hints[index]) for index in hinted]
        for row, window in decode_prompts(model, embedding.tokens, again, embedding.geometry):
            index = hinted[row]
            hint, prompt = hints[index], prompts[index]
            place = -1 if prompt.box is None else int(window.predicted_iou[kept].argmin())
            given = window if place < 0 else _with_hint(window, hint, place + (kept.start or 0))
            answer = prediction_of(given, embedding.geometry, kept, prompt.box)
            found[index].append(seen(answer, prompt, how._replace(hinted=True, hint=place)))
        return found

    def _embed_part(self, known: weakref.ref[Picture], look: _Look) -> ImageEmbedding:
        """Embed a part; to remember it keeps no image that is needed no more."""
        picture = known()
        if picture is None:
            raise ReferenceError("The picture of this part is gone")
        return self._embedder.embed(
            look.view.cut(picture.image),
            contrast_limits=picture.contrast_limits,
            object_diameter=look.diameter,
        )


def _with_hint(window: Window, hint: NDArray[np.float32], place: int) -> Window:
    """Let a hint (h, w) be one of an answer's masks."""
    logits, expected = window.logits.clone(), window.predicted_iou.clone()
    (top, left), (height, width) = window.corner, logits.shape[-2:]
    logits[place] = torch.from_numpy(hint[top : top + height, left : left + width])
    expected[place] = _BOXED
    return window._replace(logits=logits, predicted_iou=expected)


def best_of(found: Sequence[Seen], prompt: Prompts) -> MaskPrediction:
    """Return the best rated answer; others to clicks than the first must be of an object."""
    best = found[0].answer
    for other in found[1:]:
        if other.answer.rating > max(best.rating, _least(prompt)):
            best = other.answer
    return best


def _least(prompt: Prompts) -> float:
    return _LEAST_RATING if prompt.box is None else 0.0


def answer_of(found: Sequence[Seen], prompt: Prompts) -> MaskPrediction:
    """Return what is shown: to a first click or a box, what most of all that was seen agree on.

    Corrections say what is meant; the best rated answer to these stands as it is.
    """
    best = best_of(found, prompt)
    if not prompt.says_little or best.rating <= _least(prompt):
        return best
    return majority([seen.answer for seen in found])


def _filled(answer: MaskPrediction, prompt: Prompts, embedding: ImageEmbedding) -> MaskPrediction:
    """Let the answer to a box alone fill it."""
    if prompt.box is None or prompt.points is not None:
        return answer
    return fill_box(answer, prompt.box, embedding.geometry)


def _octaves(prompt: Prompts, answer: MaskPrediction, usual: float) -> list[int]:
    """Return the scales, in octaves from that of the usual diameter, that suit an object.

    Its size is that of the box, or else of the best mask. Masks that little is expected of are
    often the middle of something larger, so what the largest is part of is looked for, too.
    """
    if prompt.box is not None:
        top, left, bottom, right = np.asarray(prompt.box)
        return [_octave(math.sqrt((bottom - top + 1) * (right - left + 1)), usual)]
    own, largest = (
        2 * math.sqrt(float(area) / math.pi)
        for area in (answer.areas[answer.best], answer.areas.max())
    )
    wanted = [_octave(own, usual)]
    if answer.rating < _DOUBTFUL:
        wanted.append(_octave(2 * largest, usual))
    return wanted


def _octave(diameter: float, usual: float) -> int:
    octave = round(math.log2(max(diameter, 1.0) / usual))
    return max(-_MOST_OCTAVES, min(octave, _MOST_OCTAVES))


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
