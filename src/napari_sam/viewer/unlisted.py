"""Objects that a Labels layer shows and a table does not list: from a file, or another tool."""

from __future__ import annotations

import dataclasses
from collections.abc import Collection, Generator, Iterator, Mapping, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from napari_sam.segmentation.patches import occurring
from napari_sam.segmentation.progress import Progress
from napari_sam.viewer.bounds import Bounds, region_of
from napari_sam.viewer.entries import EntryChange, ObjectEntry, ObjectTable, utc_now
from napari_sam.viewer.exchange import CLASS_COLORS
from napari_sam.viewer.feature_columns import CLASS_COLUMN, known_features, pop_scores
from napari_sam.viewer.history import Change

if TYPE_CHECKING:
    from napari.layers import Labels

_BAND = 2**22  # pixels that are looked at at once


def iter_unlisted(
    data: Any, listed: Collection[int]
) -> Generator[Progress, None, list[ObjectEntry]]:
    """Find the objects that labels show, read some rows of a plane at a time; for any thread.

    Parameters
    ----------
    data : array
        (..., H, W) integers, in memory or on disk; what is not above 0 is background.
    listed : collection of int
        Labels to leave out.

    Yields
    ------
    Progress
        After every part that was read.

    Returns
    -------
    list of ObjectEntry
        By label, each with its bounds and pixels, and ``"layer"`` for its origin.
    """
    bands = list(_bands(tuple(data.shape)))
    lows: dict[int, NDArray[np.int64]] = {}
    highs: dict[int, NDArray[np.int64]] = {}
    areas: dict[int, int] = {}
    for done, band in enumerate(bands, 1):
        for label, low, high, area in _objects_in(np.asarray(data[region_of(band)]), band):
            lows[label] = np.minimum(low, lows.get(label, low))
            highs[label] = np.maximum(high, highs.get(label, high))
            areas[label] = areas.get(label, 0) + area
        yield Progress(done, len(bands), "Looking for objects in the layer")
    now = utc_now()
    return [
        ObjectEntry(
            label_id=label,
            bounds=tuple(zip(lows[label].tolist(), highs[label].tolist(), strict=True)),
            origin="layer",
            area=areas[label],
            time=now,
        )
        for label in sorted(areas.keys() - set(listed))
    ]


def taken_up(table: ObjectTable, found: Sequence[ObjectEntry], labels: Labels) -> Change:
    """Return what listing objects changes; their classes and scores are the layer's features.

    Parameters
    ----------
    table : ObjectTable
        What is listed; objects that are stay as they are.
    found : sequence of ObjectEntry
        From `iter_unlisted`.
    labels : Labels
        The layer that shows them.
    """
    known = known_features({"features": labels.features})
    scores, classes = pop_scores(known), known.get(CLASS_COLUMN, {})
    entries = tuple(
        EntryChange(None, _described(entry, classes, scores))
        for entry in found
        if entry.label_id not in table
    )
    return Change(kind="take up", entries=entries)


def known_colours(labels: Labels) -> dict[str, str]:
    """Return the colours of classes, ``"#rrggbb"``, that a layer's file told of."""
    colours = labels.metadata.get(CLASS_COLORS, {})
    return {name: "#" + bytes(colour).hex() for name, colour in colours.items()}


def _described(
    entry: ObjectEntry, classes: Mapping[int, Any], scores: Mapping[int, float]
) -> ObjectEntry:
    label = entry.label_id
    return dataclasses.replace(
        entry, category=str(classes.get(label, "")), predicted_iou=scores.get(label)
    )


def _bands(shape: tuple[int, ...]) -> Iterator[Bounds]:
    """Go through rows of planes, `_BAND` pixels or a row at a time."""
    rows, cols = shape[-2:]
    step = max(1, _BAND // max(1, cols))
    for index in np.ndindex(shape[:-2]):
        plane = tuple((at, at + 1) for at in index)
        for top in range(0, rows, step):
            yield (*plane, (top, min(top + step, rows)), (0, cols))


def _objects_in(
    labels: NDArray[Any], bounds: Bounds
) -> Iterator[tuple[int, NDArray[np.int64], NDArray[np.int64], int]]:
    """Yield each label within bounds: its first and one past its last index, and its pixels."""
    corner = np.array([first for first, _ in bounds])
    for label, box, area in occurring(labels):
        if label > 0:
            low = corner + [side.start for side in box]
            yield label, low, corner + [side.stop for side in box], area
