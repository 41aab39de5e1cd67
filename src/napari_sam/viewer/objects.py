"""The objects of a session and everything that was done to them, written down as it happens."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Sequence
from functools import partial
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import ArrayLike, NDArray
from psygnal import Signal
from skimage.measure import find_contours

from napari_sam.segmentation.progress import run
from napari_sam.viewer import object_edits
from napari_sam.viewer.bounds import region_of
from napari_sam.viewer.entries import EntryChange, ObjectEntry, ObjectPrompts, ObjectTable
from napari_sam.viewer.history import Change, History, LabelPatch
from napari_sam.viewer.journal import Journal, Recovered
from napari_sam.viewer.labels_output import LabelsOutput
from napari_sam.viewer.layers import Plane, camera_of, plane_in_view, shown_plane, to_data
from napari_sam.viewer.places import data_at, world_at
from napari_sam.viewer.propagate import CarriedSlice, carried_change, chosen_objects
from napari_sam.viewer.replay import replay, step
from napari_sam.viewer.unlisted import iter_unlisted, known_colours, taken_up

if TYPE_CHECKING:
    from napari.components import ViewerModel
    from napari.layers import Image, Layer


class Objects:
    """Applies changes to a Labels layer and its table, and takes them back without a limit.

    Parameters
    ----------
    viewer : ViewerModel
        Shows the objects.
    output : LabelsOutput
        The layer.
    on_restored : callable
        Called with the change after something was undone or redone.
    """

    changed = Signal()
    """The table, the history or the layer's objects changed."""

    def __init__(
        self, viewer: ViewerModel, output: LabelsOutput, on_restored: Callable[[Change], object]
    ) -> None:
        self.table = ObjectTable()
        self.history = History()
        self.journal: Journal | None = None
        self._viewer = viewer
        self._output = output
        self._on_restored = on_restored
        output.on_painted = self._painted
        output.highest_known = lambda: max(self.table.entries, default=0)
        output.is_written = lambda: self.history.has_patches

    @property
    def uncounted(self) -> Any:
        """The layer's data where its highest label is to be counted, in a worker; or None."""
        return self._output.uncounted

    def count(self, highest: int) -> None:
        """Take note of the highest label of what was uncounted."""
        self._output.count(highest)

    # changes

    def do(self, change: Change) -> None:
        """Apply a change and note it; the prompts it tells of are the caller's."""
        self._apply(change, self._output.write)
        self.history.push(change)
        if self.journal is not None:
            self.journal.done(change)
        self.changed.emit()

    def take_back(self) -> str | None:
        """Undo the last change, or group of changes; returns its kind, None where there is none."""
        self._output.end_stroke()
        self._follow_layer()
        return self._step(self.history.done, self.history.take_back, Journal.undone)

    def bring_back(self) -> str | None:
        """Redo what was undone last; returns its kind, or None where there is none."""
        self._output.end_stroke()
        return self._step(self.history.undone, self.history.bring_back, Journal.redone)

    def delete(self, label_ids: Sequence[int]) -> None:
        """Delete objects from the layer and the table."""
        self.do(object_edits.deleted(self._output, self.table, label_ids))

    def merge(self, label_ids: Sequence[int]) -> int:
        """Merge objects into the first of them; returns its label."""
        self.do(object_edits.merged(self._output, self.table, label_ids))
        return label_ids[0]

    def split(self, label_id: int, line: ArrayLike, axes: tuple[int, int] | None = None) -> None:
        """Cut an object along a line; see `object_edits.split`."""
        ndim = self._output.made().ndim
        self.do(
            object_edits.split(
                self._output, self.table, label_id, line, axes or (ndim - 2, ndim - 1)
            )
        )

    def set_category(self, label_ids: Sequence[int], category: str) -> None:
        """Give objects a class."""
        self.do(object_edits.classed(self.table, label_ids, category))

    def add_category(self, name: str, colour: str | None = None) -> None:
        """Make a class known, or change its colour."""
        self.table.add_category(name, colour)
        if self.journal is not None:
            self.journal.category(name, self.table.categories[name])
        self.changed.emit()

    def mark_reviewed(self, label_ids: Sequence[int]) -> None:
        """Note that a person looked at objects and found them right."""
        self.do(object_edits.reviewed(self.table, label_ids))

    def take_up(self, found: Sequence[ObjectEntry] | None = None) -> int:
        """List the objects that the layer shows and the table does not; returns how many.

        Parameters
        ----------
        found : sequence of ObjectEntry, optional
            From `unlisted.iter_unlisted`, where that ran in a worker; without it, the layer is
            read here.
        """
        labels = self._output.layer
        if labels is None:
            return 0
        if found is None:
            found = run(iter_unlisted(labels.data, self.table.entries))
        change = taken_up(self.table, found, labels)
        for name, colour in known_colours(labels).items():
            if name not in self.table.categories:
                self.add_category(name, colour)
        if change.entries:
            self.do(change)
        return len(change.entries)

    def write_carried(self, carried: CarriedSlice, group: str) -> None:
        """Write a slice of a propagation; slices of one group are undone together."""
        change = carried_change(self._output, self.table, carried, group)
        if change is not None:
            self.do(change)

    def stop(self, label_ids: Sequence[int], plane: Plane) -> int:
        """Let propagation of objects end before a plane; returns of how many."""
        entries = []
        for entry in chosen_objects(self.table, label_ids, plane):
            stops = tuple(dict.fromkeys((*entry.stops, plane.index)))
            entries.append(EntryChange(entry, dataclasses.replace(entry, stops=stops)))
        self.do(Change(kind="stop", entries=tuple(entries)))
        return len(entries)

    def next_doubtful(self) -> ObjectEntry | None:
        """Return the most doubtful object among those nobody reviewed."""
        waiting = self.table.by_doubt()
        return waiting[0] if waiting else None

    # where objects are

    def at(self, world: ArrayLike) -> int:
        """Return the label at a point of the world (ndim,); 0 where there is none."""
        labels = self._output.layer
        if labels is None:
            return 0
        index = np.round(data_at(self._viewer, labels, world)).astype(int)
        inside = ((index >= 0) & (index < labels.data.shape)).all()
        return int(np.asarray(labels.data[tuple(index)])) if inside else 0

    def jump_to(self, label_id: int) -> None:
        """Bring the middle of an object into view."""
        entry = self.table[label_id]
        labels = self._output.made()
        middle = [(low + high - 1) / 2 for low, high in entry.bounds]
        self._bring_into_view(labels, self._move_sliders(labels, np.array(middle)))

    def show_plane(self, image: Image, plane: Plane) -> None:
        """Bring a plane of the image into view, unless it is shown already."""
        if plane_in_view(self._viewer, image) != plane:
            self._move_sliders(image, plane.lifted(np.zeros((1, 2)))[0])

    def prompts_of(self, label_id: int, image: Image) -> ObjectPrompts:
        """Return the prompts that an object was made from.

        For an object without any, the outline of its mask on the shown plane.

        Raises
        ------
        ValueError
            If there is no such object, or no pixel of it on the shown plane.
        """
        entry = self.table.entries.get(label_id)
        plane = shown_plane(self._viewer, image)
        if entry is not None and entry.prompts is not None and entry.prompts.plane == plane:
            return entry.prompts
        return ObjectPrompts(plane=plane, outline=self._outline(label_id, image, plane))

    # the journal

    def attach(self, journal: Journal) -> Recovered:
        """Write everything down from here on, and take up what the journal tells of before.

        The labels layer must show what the journal tells already.
        """
        recovered = journal.recovered
        self.journal = journal
        self._output.name = journal.labels_name
        if not recovered.is_empty:
            self.history = recovered.history
            self.table = recovered.table
            self._on_restored(Change(kind="resume", prompts_after=recovered.prompts))
        self.changed.emit()
        return recovered

    def replay(self, history: History) -> int:
        """Draw what was done before, where the layer fits; returns how many pixels do not."""
        done = [patch for change in history.done for patch in change.patches]
        return replay(self._output, done)

    def close(self) -> None:
        """Close the journal."""
        if self.journal is not None:
            self.journal.close()
            self.journal = None

    # inside

    def _apply(self, change: Change, write: Callable[[Sequence[LabelPatch]], None]) -> None:
        if change.patches:
            write(change.patches)
        self.table.apply(change.entries)

    def _step(
        self,
        source: list[Change],
        move: Callable[[], Change | None],
        note: Callable[[Journal], None],
    ) -> str | None:
        """Take a change, and its neighbours of one group, from one side of the history."""
        group, last = (source[-1].group if source else ""), None
        while source and (last is None or (group and source[-1].group == group)):
            last = move()
            if last is not None:
                self._apply(last, partial(step, self._output))
                if self.journal is not None:
                    note(self.journal)
        if last is None:
            return None
        self._on_restored(last)
        self.changed.emit()
        return last.kind

    def _painted(self, patches: tuple[LabelPatch, ...]) -> None:
        """Note what a person painted with napari's own tools."""
        plane = plane_in_view(self._viewer, self._output.layer)
        change = object_edits.painted(self.table, patches, None if plane is None else plane.axes)
        self.table.apply(change.entries)
        self.history.push(change)
        if self.journal is not None:
            self.journal.done(change)
        self.changed.emit()

    def _follow_layer(self) -> None:
        """Note what napari's own undo took out of the layer."""
        while self.history.done and self._was_undone(self.history.done[-1]):
            change = self.history.take_back()
            if change is None:
                return
            self.table.apply(change.entries)
            if self.journal is not None:
                self.journal.undone()

    def _was_undone(self, change: Change) -> bool:
        labels = self._output.layer
        if labels is None or not change.patches:
            return False
        for patch in change.patches:
            now = np.asarray(labels.data[region_of(patch.bounds)])
            before = patch.before.values
            if ((now != before) & (before != patch.after.values)).any():
                return False
        return True

    def _outline(
        self, label_id: int, image: Image, plane: Plane
    ) -> tuple[tuple[float, float], ...]:
        """Return the longest contour of an object on a plane of the image, (row, col) pixels."""
        labels = self._output.made()
        target = shown_plane(self._viewer, labels)
        flat = np.asarray(labels.data[target.selection]) == label_id
        if not flat.any():
            raise ValueError(f"Object {label_id} has no pixel on this slice; go to one that has")
        contour = max(find_contours(np.pad(flat, 1).astype(float), 0.5), key=len) - 1
        thinned = contour[:: max(1, len(contour) // 64)]
        there = plane.in_plane(to_data(self._viewer, image, labels, target.lifted(thinned)))
        return tuple((float(row), float(col)) for row, col in there)

    def _move_sliders(self, layer: Layer, position: NDArray[np.float64]) -> NDArray[np.float64]:
        """Show the slice of a position (ndim,) in a layer's data; returns where that is, world."""
        world = world_at(self._viewer, layer, position)
        dims = self._viewer.dims
        point = list(dims.point)
        offset = len(point) - len(world)
        for axis in dims.not_displayed:
            if axis >= offset:
                point[axis] = world[axis - offset]
        dims.point = point
        point[offset:] = world
        return np.array(point)

    def _bring_into_view(self, layer: Layer, world: NDArray[np.float64]) -> None:
        """Move the camera to a point of the world, if it is out of sight."""
        dims = self._viewer.dims
        shown = [axis - (dims.ndim - layer.ndim) for axis in dims.displayed]
        corners = np.asarray(layer.corner_pixels, np.float64)[:, shown]
        at = data_at(self._viewer, layer, world)[shown]
        if ((at >= corners[0]) & (at <= corners[1])).all():
            return
        camera = camera_of(self._viewer)
        centre = list(camera.center)
        centre[-len(shown) :] = [world[axis] for axis in dims.displayed]
        camera.center = tuple(centre)
