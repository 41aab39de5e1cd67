"""The only place that touches what napari does not document, each with a public way beside it."""

from __future__ import annotations

import contextlib
import functools
import itertools
import weakref
from collections.abc import Callable, Generator, Iterable, Sequence
from typing import Any, NamedTuple, TypeVar

import numpy as np
from numpy.typing import NDArray
from scipy import ndimage

from napari_sam.viewer.bounds import Bounds, region_of, union

T = TypeVar("T")
Region = tuple[Bounds, NDArray[np.integer], NDArray[np.integer]]
"""Bounds, and the labels in them before and after."""
_MOST_NUMBERS = 2**20
"""Labels below this are numbers themselves."""


def unwrapped(value: T) -> T:
    """Return a viewer or layer without the proxy that napari hands to plugins.

    Proxies compare unequal to what they stand for; identity matters when layers are looked up.
    """
    plain: T = getattr(value, "__wrapped__", value)
    return plain


def canvas_size(viewer: Any) -> tuple[float, float] | None:
    """Return height and width of a viewer's canvas, screen pixels; None where it tells none."""
    canvas = getattr(viewer, "canvas", None)  # from napari 0.9
    size = getattr(viewer, "_canvas_size", None) if canvas is None else canvas.size
    return None if size is None else (float(size[0]), float(size[1]))


def batched(viewer: Any) -> contextlib.AbstractContextManager[Any]:
    """Let layers come and go together, with one clean-up of the canvas, where napari has that."""
    return getattr(viewer.layers, "batched_update", contextlib.nullcontext)()


def announce_task(viewer: Any, title: str, cancel: Callable[[], object]) -> Callable[[], None]:
    """Have napari ask before it closes a window in which something is under way.

    Parameters
    ----------
    viewer : napari.Viewer or None
        Whose window; a viewer without one, or one that knows no tasks, asks nothing.
    title : str
        What is under way, as it is shown.
    cancel : bound method
        Called when the window closes all the same. The window does not keep its object alive.

    Returns
    -------
    callable
        To be called at the end.
    """
    window = getattr(unwrapped(viewer), "window", None)
    register = getattr(window, "_register_task_status", None)
    update = getattr(window, "_update_task_status", None)
    if register is None or update is None:
        return lambda: None
    from napari.utils.task_status import Status

    method = weakref.WeakMethod(cancel)

    def stop() -> None:
        alive = method()
        if alive is not None:
            alive()

    task = register("napari-sam", Status.BUSY, title, cancel_callback=stop)

    def end() -> None:
        update(task, Status.COMPLETED)

    return end


@contextlib.contextmanager
def changed_at_once(layer: Any) -> Generator[None, None, None]:
    """Let a Points layer tell nobody of each step of a change, and draw it once at the end.

    A point more or less makes napari tell twenty things, ask all layers twice how far they extend,
    and draw the window again after it was drawn.
    """
    layer = unwrapped(layer)
    try:
        with layer.events.blocker_all():
            yield
    finally:
        try:
            layer.refresh(thumbnail=False, extent=False)
        except TypeError:  # napari 0.8 knows no such choice
            layer.refresh()


def paint_regions(layer: Any, regions: Iterable[Region]) -> None:
    """Paint regions of a Labels layer as one undoable step, redrawing only them.

    Parameters
    ----------
    layer : napari.layers.Labels
        Editable.
    regions : iterable of (bounds, before, after)
        What to paint, in this order: the pixels that differ between before and after.
    """
    layer = unwrapped(layer)
    preserved, layer.preserve_labels = layer.preserve_labels, False
    try:
        with layer.block_history():
            for bounds, before, after in regions:
                _paint_region(layer, bounds, before != after, after)
    finally:
        layer.preserve_labels = preserved
    if not getattr(layer, "loaded", True):  # slicing in the background shows what was before
        layer.refresh()


def _paint_region(
    layer: Any, bounds: Bounds, changed: NDArray[np.bool_], after: NDArray[np.integer]
) -> None:
    """Paint the changed pixels of a region, each label in its own box, drawing once at the end."""
    values, grid = _numbered(changed, after)
    boxes = enumerate(ndimage.find_objects(grid), start=1)
    found = [(number, box) for number, box in boxes if box is not None]
    for number, box in found:
        region = tuple(
            slice(low + part.start, low + part.stop)
            for (low, _), part in zip(bounds, box, strict=True)
        )
        value = int(values[number - 1])
        _paint(layer, region, grid[box] == number, value, refresh=number == found[-1][0])


def _numbered(
    changed: NDArray[np.bool_], after: NDArray[np.integer]
) -> tuple[Sequence[int] | NDArray[np.integer], NDArray[np.integer]]:
    """Return labels, and a grid of their places among these, from 1 on, where pixels change."""
    grid = np.zeros(after.shape, np.int32)
    highest = int(after.max(initial=0))
    if after.min(initial=0) >= 0 and highest < _MOST_NUMBERS:  # sorting pixels takes long
        np.add(after, 1, out=grid, where=changed, dtype=np.int32, casting="unsafe")
        return range(highest + 1), grid
    values, numbers = np.unique(after[changed], return_inverse=True)
    grid[changed] = numbers.ravel() + 1
    return values, grid


