"""More objects like those that were committed: from the Labels layer to drafts."""

from __future__ import annotations

import dataclasses
from collections.abc import Generator, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import numpy as np

from napari_sam.segmentation.alike import AlikeConfig, AlikeObject, iter_alike
from napari_sam.segmentation.embedding import ImageEmbedding
from napari_sam.segmentation.likeness import better_scale
from napari_sam.segmentation.patches import MaskPatch
from napari_sam.segmentation.progress import Progress
from napari_sam.viewer.drafts import Draft
from napari_sam.viewer.entries import ObjectEntry, ObjectPrompts
from napari_sam.viewer.layers import read_array
from napari_sam.viewer.objects import Objects
from napari_sam.viewer.projection import check_shape
from napari_sam.viewer.requests import PredictRequest, View

if TYPE_CHECKING:
    from napari.layers import Labels


@dataclass(frozen=True, kw_only=True, eq=False)
class AlikeRequest:
    """What is to be found, taken from the viewer at one moment.

    Attributes
    ----------
    request : PredictRequest
        For the plane.
    view : View
        Where it is looked for.
    labels : array
        The data of the Labels layer, of the image's shape.
    examples : tuple of ObjectEntry
        Objects in it.
    config : AlikeConfig
        How.
    """

    request: PredictRequest
    view: View
    labels: Any = field(repr=False)
    examples: tuple[ObjectEntry, ...]
    config: AlikeConfig


def alike_request(
    request: PredictRequest,
    labels: Labels | None,
    objects: Objects,
    label_ids: Sequence[int],
    view: View,
    config: AlikeConfig | None = None,
) -> AlikeRequest:
    """Take down what is to be found; for the main thread.

    Parameters
    ----------
    request : PredictRequest
        For the shown plane.
    labels, objects
        Where the examples are.
    label_ids : sequence of int
        The examples; where there is none, the object that was committed last on the shown plane.
    view : View
        What the canvas shows. A plane that the network sees as a whole is searched as a whole.
    config : AlikeConfig, optional
        Settings.

    Raises
    ------
    ValueError
        If there is no example, or the Labels layer has another shape than the image.
    """
    examples = _examples(objects, label_ids, request)
    if labels is None or not examples:
        raise ValueError(
            "There is no example to go by: commit an object on this slice, or select some in the "
            "table"
        )
    plane = request.plane
    check_shape(request.array, plane, labels)
    whole = ((0, plane.shape[0]), (0, plane.shape[1]))
    return AlikeRequest(
        request=request,
        view=whole if _is_seen_whole(request) else view,
        labels=labels.data,
        examples=tuple(examples),
        config=config or AlikeConfig(),
    )


def iter_alike_in(asked: AlikeRequest) -> Generator[Progress, None, list[Draft]]:
    """Find what is like the examples, as drafts; for a worker thread.

    Raises
    ------
    ValueError
        If no example lies in view.
    """
    yield Progress(0, 1, "Reading")
    seen = (_in_view(asked, entry) for entry in asked.examples)
    examples = [patch for patch in seen if patch is not None]
    if not examples:
        raise ValueError("No example lies in view on this slice; zoom out, or go to where one is")
    yield Progress(0, 1, "Embedding")
    request = asked.request
    embedding = _embedded(request, asked.view, examples)
    found = yield from iter_alike(request.predictor, embedding, examples, asked.config)
    (top, _), (left, _) = asked.view
    return [_draft(one, request).moved(top, left) for one in found]


def _embedded(request: PredictRequest, view: View, examples: Sequence[MaskPatch]) -> ImageEmbedding:
    """Embed the view at a scale that suits the examples."""
    better = better_scale(examples, request.object_diameter)
    if better is None:
        embedding = request.embed_view(view)
        better = better_scale(examples, embedding.object_diameter)
        if better is None:
            return embedding
    return request.embed_view(view, better)


def _examples(
    objects: Objects, label_ids: Sequence[int], request: PredictRequest
) -> list[ObjectEntry]:
    """Return the named objects, or else the one that was committed last on the plane."""
    table = objects.table
    if label_ids:
        return [table[label] for label in label_ids]
    for change in reversed(objects.history.done):
        for entry in change.entries if change.kind == "commit" else ():
            there = () if entry.after is None else entry.after.annotated[-1:]
            if entry.label_id in table and request.plane.index in there:
                return [table[entry.label_id]]
    return []


def _is_seen_whole(request: PredictRequest) -> bool:
    near = dataclasses.replace(request, zoom=0)
    return near.about(ObjectPrompts(plane=request.plane)).window is None


def _in_view(asked: AlikeRequest, entry: ObjectEntry) -> MaskPatch | None:
    """Read the mask of an object on the plane, in pixels of the view; None if it is not all in."""
    plane = asked.request.plane
    sides = [entry.bounds[axis] for axis in plane.axes]  # those of all slices
    region = slice(*sides[0]), slice(*sides[1])
    mask = read_array(asked.labels, plane, region) == entry.label_id
    for axis, (first, stop) in enumerate(asked.view):
        along = np.flatnonzero(mask.any(1 - axis)) + sides[axis][0]
        if not along.size or along[0] < first or along[-1] >= stop:
            return None
    corner = sides[0][0] - asked.view[0][0], sides[1][0] - asked.view[1][0]
    return MaskPatch.cut(mask, corner)


def _draft(found: AlikeObject, request: PredictRequest) -> Draft:
    """Return a draft in pixels of the view."""
    prompts = found.prompts
    return Draft(
        mask=found.patch.mask,
        corner=found.patch.corner,
        prompts=ObjectPrompts(plane=request.plane).with_prompts(
            np.asarray(prompts.points), np.asarray(prompts.point_labels), prompts.box
        ),
        candidate=found.candidate,
        confidence=found.confidence,
    )
