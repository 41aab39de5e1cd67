"""The Labels layer that objects go to: free labels, patches under an overlap policy, painting."""

from __future__ import annotations

import itertools
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np
from napari.layers import Image, Labels
from numpy.typing import NDArray

from napari_sam.viewer.bounds import Bounds, on_plane, region_of, union
from napari_sam.viewer.history import Block, LabelPatch
from napari_sam.viewer.layers import Plane, checked_layer, highest_label, new_labels_like
from napari_sam.viewer.napari_private import paint_regions, painted_regions
from napari_sam.viewer.projection import Projection, target_plane

if TYPE_CHECKING:
    from napari.components import ViewerModel

LABELS_NAME = "SAM labels"
OVERLAPS = ("keep", "overwrite", "background")
"""What a commit does with pixels of other objects: leave them, take them; or leave every pixel that
is labelled, those of the object itself included."""
COVERED = (
    "Other objects cover this mask wholly; nothing was written. Allow overwriting to replace them"
)
OUTSIDE = "The mask lies outside of the Labels layer; choose one that covers the image"
_COUNTED_PIXELS = 2**22
_HIGHEST = "napari_sam_highest_label"
_IMAGE = "napari_sam_image"
_JOURNAL = "napari_sam_journal"
_FILES = "napari_sam_journal_files"


def add_output_layer(
    viewer: ViewerModel, image: Image, name: str, data: NDArray[np.unsignedinteger] | None = None
) -> Labels:
    """Add a Labels layer for an image's objects that remembers which image and which journal."""
    labels = new_labels_like(viewer, image, name, data)
    labels.metadata[_IMAGE], labels.metadata[_JOURNAL] = str(image.unique_id), name
    return labels


def image_of(labels: Labels) -> str | None:
    """Return for which image a layer was made here; None for layers of other origin."""
    made_for: str | None = labels.metadata.get(_IMAGE)
    return made_for


def journal_name(viewer: ViewerModel, image: Image, labels: Labels | None) -> str:
    """Return the name under which it is written down what is done to an image in a layer.

    A layer that was renamed keeps its journal; a new one beside others gets one of its own.
    """
    if labels is not None:
        return str(labels.metadata.get(_JOURNAL, labels.name))
    taken = journals_shown(viewer, image)
    return next(name for name in set_names() if name not in taken)


def journals_shown(viewer: ViewerModel, image: Image) -> set[str]:
    """Return the names of the journals whose objects layers of a viewer show of an image."""
    return {
        str(layer.metadata.get(_JOURNAL))
        for layer in viewer.layers
        if layer.metadata.get(_IMAGE) == str(image.unique_id)
    }


class NotedJournal(NamedTuple):
    """The journal of what a layer shows: where it lies, and how many bytes of it the layer shows.

    None while a session writes it.
    """

    path: Path
    length: int | None = None


def note_journal(labels: Labels, image: Image, noted: NotedJournal) -> None:
    """Note in a layer that it shows the objects of an image that a journal tells of."""
    file = (str(noted.path), noted.length)
    labels.metadata.setdefault(_FILES, {})[str(image.unique_id)] = file


def noted_journal(labels: Labels | None, image: Image) -> NotedJournal | None:
    """Return the journal of the objects that a layer shows of an image; None where none is noted.

    It stays the same whatever becomes of the names of both layers, and of the image's pixels.
    """
    files = {} if labels is None else labels.metadata.get(_FILES, {})
    path, length = files.get(str(image.unique_id), (None, None))
    return None if path is None else NotedJournal(Path(path), length)


def set_names() -> Iterator[str]:
    """Yield what the sets of objects of an image are called, without an end."""
    return itertools.chain([LABELS_NAME], (f"{LABELS_NAME} {n}" for n in itertools.count(2)))


def note_highest(labels: Labels, value: int) -> None:
    """Note in a layer that a label is in use: counting all pixels of a large one takes long."""
    labels.metadata[_HIGHEST] = max(value, int(labels.metadata.get(_HIGHEST, 0)))


def highest_in_use(labels: Labels) -> int:
    """Return the highest label that is drawn or noted; of a large layer, noted or chosen."""
    noted = int(labels.metadata.get(_HIGHEST, 0))
    if _is_counted_anew(labels.data):
        return max(noted, highest_label(labels.data))
    return max(noted, int(labels.selected_label) - 1)


def _is_counted_anew(data: Any) -> bool:
    """Tell whether labels are so few that all are looked at whenever the highest is asked for."""
    return isinstance(data, np.ndarray) and data.size <= _COUNTED_PIXELS