def paint_quietly(
    layer: Any, erased: tuple[slice, ...] | None, drawn: tuple[slice, ...] | None, mask: Any
) -> None:
    """Replace what a layer of ours shows, redrawing only the two regions.

    Parameters
    ----------
    layer : napari.layers.Labels
        Holds zeros and ones.
    erased, drawn : tuple of slice or None
        Where zeros go, and where the mask goes.
    mask : ndarray
        Bool, of the drawn region's shape.
    """
    layer = unwrapped(layer)
    with layer.block_history():
        if erased is not None:
            shape = [part.stop - part.start for part in erased]
            _paint(layer, erased, np.ones(shape, bool), 0, refresh=drawn is None)
        if drawn is not None:
            _paint(layer, drawn, mask, 1)


def _paint(
    layer: Any,
    region: tuple[slice, ...],
    mask: NDArray[np.bool_],
    value: int,
    *,
    refresh: bool = True,
) -> None:
    paint_region = getattr(layer, "_paint_region_with_mask", None)
    if paint_region is not None:
        paint_region(region, mask, value, list(range(mask.ndim)), refresh)
        return
    found = np.nonzero(mask)
    layer.data_setitem(
        tuple(along + part.start for along, part in zip(found, region, strict=True)), value
    )


def forget_strokes(layer: Any, bounds: Bounds) -> None:
    """Let a Labels layer's own undo and redo end before a stroke in a region that is written anew.

    Undone or redone, it would bring back labels of what was drawn there before.
    """
    layer = unwrapped(layer)
    undone, redone = (getattr(layer, f"_{which}_history", None) for which in ("undo", "redo"))
    if undone is None or redone is None:
        mode = layer.mode
        layer.editable = False  # which drops all strokes
        layer.editable, layer.mode = True, mode
        return
    for history in (undone, redone):
        newest_first = itertools.takewhile(
            lambda step: not any(_meets(atom, bounds) for atom in step), reversed(history)
        )
        kept = list(newest_first)[::-1]
        history.clear()
        history.extend(kept)


def _meets(atom: Any, bounds: Bounds) -> bool:
    """Tell whether one write of a stroke lies in a region, even in part; so do unknown forms."""
    read = None if hasattr(atom, "slice_key") else _indexed_atom(atom)
    if read is None and not hasattr(atom, "slice_key"):
        return True
    within = [(part.start, part.stop) for part in atom.slice_key] if read is None else read.bounds
    pairs = zip(within, bounds, strict=True)
    return all(one[0] < other[1] and other[0] < one[1] for one, other in pairs)


def painted_regions(layer: Any, item: Any) -> list[Region]:
    """Read what a stroke changed from the value of a Labels layer's `paint` event.

    Returns
    -------
    list of (bounds, before, after)
        One region that holds the stroke; empty where the item has a form not known here.
    """
    read = [_masked_atom(a) if hasattr(a, "slice_key") else _indexed_atom(a) for a in item]
    atoms = [atom for atom in read if atom is not None]
    if not atoms or len(atoms) < len(read):
        return []
    bounds = functools.reduce(union, [atom.bounds for atom in atoms])
    after = np.array(layer.data[region_of(bounds)])
    before = after.copy()
    for atom in reversed(atoms):
        before[atom.within(bounds)] = atom.old
    for atom in atoms:  # the event comes before or after the data are written
        after[atom.within(bounds)] = atom.new
    return [(bounds, before, after)]


class _Atom(NamedTuple):
    """One write of a stroke: where, what was there, what came."""

    bounds: Bounds
    indices: tuple[NDArray[np.intp], ...]
    old: Any
    new: Any

    def within(self, bounds: Bounds) -> tuple[NDArray[np.intp], ...]:
        """Return the indices counted from the corner of bounds."""
        return tuple(at - low for at, (low, _) in zip(self.indices, bounds, strict=True))


def _masked_atom(atom: Any) -> _Atom | None:
    bounds = tuple((part.start, part.stop) for part in atom.slice_key)
    shape = [high - low for low, high in bounds]
    mask = np.ones(shape, bool) if atom.mask is None else np.broadcast_to(atom.mask, shape)
    old = np.asarray(atom.old_values).ravel()
    indices = tuple(at + low for at, (low, _) in zip(np.nonzero(mask), bounds, strict=True))
    return _Atom(bounds, indices, old, atom.new_value)


def _indexed_atom(atom: Any) -> _Atom | None:
    try:
        indices, old, new = atom
        arrays = tuple(np.asarray(at).ravel() for at in indices)
        bounds = tuple((int(at.min()), int(at.max()) + 1) for at in arrays)
    except (TypeError, ValueError):
        return None
    return _Atom(bounds, arrays, np.asarray(old).ravel(), np.asarray(new).ravel())
