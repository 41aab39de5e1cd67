"""Objects carried through a stack: what is asked of the engine, and what its answers change."""

from __future__ import annotations

import dataclasses
import functools
import itertools
from collections.abc import Generator, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from napari_sam.segmentation.propagation import (
    PropagateConfig,
    PropagatedSlice,
    PropagationSummary,
    iter_propagate,
)
from napari_sam.viewer.bounds import on_plane, region_within, union
from napari_sam.viewer.entries import EntryChange, Index, ObjectEntry, ObjectPrompts, ObjectTable
from napari_sam.viewer.history import Change
from napari_sam.viewer.labels_output import LabelsOutput, changed_patch
from napari_sam.viewer.layers import Plane
from napari_sam.viewer.projection import check_shape
from napari_sam.viewer.requests import PredictRequest
from napari_sam.viewer.stack_axes import stack_axes

if TYPE_CHECKING:
    from napari.layers import Labels

_ROOM = 0.5
"""Room around the objects in a large image, as a share of their extent."""


@dataclass(frozen=True, kw_only=True, eq=False)
class PropagateRequest:
    """What is to be carried where, taken from a session at one moment.

    Attributes
    ----------
    request : PredictRequest
        For the shown plane.
    axis : int
        The image's axis to go along.
    labels : array
        The Labels layer's data, of the image's shape.
    objects : tuple of ObjectEntry
        What is carried, from the planes that a person annotated.
    config : PropagateConfig
        Settings.
    only_here : bool
        Whether objects start from the shown plane alone.
    """

    request: PredictRequest
    axis: int
    labels: Any = field(repr=False)
    objects: tuple[ObjectEntry, ...]
    config: PropagateConfig
    only_here: bool = False

    def plane_at(self, step: int) -> Plane:
        """Return the shown plane, moved along the axis."""
        index = list(self.request.plane.index)
        index[self.axis] = step
        return dataclasses.replace(self.request.plane, index=tuple(index))

    def steps(self, planes: Sequence[Index]) -> list[int]:
        """Return where along the axis planes lie that differ from the shown one in it alone."""
        here = self.request.plane.index
        found = []
        for index in planes:
            at = index[self.axis]
            same = all(
                a == b for i, (a, b) in enumerate(zip(index, here, strict=True)) if i != self.axis
            )
            if same and at is not None:
                found.append(at)
        return found


@dataclass(frozen=True, kw_only=True, eq=False)
class CarriedSlice:
    """One slice of a propagation, in pixels of its plane.

    Attributes
    ----------
    plane : Plane
        Where.
    masks : tuple of (label, mask, corner, predicted_iou)
        Masks (h, w) that replace those of their objects on this plane.
    ended : tuple of (label, reason)
        Objects that go no farther.
    done, total : int
        Slices of objects.
    """

    plane: Plane
    masks: tuple[tuple[int, NDArray[np.bool_], tuple[int, int], float], ...]
    ended: tuple[tuple[int, str], ...]
    done: int
    total: int


def propagate_request(
    request: PredictRequest,
    labels: Labels | None,
    table: ObjectTable,
    label_ids: Sequence[int],
    config: PropagateConfig,
    *,
    only_here: bool = False,
    axis: int | None = None,
) -> PropagateRequest:
    """Take down what is to be carried; for the main thread.

    Parameters
    ----------
    request : PredictRequest
        For the shown plane.
    labels, table
        Where the objects are.
    label_ids : sequence of int
        Which; where there is none, those that were committed on the shown plane, or else all.
        Named ones that nobody committed on any plane start from the shown one.
    config, only_here
        As in `PropagateRequest`.
    axis : int, optional
        The image's axis to go along; the last one of several slices without it.

    Raises
    ------
    ValueError
        If there is no object or no stack, or the Labels layer has another shape than the image.
    """
    here = request.plane.index
    shape = tuple(request.array.shape)[: len(here)]
    along = stack_axes([at for at, place in enumerate(here) if place is not None], shape)
    if not along:
        raise ValueError("A single image has no slices to propagate through")
    if axis is not None and axis not in along:
        raise ValueError(f"axis must be one of several slices, of {sorted(along)}, got {axis}")
    if labels is None:
        raise ValueError("There is no object to propagate; commit one first")
    check_shape(request.array, request.plane, labels)
    return PropagateRequest(
        request=request,
        axis=along[0] if axis is None else axis,
        labels=labels.data,
        objects=tuple(
            entry if entry.annotated else dataclasses.replace(entry, annotated=(here,))
            for entry in chosen_objects(table, label_ids, request.plane)
        ),
        config=config,
        only_here=only_here,
    )


def chosen_objects(table: ObjectTable, label_ids: Sequence[int], plane: Plane) -> list[ObjectEntry]:
    """Return the named objects; without names those committed on a plane, or else all."""
    if label_ids:
        return [table[label] for label in label_ids]
    here = [entry for entry in table if plane.index in entry.annotated]
    return here or [entry for entry in table if entry.annotated]


