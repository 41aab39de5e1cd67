"""What is known of the objects of a Labels layer: prompts, class, score, origin; as values."""

from __future__ import annotations

import dataclasses
import time
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from napari_sam.segmentation.doubt import doubt_of
from napari_sam.viewer.bounds import Bounds, union
from napari_sam.viewer.layers import Plane

Index = tuple[int | None, ...]
"""A plane of an image: one number for each axis, None on the plane's own two."""

PALETTE = ("#e6194b", "#3cb44b", "#4363d8", "#f58231", "#911eb4", "#46f0f0", "#f032e6", "#bcf60c")


def utc_now() -> str:
    """Return the time, ISO 8601 in UTC."""
    return time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime())


def _exact(coordinate: float) -> float:
    """Round to a thousandth of a pixel, so that the way through layers changes nothing."""
    return round(float(coordinate), 3)


@dataclass(frozen=True, kw_only=True)
class ObjectPrompts:
    """Prompts of one object on one plane of an image.

    Attributes
    ----------
    plane : Plane or None
        Where they lie; None where there has been no prompt yet.
    points : tuple of (row, col, label)
        In pixels of the plane; label 1 lies in the object, 0 outside.
    box : (row_min, col_min, row_max, col_max) or None
        In pixels of the plane.
    outline : tuple of (row, col)
        A lasso: its filled area is the mask prompt, its bounds stand for a box.
    label_id : int or None
        The object that these prompts change; None makes a new one.
    """

    plane: Plane | None = None
    points: tuple[tuple[float, float, int], ...] = ()
    box: tuple[float, float, float, float] | None = None
    outline: tuple[tuple[float, float], ...] = ()
    label_id: int | None = None

    def with_box(self, box: ArrayLike) -> ObjectPrompts:
        """Return these with a box (row_min, col_min, row_max, col_max), or raise ValueError."""
        sides = np.asarray(box, np.float64)
        if sides.shape != (4,) or not np.isfinite(sides).all():
            raise ValueError(
                f"box must be (row_min, col_min, row_max, col_max), finite, got {box!r}"
            )
        top, left, bottom, right = (_exact(side) for side in sides)
        return dataclasses.replace(self, box=(top, left, bottom, right))

    def with_outline(self, outline: ArrayLike) -> ObjectPrompts:
        """Return these with an outline, (N, 2) corners (row, col); ValueError if it is none."""
        corners = np.asarray(outline, np.float64)
        if corners.ndim != 2 or corners.shape[1] != 2 or len(corners) < 3:
            raise ValueError(
                f"outline must have shape (N, 2) with N at least 3, got {corners.shape}"
            )
        around = tuple((_exact(row), _exact(col)) for row, col in corners)
        return dataclasses.replace(self, outline=around)

    def with_prompts(
        self,
        points: NDArray[np.floating],
        labels: Sequence[int] | NDArray[np.integer],
        box: ArrayLike | None = None,
        outline: ArrayLike | None = None,
    ) -> ObjectPrompts:
        """Return these with other prompts: (N, 2) and (N,), (4,) or None, (M, 2) or None."""
        kept = tuple(
            (_exact(row), _exact(col), int(label))
            for (row, col), label in zip(points, labels, strict=True)
        )
        replaced = dataclasses.replace(self, points=kept, box=None, outline=())
        replaced = replaced if box is None else replaced.with_box(box)
        return replaced if outline is None else replaced.with_outline(outline)

    @property
    def is_empty(self) -> bool:
        """Whether there is neither a point nor a box nor an outline."""
        return not self.points and self.box is None and not self.outline

    @property
    def extent(self) -> tuple[float, float, float, float] | None:
        """The box, or the bounds of the outline."""
        if self.box is not None or not self.outline:
            return self.box
        rows, cols = zip(*self.outline, strict=True)
        return min(rows), min(cols), max(rows), max(cols)

    @property
    def bounds(self) -> tuple[float, float, float, float] | None:
        """Bounds (row_min, col_min, row_max, col_max) of all prompts; None where there is none."""
        places = [(row, col) for row, col, _ in self.points]
        if self.extent is not None:
            places += [self.extent[:2], self.extent[2:]]
        if not places:
            return None
        rows, cols = zip(*places, strict=True)
        return min(rows), min(cols), max(rows), max(cols)

    def moved(self, top: float, left: float) -> ObjectPrompts:
        """Return these in coordinates that begin at another corner of the plane."""
        return self.seen_from((top, left), (1.0, 1.0))

    def seen_from(self, origin: tuple[float, float], pixel: tuple[float, float]) -> ObjectPrompts:
        """Return these in pixels of another grid.

        Parameters
        ----------
        origin : (float, float)
            Where the grid's first pixel begins: rows and columns from the plane's corner.
        pixel : (float, float)
            Height and width of its pixels.
        """
        shift = [0.5 / length - 0.5 for length in pixel]  # centres of pixels are whole numbers

        def to(row: float, col: float) -> tuple[float, float]:
            return (
                (row - origin[0]) / pixel[0] + shift[0],
                (col - origin[1]) / pixel[1] + shift[1],
            )

        box = self.box
        return dataclasses.replace(
            self,
            points=tuple((*to(row, col), label) for row, col, label in self.points),
            box=box and (*to(*box[:2]), *to(*box[2:])),
            outline=tuple(to(row, col) for row, col in self.outline),
        )

    def with_point(self, point: ArrayLike, *, foreground: bool) -> ObjectPrompts:
        """Return these and a point (row, col), or raise ValueError."""
        place = np.asarray(point, np.float64)
        if place.shape != (2,) or not np.isfinite(place).all():
            raise ValueError(f"point must be (row, col) in the shown plane, finite, got {point!r}")
        row, col = place
        added = (_exact(row), _exact(col), int(foreground))
        return dataclasses.replace(self, points=(*self.points, added))

    def to_json(self) -> dict[str, Any]:
        """Return plain values."""
        values = dataclasses.asdict(self)
        if self.plane is not None:
            values["plane"] = {"index": self.plane.index, "shape": self.plane.shape}
        return values

    @classmethod
    def from_json(cls, values: Mapping[str, Any]) -> ObjectPrompts:
        """Rebuild from `to_json`."""
        plane = values["plane"]
        return cls(
            plane=plane and Plane(index=tuple(plane["index"]), shape=tuple(plane["shape"])),
            points=tuple((float(r), float(c), int(k)) for r, c, k in values["points"]),
            box=values["box"] and tuple(float(side) for side in values["box"]),
            outline=tuple((float(r), float(c)) for r, c in values["outline"]),
            label_id=values["label_id"],
        )


