"""Objects deleted, merged, split and classed: what each changes, as a value."""

from __future__ import annotations

import dataclasses
import functools
import itertools
from collections.abc import Sequence

import numpy as np
from numpy.typing import ArrayLike, NDArray
from scipy import ndimage

from napari_sam.viewer.bounds import Bounds, union
from napari_sam.viewer.entries import EntryChange, Index, ObjectEntry, ObjectTable
from napari_sam.viewer.history import Change, LabelPatch
from napari_sam.viewer.labels_output import LabelsOutput, changed_patch


def deleted(output: LabelsOutput, table: ObjectTable, label_ids: Sequence[int]) -> Change:
    """Return what deleting objects changes."""
    patches, entries = [], []
    for label in label_ids:
        entry = table[label]
        before = output.read(entry.bounds)
        patch = changed_patch(entry.bounds, before, np.where(before == label, 0, before))
        patches += [patch] if patch is not None else []
        entries.append(EntryChange(entry, None))
    return Change(kind="delete", patches=tuple(patches), entries=tuple(entries))


def merged(output: LabelsOutput, table: ObjectTable, label_ids: Sequence[int]) -> Change:
    """Return what merging objects into the first of them changes.

    Raises
    ------
    ValueError
        If there are fewer than two.
    """
    if len(set(label_ids)) < 2:
        raise ValueError("Choose at least two objects to merge")
    first, *others = [table[label] for label in dict.fromkeys(label_ids)]
    patches = []
    for entry in others:
        before = output.read(entry.bounds)
        after = np.where(before == entry.label_id, first.label_id, before).astype(before.dtype)
        patch = changed_patch(entry.bounds, before, after)
        patches += [patch] if patch is not None else []
    bounds = functools.reduce(union, [entry.bounds for entry in others], first.bounds)
    area = first.area + sum(entry.area for entry in others)
    annotated = tuple(dict.fromkeys(i for e in (first, *others) for i in e.annotated))
    whole = dataclasses.replace(first, bounds=bounds, area=area, prompts=None, annotated=annotated)
    return Change(
        kind="merge",
        patches=tuple(patches),
        entries=(EntryChange(first, whole), *(EntryChange(entry, None) for entry in others)),
    )


def split(
    output: LabelsOutput,
    table: ObjectTable,
    label_id: int,
    line: ArrayLike,
    axes: tuple[int, int],
) -> Change:
    """Return what cutting an object along a line changes.

    The largest part keeps the label, the others get new ones. In a stack, the cut goes through all
    slices of the object.

    Parameters
    ----------
    output, table
        Where the object is.
    label_id : int
        The object.
    line : array_like
        (N, 2) corners (row, col) of the line, in pixels of the labels.
    axes : (int, int)
        The data axes of rows and columns.

    Raises
    ------
    ValueError
        If the line has fewer than two corners, or does not part the object.
    """
    corners = np.asarray(line, np.float64)
    if corners.ndim != 2 or corners.shape[1] != 2 or len(corners) < 2:
        raise ValueError(f"line must have shape (N, 2) with N at least 2, got {corners.shape}")
    entry = table[label_id]
    low = np.array([entry.bounds[axis][0] for axis in axes])
    before = output.read(entry.bounds)
    shape = tuple(before.shape[axis] for axis in axes)
    cut = _drawn(corners - low, shape)
    wide = cut.reshape([before.shape[a] if a in axes else 1 for a in range(before.ndim)])
    inside = before == label_id
    whole, n_whole = ndimage.label(inside)
    crossed = np.isin(whole, np.unique(whole[inside & wide]))  # what lay apart stays as it is
    parts, count = ndimage.label(inside & crossed & ~wide)
    if count < 2 or ndimage.label(inside & ~wide)[1] <= n_whole:
        raise ValueError("The line does not part the object: draw it from side to side through it")
    nearest = ndimage.distance_transform_edt(
        parts == 0, return_distances=False, return_indices=True
    )
    parts = np.where(inside & crossed, parts[tuple(nearest)], 0)
    sizes = np.bincount(parts.ravel())[1:]
    order = np.argsort(-sizes, kind="stable")
    label = output.next_label()
    output.take(label + len(order) - 2)
    before = output.read(entry.bounds)  # anew: the layer may be of a wider type now
    after = before.copy()
    entries = []
    for rank, part in enumerate(order):
        value = label_id if rank == 0 else label + rank - 1
        after[parts == part + 1] = value
        made = _part_entry(entry, value, int(sizes[part]))
        entries.append(EntryChange(entry if rank == 0 else None, made))
    patch = changed_patch(entry.bounds, before, after)
    patches = () if patch is None else (patch,)
    return Change(kind="split", patches=patches, entries=tuple(entries))


