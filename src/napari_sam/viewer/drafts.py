"""Many objects at once: one mask for each box or click, or everything in view; as drafts."""

from __future__ import annotations

import functools
import itertools
import time
from collections.abc import Generator, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy import ndimage

from napari_sam.segmentation.everything import EverythingConfig, iter_everything
from napari_sam.segmentation.progress import Progress
from napari_sam.viewer.bounds import Bounds, region_of, union
from napari_sam.viewer.entries import EntryChange, ObjectEntry, ObjectPrompts
from napari_sam.viewer.history import Change
from napari_sam.viewer.labels_output import LabelsOutput, changed_patch
from napari_sam.viewer.layers import Plane, read_array
from napari_sam.viewer.requests import PredictAnswer, PredictRequest, compute_alike

_BATCH = 16
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
    """

    mask: NDArray[np.bool_]
    corner: tuple[int, int]
    prompts: ObjectPrompts | None = None
    candidate: int = 0
    predicted_iou: float | None = None


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
    plane: Plane,
    drafts: Sequence[Draft],
    *,
    origin: str,
    model: str,
) -> Change | None:
    """Return what committing drafts changes: they take background only, the best scored first.

    Parameters
    ----------
    output, plane
        Where they go, and what plane of the image they belong to.
    drafts : sequence of Draft
        Some may be empty or covered: these are left out.
    origin, model : str
        For the objects' entries.

    Returns
    -------
    Change or None
        None where nothing would be written.
    """
    placed: list[tuple[Draft, Bounds, NDArray[np.bool_]]] = []
    for draft in sorted(drafts, key=lambda draft: -(draft.predicted_iou or 0)):
        bounds, found = output.place(plane, draft.mask, draft.corner)
        if found.any():
            placed.append((draft, bounds, found))
    if not placed:
        return None
    whole = functools.reduce(union, [bounds for _, bounds, _ in placed])
    before = output.read(whole)
    after = before.copy()
    output.take(output.next_label() + len(placed))
    label, entries = output.next_label(), []
    now = time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime())
    for draft, bounds, found in placed:
        there = tuple(
            (low - origin_at, high - origin_at)
            for (low, high), (origin_at, _) in zip(bounds, whole, strict=True)
        )
        part = after[region_of(there)]
        free = found & (part == 0)
        if not free.any():
            continue
        part[free] = label
        entries.append(
            ObjectEntry(
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
        )
        label += 1
    patch = changed_patch(whole, before.astype(after.dtype), after)
    if patch is None:
        return None
    changes = tuple(EntryChange(None, entry) for entry in entries)
    return Change(kind=origin, patches=(patch,), entries=changes)