def check_writable(labels: Labels) -> None:
    """Check that masks can be written into a Labels layer.

    Raises
    ------
    ValueError
        If it is a pyramid, a dask array, read-only or locked.
    """
    what, data = "", labels.data
    if labels.multiscale:
        what = "a pyramid"
    elif type(data).__module__.startswith("dask"):
        what = "a dask array"
    elif getattr(data, "read_only", isinstance(data, np.ndarray) and not data.flags.writeable):
        what = "read-only"
    if what:
        tip = "copy it with numpy.array or use a zarr array that can be written"
        raise ValueError(f"Labels layer {labels.name!r} is {what} and cannot be written; {tip}")
    if not labels.editable:
        raise ValueError(f"Labels layer {labels.name!r} is locked; make it editable")


class LabelsOutput:
    """Writes objects of one image into one Labels layer.

    Parameters
    ----------
    viewer : ViewerModel
        Shows both.
    image : Image
        What masks belong to.

    Attributes
    ----------
    on_painted : callable or None
        Called with the patches of what somebody else painted into the layer.
    name : str
        Of the layer that is made where none was chosen.
    is_written : callable
        Returns whether the layer's history is known: another one has another history.
    highest_known : callable
        Returns the highest label of the objects that are known, with or without pixels.
    """

    def __init__(self, viewer: ViewerModel, image: Image) -> None:
        self._viewer = viewer
        self._image = image
        self.on_painted: Callable[[tuple[LabelPatch, ...]], object] | None = None
        self.is_written: Callable[[], bool] = bool
        self.highest_known: Callable[[], int] = int
        self.name = LABELS_NAME
        self._layer: Labels | None = None
        self._highest = 0
        self._counted = False
        self._painting = False

    @property
    def layer(self) -> Labels | None:
        """The layer; None until the first object makes one."""
        return self._layer

    @layer.setter
    def layer(self, layer: Labels | None) -> None:
        layer = None if layer is None else checked_layer(layer, Labels)
        if layer is self._layer:
            return
        if layer is not None:
            check_writable(layer)
        before = self._layer
        if before is not None and before in self._viewer.layers and self.is_written():
            raise ValueError(
                f"The objects of this session are in Labels layer {before.name!r}; make "
                "another Session for another layer"
            )
        self.detach()
        self._layer = layer
        self._highest, self._counted = 0, False
        if layer is not None:
            layer.events.paint.connect(self._painted)

    @property
    def uncounted(self) -> Any:
        """The data whose highest label is not known yet, to be read in a worker; or None."""
        return None if self._layer is None or self._counted else self._layer.data

    def detach(self) -> None:
        """Stop listening to the layer."""
        if self._layer is not None:
            self._layer.events.paint.disconnect(self._painted)

    def count(self, highest: int) -> None:
        """Take note of the highest label of `uncounted`."""
        self._highest, self._counted = max(self._highest, highest), True

    def made(self) -> Labels:
        """Return the layer, making one where there is none (any more)."""
        if self._layer is None or self._layer not in self._viewer.layers:
            self.layer = add_output_layer(self._viewer, self._image, self.name)
            self._counted = True
        if self._layer is None:
            raise ValueError("No Labels layer could be made")
        return self._layer

    def next_label(self) -> int:
        """Return the smallest label above all that are in use.

        Small arrays are counted anew, since a person may have changed them; large ones and arrays
        on disk are counted once.
        """
        return max(self._highest_drawn(), self.highest_known()) + 1

    def _highest_drawn(self) -> int:
        if self._layer is None or self._layer not in self._viewer.layers:
            return 0
        data = self._layer.data
        if not (self._counted or _is_counted_anew(data)):
            self.count(highest_label(data))
        return max(self._highest, highest_in_use(self._layer))

    def take(self, value: int) -> None:
        """Check that the layer holds a label, widening a layer of ours.

        Raises
        ------
        ValueError
            If the label is not positive, or the layer's type does not hold it.
        """
        if value <= 0:
            raise ValueError(f"A label must be 1 or more, got {value}")
        labels = self.made()
        check_writable(labels)
        limit = self.widen(value)
        if value > limit:
            raise ValueError(
                f"Label {value} does not fit Labels layer {labels.name!r} of type "
                f"{labels.data.dtype} (up to {limit}); choose a layer of a wider type"
            )

    def widen(self, value: int) -> int:
        """Let a layer of ours hold a label, if it can; returns the highest that the layer holds."""
        labels = self.made()
        ours = labels.name.startswith(LABELS_NAME) and isinstance(labels.data, np.ndarray)
        if ours and value > np.iinfo(labels.data.dtype).max:
            labels.data = labels.data.astype(np.uint32)
        return int(np.iinfo(labels.data.dtype).max)

    def mask_patch(
        self,
        plane: Plane,
        mask: NDArray[np.bool_],
        corner: tuple[int, int],
        value: int,
        *,
        overlap: str = "keep",
        replaced: Bounds | None = None,
    ) -> tuple[Bounds, LabelPatch | None]:
        """Return what writing a mask changes.

        Parameters
        ----------
        plane : Plane
            Of the image.
        mask, corner
            (h, w) bool, and the (row, col) of its first pixel in the plane.
        value : int
            The object's label.
        overlap : str
            One of `OVERLAPS`.
        replaced : Bounds, optional
            Where the object's pixels on this plane are, if the mask takes their place.

        Returns
        -------
        bounds : Bounds
            What the object lies in.
        patch : LabelPatch or None
            None where not a pixel changes.

        Raises
        ------
        ValueError
            If nothing would be left of the mask.
        """
        if overlap not in OVERLAPS:
            raise ValueError(f"overlap must be one of {OVERLAPS}, got {overlap!r}")
        bounds, found = self.placing(plane).place(mask, corner)
        if replaced is not None and overlap != "background":
            target = target_plane(self._viewer, self._image, plane, self.made())
            wide = union(bounds, on_plane(replaced, bounds, target.axes))
            found = np.pad(
                found, [(b[0] - w[0], w[1] - b[1]) for b, w in zip(bounds, wide, strict=True)]
            )
            bounds = wide
        before = self.read(bounds)
        after = before.copy()
        if replaced is not None and overlap != "background":
            after[before == value] = 0
        free = {
            "keep": (before == 0) | (before == value),
            "overwrite": np.True_,
            "background": before == 0,
        }[overlap]
        after[found & free] = value
        if not (after[found] == value).any():
            raise ValueError(COVERED if found.any() else OUTSIDE)
        return bounds, changed_patch(bounds, before, after)

    def placing(self, plane: Plane) -> Projection:
        """Return what tells where masks of a plane of the image lie in the layer."""
        return Projection(self._viewer, self._image, plane, self.made())

    def read(self, bounds: Bounds) -> NDArray[np.integer]:
        """Return a copy of the labels within bounds."""
        return np.array(self.made().data[region_of(bounds)])

    def write(self, patches: Iterable[LabelPatch]) -> None:
        """Paint patches as one step of the layer's own undo history."""
        patches = list(patches)
        self.end_stroke()
        self._painting = True
        try:
            regions = ((p.bounds, p.before.values, p.after.values) for p in patches)
            paint_regions(self.made(), regions)
        finally:
            self._painting = False
        self._note(patches)

    def end_stroke(self) -> None:
        """Let what a person is painting at this moment be told as far as it goes."""
        if self._layer is not None:
            with self._layer.block_history():
                pass

    def _painted(self, event: Any) -> None:
        if self._painting or self.on_painted is None or self._layer is None:
            return
        found = [
            changed_patch(bounds, before, after)
            for bounds, before, after in painted_regions(self._layer, event.value)
        ]
        patches = tuple(patch for patch in found if patch is not None)
        if patches:
            self._note(patches)
            self.on_painted(patches)

    def _note(self, patches: Iterable[LabelPatch]) -> None:
        """Note which labels are in use now."""
        self._highest = max([self._highest, *(int(p.after.values.max()) for p in patches)])
        if self._layer is not None:
            note_highest(self._layer, self._highest)


def changed_patch(
    bounds: Bounds, before: NDArray[np.integer], after: NDArray[np.integer]
) -> LabelPatch | None:
    """Return the patch between two states of a region, cut to what changed; None if nothing did."""
    changed = before != after
    if not changed.any():
        return None
    others = [tuple(set(range(changed.ndim)) - {axis}) for axis in range(changed.ndim)]
    found = (np.flatnonzero(changed.any(axes)) for axes in others)
    cut = tuple(slice(int(along[0]), int(along[-1]) + 1) for along in found)
    tight = tuple(
        (low + part.start, low + part.stop) for (low, _), part in zip(bounds, cut, strict=True)
    )
    return LabelPatch(tight, Block(before[cut]), Block(after[cut]))