def classed(table: ObjectTable, label_ids: Sequence[int], category: str) -> Change:
    """Return what giving objects a class changes."""
    pairs = [
        (table[label], dataclasses.replace(table[label], category=category)) for label in label_ids
    ]
    return Change(kind="class", entries=tuple(EntryChange(*pair) for pair in pairs))


def reviewed(table: ObjectTable, label_ids: Sequence[int]) -> Change:
    """Return what marking objects as reviewed changes."""
    pairs = [
        (table[label], dataclasses.replace(table[label], reviewed=True)) for label in label_ids
    ]
    return Change(kind="review", entries=tuple(EntryChange(*pair) for pair in pairs))


def _part_entry(entry: ObjectEntry, label_id: int, area: int) -> ObjectEntry:
    return dataclasses.replace(
        entry,
        label_id=label_id,
        area=area,
        prompts=None,
        origin="split",
        predicted_iou=None,
        stability_score=None,
        disagreement=None,
    )


def _drawn(corners: NDArray[np.float64], shape: tuple[int, ...]) -> NDArray[np.bool_]:
    """Draw a line through corners (N, 2) on a grid, without gaps for 4-connected parts."""
    drawn = np.zeros(shape, bool)
    for start, end in itertools.pairwise(corners):
        steps = int(np.abs(end - start).max() * 4) + 2
        along = start + np.linspace(0, 1, steps)[:, None] * (end - start)
        at = np.floor(along + 0.5).astype(int)
        at = at[((at >= 0) & (at < shape)).all(1)]
        drawn[at[:, 0], at[:, 1]] = True
    return drawn


def painted(
    table: ObjectTable, patches: Sequence[LabelPatch], axes: tuple[int, int] | None
) -> Change:
    """Return what a person's strokes change.

    A person has seen the planes of an object that they painted or erased on, so propagation carries
    on from these and leaves them as they are.

    Parameters
    ----------
    table : ObjectTable
        What is known.
    patches : sequence of LabelPatch
        The strokes.
    axes : (int, int) or None
        The labels' axes that are shown; None in the 3D view, where no plane is seen by itself.
    """
    now: dict[int, ObjectEntry] = {}
    for patch in patches:
        before, after = patch.before.values, patch.after.values
        changed = before != after
        for value in filter(None, np.unique([before[changed], after[changed]]).tolist()):
            drawn, lost = changed & (after == value), changed & (before == value)
            entry = now.get(value) or table.entries.get(value)
            if drawn.any():
                entry = entry or ObjectEntry(
                    label_id=value, bounds=patch.bounds, origin="painted", area=int(drawn.sum())
                )
                entry = entry.covering(patch.bounds)
            if entry is not None:
                seen = _planes(drawn | lost, patch.bounds, axes)
                annotated = tuple(dict.fromkeys((*entry.annotated, *seen)))
                now[value] = dataclasses.replace(entry, annotated=annotated)
    entries = tuple(EntryChange(table.entries.get(value), entry) for value, entry in now.items())
    return Change(kind="paint", patches=tuple(patches), entries=entries)


def _planes(
    changed: NDArray[np.bool_], bounds: Bounds, axes: tuple[int, int] | None
) -> list[Index]:
    """Return the indices of the planes along some axes in which something within bounds changed."""
    if axes is None:
        return []
    places = np.argwhere(changed.any(axes, keepdims=True)) + [low for low, _ in bounds]
    return [
        tuple(None if axis in axes else at for axis, at in enumerate(place))
        for place in places.tolist()
    ]