@dataclass(frozen=True, kw_only=True)
class ObjectEntry:
    """One object.

    Attributes
    ----------
    label_id : int
        Its value in the Labels layer.
    bounds : Bounds
        What its pixels lie in.
    prompts : ObjectPrompts or None
        What it was made from, if from prompts.
    category : str
        Its class; empty for none.
    origin : str
        ``"prompts"``, ``"propagated"``, ``"everything"``, ``"alike"``, ``"painted"``, ``"split"``,
        ``"refined"``, or ``"layer"`` for what was there before.
    model : str
        The model that drew it; empty for none.
    candidate : int
        Which of the candidates was taken.
    predicted_iou, stability_score, disagreement : float or None
        What the model told of it, as in `napari_sam.segmentation.doubt`; None where it is not
        known, as in journals that are older than the last two.
    area : int
        Pixels of the mask that was committed.
    time : str
        When, ISO 8601 in UTC.
    reviewed : bool
        Whether a person has looked at it since.
    annotated, stops : tuple of index
        Planes of the image (see `Plane.index`) that a person committed the object on, and planes
        that propagation must not enter.
    """

    label_id: int
    bounds: Bounds
    prompts: ObjectPrompts | None = None
    category: str = ""
    origin: str = "prompts"
    model: str = ""
    candidate: int = 0
    predicted_iou: float | None = None
    stability_score: float | None = None
    disagreement: float | None = None
    area: int = 0
    time: str = ""
    reviewed: bool = False
    annotated: tuple[Index, ...] = ()
    stops: tuple[Index, ...] = ()

    def covering(self, bounds: Bounds) -> ObjectEntry:
        """Return this entry with bounds that hold others, too."""
        return dataclasses.replace(self, bounds=union(self.bounds, bounds))

    @property
    def is_judged(self) -> bool:
        """Whether a model told anything of how good the mask is."""
        told = (self.predicted_iou, self.stability_score, self.disagreement)
        return any(value is not None for value in told)

    @property
    def doubt(self) -> float:
        """How much the mask is to be doubted, 0 ... 1; objects without a score come last."""
        return doubt_of(self.predicted_iou, self.stability_score, self.disagreement)

    def to_json(self) -> dict[str, Any]:
        """Return plain values."""
        values = {f.name: getattr(self, f.name) for f in dataclasses.fields(self)}
        values["prompts"] = None if self.prompts is None else self.prompts.to_json()
        return values

    @classmethod
    def from_json(cls, values: Mapping[str, Any]) -> ObjectEntry:
        """Rebuild from `to_json`."""
        prompts = values["prompts"]
        bounds = tuple((int(low), int(high)) for low, high in values["bounds"])
        rebuilt: dict[str, Any] = {
            name: tuple(tuple(index) for index in values.get(name, ()))
            for name in ("annotated", "stops")
        }
        rebuilt |= {
            "prompts": None if prompts is None else ObjectPrompts.from_json(prompts),
            "bounds": bounds,
        }
        return cls(**{**values, **rebuilt})


