"""Many objects at once: one mask for each box or click, or everything in view; as drafts."""

from __future__ import annotations

import dataclasses
import functools
import itertools
from collections.abc import Generator, Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray
from skimage.measure import find_contours

from napari_sam.segmentation.doubt import Confidence, confidence_in, iter_confidence
from napari_sam.segmentation.everything import EverythingConfig, iter_everything
from napari_sam.segmentation.patches import MaskPatch, occurring, patches_of
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
from napari_sam.viewer.requests import (
    PredictAnswer,
    PredictRequest,
    View,
    compute,
    compute_alike,
)

_BATCH = 16
_SMALLEST = 4
_CORNERS = 64
_COVERED = 0.5
"""A new mask of which no more than this share is background is an object that is there already."""


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
    confidence : Confidence or None
        What the model tells of it.
    label_id : int or None
        The object whose pixels it replaces; None makes a new one.
    replaced : Draft or None
        Where those pixels are on this plane.
    """

    mask: NDArray[np.bool_]
    corner: tuple[int, int]
    prompts: ObjectPrompts | None = None
    candidate: int = 0
    confidence: Confidence | None = None
    label_id: int | None = None
    replaced: Draft | None = None

    @property
    def doubt(self) -> float:
        """How much it is to be doubted, 0 ... 1; 0 where the model told nothing of it."""
        return 0.0 if self.confidence is None else self.confidence.doubt

    def moved(self, down: int, right: int) -> Draft:
        """Return it moved by rows and columns, with its prompts."""
        prompts = None if self.prompts is None else self.prompts.moved(-down, -right)
        corner = (self.corner[0] + down, self.corner[1] + right)
        return dataclasses.replace(self, corner=corner, prompts=prompts)

    @property
    def scores(self) -> dict[str, Any]:
        """What the model tells of it, by the names that an entry has for it."""
        return {} if self.confidence is None else dataclasses.asdict(self.confidence)


class Written(NamedTuple):
    """What came of drafts.

    Attributes
    ----------
    objects : int
        How many became objects.
    left : int
        Places of drafts that were doubted too much, and that no object covers: for a person.
    """

    objects: int
    left: int


def part_by_doubt(drafts: Sequence[Draft], most: float) -> tuple[list[Draft], list[Draft]]:
    """Part drafts into those that are to be doubted at most so much, and the others."""
    sure = [draft for draft in drafts if draft.doubt <= most]
    return sure, [draft for draft in drafts if draft.doubt > most]


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
    request = request.sized()
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
    patch = MaskPatch.cut(prediction.patches[best], prediction.corner)
    return Draft(
        mask=patch.mask,
        corner=patch.corner,
        prompts=answer.request.asked,
        candidate=best,
        confidence=confidence_in(patch, prediction) if patch.area else None,
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
    found = [one for one in occurring(labels) if one.area >= _SMALLEST]
    drafts: list[Draft] = []
    for start in range(0, len(found), _BATCH):
        batch = found[start : start + _BATCH]
        for label, box, _ in batch:
            old = Draft(mask=labels[box] == label, corner=(box[0].start, box[1].start))
            draft = _draft(compute(request.about(_outlined(old, request))))
            drafts.append(dataclasses.replace(draft, label_id=label, replaced=old, prompts=None))
        yield Progress(len(drafts), len(found), "Refining")
    return drafts


def _outlined(old: Draft, request: PredictRequest) -> ObjectPrompts:
    """Return an object's outline as a lasso around it."""
    contour = max(find_contours(np.pad(old.mask, 1).astype(float), 0.5), key=len) - 1
    thinned = contour[:: max(1, len(contour) // _CORNERS)] + np.array(old.corner)
    return ObjectPrompts(plane=request.plane).with_outline(thinned)


def iter_everything_in(
    request: PredictRequest, view: View, config: EverythingConfig
) -> Generator[Progress, None, list[Draft]]:
    """Find every object in a part of the plane, and judge it; for a worker thread."""
    yield Progress(0, 1, "Reading")
    (top, bottom), (left, right) = view
    part = slice(top, bottom), slice(left, right)
    image = read_array(request.array, request.plane, part)
    labels = yield from iter_everything(request.predictor, image, config)
    patches = [patch.shifted(top, left) for patch in patches_of(labels)]
    return (yield from _iter_judged(request, patches))


def _iter_judged(
    request: PredictRequest, patches: Sequence[MaskPatch]
) -> Generator[Progress, None, list[Draft]]:
    """Ask the mask decoder what it thinks of masks of the plane; those of one window together."""
    drafts: list[Draft] = []
    request = request.at_full_resolution()
    boxes = [ObjectPrompts(plane=request.plane).with_box(patch.box) for patch in patches]
    windows = [request.about(box) for box in boxes]
    order = sorted(range(len(patches)), key=lambda index: windows[index].window or ())
    for window, group in itertools.groupby(order, key=lambda index: windows[index].window):
        together = list(group)
        embedding = windows[together[0]].embed()
        top, left = (0, 0) if window is None else window[:2]
        some = [patches[index] for index in together]
        placed = [patch.shifted(-top, -left) for patch in some]
        judged = yield from iter_confidence(request.predictor, embedding, placed, _BATCH)
        drafts += [
            Draft(mask=patch.mask, corner=patch.corner, confidence=confidence)
            for patch, confidence in zip(some, judged, strict=True)
        ]
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
    """Return what committing drafts changes: they take background only, the least doubtful first.

    Parameters
    ----------
    output, table, plane
        Where they go, what is known there, and what plane of the image they belong to.
    drafts : sequence of Draft
        Some may be empty, or new and covered for half or more: these are left out.
    origin, model : str
        For the objects' entries.

    Returns
    -------
    Change or None
        None where nothing would be written.
    """
    if not drafts:
        return None
    ranked = sorted(drafts, key=lambda draft: draft.doubt)
    there = output.placing(plane)
    placed = [(draft, there.place(draft.mask, draft.corner)) for draft in ranked]
    placed = [(draft, found) for draft, found in placed if found[1].any()]
    cleared = {
        draft.label_id: there.place(draft.replaced.mask, draft.replaced.corner)
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
        free = found & ((part == 0) | (part == (draft.label_id or 0)))
        if free.sum() <= (_COVERED * found.sum() if draft.label_id is None else 0):
            continue
        label = draft.label_id or next(fresh)
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
            area=int(free.sum()),
            time=now,
        )
        entries.append(_change_of(table, dataclasses.replace(entry, **draft.scores)))
    patch = changed_patch(whole, before, after)
    patches = () if patch is None else (patch,)
    return Change(kind=origin, patches=patches, entries=tuple(entries)) if entries else None


def count_free(output: LabelsOutput, plane: Plane, drafts: Sequence[Draft]) -> int:
    """Return how many drafts lie, for more than half, on background."""
    if output.layer is None or not drafts:
        return len(drafts)
    count, there = 0, output.placing(plane)
    for draft in drafts:
        bounds, found = there.place(draft.mask, draft.corner)
        free = found & (output.read(bounds) == 0) if found.any() else found
        count += bool(free.sum() > _COVERED * found.sum())
    return count


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