def iter_carry(request: PropagateRequest) -> Generator[CarriedSlice, None, PropagationSummary]:
    """Carry objects through a stack, slice by slice; for a worker thread.

    Raises
    ------
    ValueError
        If no object was annotated on the stack through the shown plane.
    """
    annotated = _annotated(request)
    if not annotated:
        raise ValueError(
            "No object was committed by hand on this stack; commit one on a slice first, or "
            "select one in the table that the shown slice has"
        )
    window = _window(request, annotated)
    top, left = (0, 0) if window.window is None else window.window[:2]
    region = (slice(None), slice(None)) if window.window is None else window.window.region
    here = request.request.plane.index[request.axis] or 0
    sources = {label: [here] for label in annotated} if request.only_here else None
    stops = {entry.label_id: request.steps(entry.stops) for entry in request.objects}

    def embed(step: int) -> Any:
        return dataclasses.replace(window, plane=request.plane_at(step)).embed()

    job = iter_propagate(
        embed,
        request.request.predictor,
        {label: {z: m[region] for z, m in slices.items()} for label, slices in annotated.items()},
        n_slices=int(request.request.array.shape[request.axis]),
        config=request.config,
        stops=stops,
        sources=sources,
    )
    while True:
        try:
            found: PropagatedSlice = next(job)
        except StopIteration as stop:
            summary: PropagationSummary = stop.value
            return summary
        yield CarriedSlice(
            plane=request.plane_at(found.index),
            masks=tuple(
                (
                    one.label,
                    one.patch.mask,
                    (one.patch.corner[0] + top, one.patch.corner[1] + left),
                    one.predicted_iou,
                )
                for one in found.masks
            ),
            ended=tuple((end.label, end.reason) for end in found.ended),
            done=found.done,
            total=found.total,
        )


def carried_change(
    output: LabelsOutput, table: ObjectTable, carried: CarriedSlice, group: str
) -> Change | None:
    """Return what one slice changes: objects take background and their own earlier pixels.

    Parameters
    ----------
    output, table
        Where the objects are.
    carried : CarriedSlice
        The slice.
    group : str
        All slices of one propagation are undone together.

    Returns
    -------
    Change or None
        None where nothing changes.
    """
    index = carried.plane.index
    carried_here = [
        one
        for one in carried.masks
        if one[0] in table and index not in (*table[one[0]].annotated, *table[one[0]].stops)
    ]
    if not carried_here:
        return None
    there = output.placing(carried.plane)
    here, _ = there.place(np.ones((1, 1), bool), (0, 0))
    axes = carried.plane.axes
    whole = functools.reduce(
        union, [on_plane(table[label].bounds, here, axes) for label, *_ in carried_here]
    )
    placed = [
        (label, score, *there.place(mask, corner))
        for label, mask, corner, score in carried_here
        if mask.any()
    ]
    whole = functools.reduce(union, [bounds for _, _, bounds, _ in placed], whole)
    before = output.read(whole)
    after = before.copy()
    after[np.isin(after, [label for label, *_ in carried_here])] = 0
    entries = []
    for label, score, bounds, found in placed:
        part = after[region_within(bounds, whole)]
        part[found & (part == 0)] = label
        known = table[label]
        made = dataclasses.replace(
            known.covering(bounds),
            predicted_iou=min(score, 1.0 if known.predicted_iou is None else known.predicted_iou),
        )
        entries.append(EntryChange(known, made))
    patch = changed_patch(whole, before, after)
    if patch is None:
        return None
    return Change(kind="propagate", patches=(patch,), entries=tuple(entries), group=group)


def _annotated(request: PropagateRequest) -> dict[int, dict[int, NDArray[np.bool_]]]:
    """Read the masks of the objects on the planes that a person committed them on."""
    planes: dict[int, NDArray[np.integer]] = {}
    masks: dict[int, dict[int, NDArray[np.bool_]]] = {}
    for entry in request.objects:
        for step in request.steps(entry.annotated):
            if step not in planes:
                planes[step] = np.asarray(request.labels[request.plane_at(step).selection])
            mask = planes[step] == entry.label_id
            if mask.any():
                masks.setdefault(entry.label_id, {})[step] = mask
    if request.only_here:
        here = request.request.plane.index[request.axis]
        masks = {label: slices for label, slices in masks.items() if here in slices}
    return masks


def _window(
    request: PropagateRequest, annotated: dict[int, dict[int, NDArray[np.bool_]]]
) -> PredictRequest:
    """Return a request that looks at all objects; in large images, at a window around them."""
    masks = itertools.chain.from_iterable(slices.values() for slices in annotated.values())
    corners = []
    for mask in masks:
        rows, cols = np.nonzero(mask.any(1))[0], np.nonzero(mask.any(0))[0]
        corners += [(rows[0], cols[0]), (rows[-1], cols[-1])]
    low, high = np.min(corners, axis=0), np.max(corners, axis=0)
    room = _ROOM * (high - low).max()
    limit = np.array(request.request.plane.shape) - 1
    box = np.concatenate([(low - room).clip(0), np.minimum(high + room, limit)])
    whole = request.request.at_full_resolution()
    return whole.about(ObjectPrompts(plane=whole.plane).with_box(box))