@dataclass(frozen=True)
class EntryChange:
    """An entry before and after: None where there is none."""

    before: ObjectEntry | None
    after: ObjectEntry | None

    @property
    def label_id(self) -> int:
        """Whose entry."""
        entry = self.after or self.before
        if entry is None:
            raise ValueError("An entry's change needs the entry before or after")
        return entry.label_id

    def reversed(self) -> EntryChange:
        """Return what takes this back."""
        return EntryChange(self.after, self.before)


class NoSuchObjectError(KeyError, ValueError):
    """An object was asked for that is not in the table."""

    def __str__(self) -> str:
        """Return what is wrong; a KeyError would put it in quotes."""
        return str(self.args[0])


@dataclass
class ObjectTable:
    """The entries of a Labels layer, by label, and the classes with their colours."""

    entries: dict[int, ObjectEntry] = field(default_factory=dict)
    categories: dict[str, str] = field(default_factory=dict)

    def __len__(self) -> int:
        """Return the number of objects."""
        return len(self.entries)

    def __iter__(self) -> Iterator[ObjectEntry]:
        """Go through the entries by label."""
        return iter([self.entries[label] for label in sorted(self.entries)])

    def __contains__(self, label_id: object) -> bool:
        """Tell whether an object is known."""
        return label_id in self.entries

    def __getitem__(self, label_id: int) -> ObjectEntry:
        """Return an object's entry; NoSuchObjectError names what there is."""
        if label_id not in self.entries:
            known = sorted(self.entries)[:20]
            raise NoSuchObjectError(f"There is no object {label_id}; objects: {known}")
        return self.entries[label_id]

    def apply(self, changes: Iterable[EntryChange]) -> None:
        """Put entries as they are after changes."""
        for change in changes:
            if change.after is None:
                self.entries.pop(change.label_id, None)
            else:
                self.entries[change.label_id] = change.after
                self.add_category(change.after.category)

    def add_category(self, name: str, colour: str | None = None) -> None:
        """Make a class known; it gets the next colour unless one is given."""
        if name and (colour is not None or name not in self.categories):
            self.categories[name] = colour or PALETTE[len(self.categories) % len(PALETTE)]

    def by_doubt(self) -> list[ObjectEntry]:
        """Return the objects that nobody reviewed, the most doubtful first."""
        waiting = [entry for entry in self if not entry.reviewed]
        return sorted(waiting, key=lambda entry: -entry.doubt)
