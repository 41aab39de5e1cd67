"""Many objects at once: one mask for each box or click, or everything in view; as drafts."""

from __future__ import annotations

import dataclasses
import functools
import itertools
from collections.abc import Generator, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy import ndimage
from skimage.measure import find_contours

from napari_sam.segmentation.everything import EverythingConfig, iter_everything
from napari_sam.segmentation.progress import Progress
from napari_sam.viewer.bounds import region_within, union
from napari_sam.viewer.entries import (
    EntryChange,
    ObjectEntry,
    ObjectPrompts,
    ObjectTable,
    utc_now,
)
from napari_sam.viewer.history import Change
from napari_sam.viewer.labels_output import LabelsOutput, changed_patch
from napari_sam.viewer.layers import Plane, read_array
from napari_sam.viewer.requests import PredictAnswer, PredictRequest, compute, compute_alike

_BATCH = 16
_SMALLEST = 4
_CORNERS = 64
View = tuple[tuple[int, int], tuple[int, int]]
"""First and one past the last row, then column, of a part of a plane."""


@dataclass(frozen=True, kw_only=True, eq=False)
class Draft:
    """A mask that is to become an object.

    Attributes
    ----------
    mask, corner
        (h, w) bool, and the (row, col) of its first pixel in the plane.
    prompts : ObjectPrompts or None
        What it was made from.
    candidate : int
        Which of the candidates it is.
    predicted_iou : float or None
        What the model expects of it.
    label_id : int or None
        The object whose pixels it replaces; None makes a new one.
    replaced : Draft or None
        Where those pixels are on this plane.
    """

    mask: NDArray[np.bool_]
    corner: tuple[int, int]
    prompts: ObjectPrompts | None = None
    candidate: int = 0
    predicted_iou: float | None = None
    label_id: int | None = None
    replaced: Draft | None = None


def each_alone(
    prompts: ObjectPrompts, boxes: Sequence[NDArray[np.floating]]
) -> list[ObjectPrompts]:
    """Return the prompts of one object for each box, and for each positive point.

    Negative points count for all of the points' objects.
    """
    empty = ObjectPrompts(plane=prompts.plane)
    outside = tuple(point for point in prompts.points if not point[2])
    alone = [empty.with_box(box) for box in boxes]
    for row, col, inside in prompts.points:
        if inside:
            one = empty.with_point((row, col), foreground=True)
            alone.append(ObjectPrompts(plane=one.plane, points=(*one.points, *outside)))
    return alone


def iter_each(
    request: PredictRequest, prompts: Sequence[ObjectPrompts]
) -> Generator[Progress, None, list[Draft]]:
    """Answer the prompts of many objects in batches; for a worker thread."""
    yield Progress(0, len(prompts), "Embedding")
    drafts: list[Draft] = []
    asked = sorted([request.about(one) for one in prompts], key=lambda one: one.window or ())
    for _, alike in itertools.groupby(asked, key=lambda one: one.window):
        together = list(alike)
        for start in range(0, len(together), _BATCH):
            answers = compute_alike(together[start : start + _BATCH])
            drafts += [_draft(answer) for answer in answers]
            yield Progress(len(drafts), len(prompts), "Decoding")
    return drafts


def _draft(answer: PredictAnswer) -> Draft:
    prediction = answer.prediction
    if prediction is None:
        raise ValueError("A draft needs at least a point or a box")
    best = prediction.best
    return Draft(
        mask=prediction.patches[best],
        corner=prediction.corner,
        prompts=answer.request.asked,
        candidate=best,
        predicted_iou=float(prediction.predicted_iou[best]),
    )


def iter_refine(
    request: PredictRequest, labels: NDArray[np.integer]
) -> Generator[Progress, None, list[Draft]]:
    """Give every object of a slice back to the decoder as a mask prompt; for a worker thread.

    Parameters
    ----------
    request : PredictRequest
        For the plane.
    labels : ndarray
        (H, W) of the plane, from any tool; 0 is background.
    """
    found = [
        (label, box)
        for label, box in zip(*_objects(labels), strict=True)
        if (labels[box] == label).sum() >= _SMALLEST
    ]
    drafts: list[Draft] = []
    for start in range(0, len(found), _BATCH):
        batch = found[start : start + _BATCH]
        for label, box in batch:
            old = Draft(mask=labels[box] == label, corner=(box[0].start, box[1].start))
            draft = _draft(compute(request.about(_outlined(old, request))))
            drafts.append(
                dataclasses.replace(draft, label_id=int(label), replaced=old, prompts=None)
            )
        yield Progress(len(drafts), len(found), "Refining")
    return drafts


def _objects(
    labels: NDArray[np.integer],
) -> tuple[list[int], list[tuple[slice, slice]]]:
    """Return the labels of an image and the boxes of their pixels, whatever their size."""
    values, numbers = np.unique(labels, return_inverse=True)
    boxes = ndimage.find_objects(numbers.reshape(labels.shape) + 1)
    pairs = [(int(v), box) for v, box in zip(values, boxes, strict=True) if v]
    return [label for label, _ in pairs], [box for _, box in pairs]


def _outlined(old: Draft, request: PredictRequest) -> ObjectPrompts:
    """Return an object's outline as a lasso around it."""
    contour = max(find_contours(np.pad(old.mask, 1).astype(float), 0.5), key=len) - 1
    thinned = contour[:: max(1, len(contour) // _CORNERS)] + np.array(old.corner)
    return ObjectPrompts(plane=request.plane).with_outline(thinned)


def iter_everything_in(
    request: PredictRequest, view: View, config: EverythingConfig
) -> Generator[Progress, None, list[Draft]]:
    """Find every object in a part of the plane; for a worker thread."""
    yield Progress(0, 1, "Reading")
    (top, bottom), (left, right) = view
    image = read_array(request.array, request.plane)[top:bottom, left:right]
    labels = yield from iter_everything(request.predictor, image, config)
    drafts = []
    for label, box in enumerate(ndimage.find_objects(labels), start=1):
        if box is not None:
            corner = (top + box[0].start, left + box[1].start)
            drafts.append(Draft(mask=labels[box] == label, corner=corner))
    return drafts


def drafts_change(
    output: LabelsOutput,
    table: ObjectTable,
    plane: Plane,
    drafts: Sequence[Draft],
    *,
    origin: str,
    model: str,
) -> Change | None:
    """Return what committing drafts changes: they take background only, the best scored first.

    Parameters
    ----------
    output, table, plane
        Where they go, what is known there, and what plane of the image they belong to.
    drafts : sequence of Draft
        Some may be empty or covered: these are left out.
    origin, model : str
        For the objects' entries.

    Returns
    -------
    Change or None
        None where nothing would be written.
    """
    ranked = sorted(drafts, key=lambda draft: -(draft.predicted_iou or 0))
    placed = [(draft, output.place(plane, draft.mask, draft.corner)) for draft in ranked]
    placed = [(draft, there) for draft, there in placed if there[1].any()]
    cleared = {
        draft.label_id: output.place(plane, draft.replaced.mask, draft.replaced.corner)
        for draft, _ in placed
        if draft.replaced is not None
    }
    if not placed:
        return None
    everywhere = [bounds for _, (bounds, _) in placed] + [bounds for bounds, _ in cleared.values()]
    whole = functools.reduce(union, everywhere)
    first, new = output.next_label(), sum(draft.label_id is None for draft, _ in placed)
    if new:
        output.take(first + new - 1)
    before = output.read(whole)
    after = before.copy()
    fresh, entries, now = itertools.count(first), [], utc_now()
    for draft, (bounds, found) in placed:
        part = after[region_within(bounds, whole)]
        label = draft.label_id or next(fresh)
        free = found & ((part == 0) | (part == label))
        if not free.any():
            continue
        if label in cleared:
            own, was = cleared[label]
            old = after[region_within(own, whole)]
            old[was & (old == label)] = 0
        part[free] = label
        entry = ObjectEntry(
            label_id=label,
            bounds=bounds,
            prompts=draft.prompts,
            origin=origin,
            model=model,
            candidate=draft.candidate,
            predicted_iou=draft.predicted_iou,
            area=int(free.sum()),
            time=now,
        )
        entries.append(_change_of(table, entry))
    patch = changed_patch(whole, before, after)
    patches = () if patch is None else (patch,)
    return Change(kind=origin, patches=patches, entries=tuple(entries)) if entries else None


def _change_of(table: ObjectTable, entry: ObjectEntry) -> EntryChange:
    """Return what a new entry changes; an object that is known keeps what a person said of it."""
    known = table.entries.get(entry.label_id)
    if known is None:
        return EntryChange(None, entry)
    kept = dataclasses.replace(
        entry.covering(known.bounds),
        category=known.category,
        annotated=known.annotated,
        stops=known.stops,
    )
    return EntryChange(known, kept)
