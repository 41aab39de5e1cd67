"""Objects one by one, as annotation files have them: from labels, and back to labels."""

from __future__ import annotations

import datetime as dt
import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray
from scipy import ndimage

from napari_sam.segmentation.labels import MaskRecord
from napari_sam.segmentation.rle import RunLengths, encode_patch

DEFAULT_CATEGORY = "object"
"""The class of objects that were given none."""

_FEW = 2**16  # numbers that are counted through in no time

NESTED = "properties"
"""Where files keep what has no place, or no name, among their own fields."""

OnTop = Literal["small", "score"]


@dataclass(frozen=True, kw_only=True, eq=False)
class Annotation:
    """One object in one plane of an image or stack.

    Attributes
    ----------
    label_id : int
        The object's number, from 1. An object of a stack has one annotation per plane.
    mask : ndarray
        (h, w) bool, cut to the object or to any part of the plane that holds it.
    corner : (int, int)
        Row and column of the mask's first pixel in the plane.
    plane : tuple of int
        Index on the axes before rows and columns: () in an image, (z,) in a stack, (t, z) in a
        series of stacks.
    category : str
        The class.
    predicted_iou : float or None
        The score, 0 ... 1; None where there is none, as for an object that a person drew.
    is_crowd : bool
        Whether the mask covers a group of objects that were not told apart.
    properties : mapping
        Anything else that JSON holds, named as in the files; dates become text.
    """

    label_id: int
    mask: NDArray[np.bool_]
    corner: tuple[int, int]
    plane: tuple[int, ...] = ()
    category: str = DEFAULT_CATEGORY
    predicted_iou: float | None = None
    is_crowd: bool = False
    properties: Mapping[str, Any] = field(default_factory=dict)

    def __post_init__(self) -> None:
        """Check what could not be drawn or written; make plain what came from numpy or pandas."""
        score = self.predicted_iou
        plain = {
            "label_id": int(self.label_id),
            "corner": (int(self.corner[0]), int(self.corner[1])),
            "plane": tuple(int(index) for index in self.plane),
            "predicted_iou": None if score is None else _plain(float(score)),
            "properties": _plain(self.properties),
        }
        for name, value in plain.items():
            object.__setattr__(self, name, value)
        if self.label_id < 1:
            raise ValueError(f"label_id must be 1 or more, got {self.label_id}; 0 is background")
        if self.mask.ndim != 2 or self.mask.dtype != np.bool_:
            raise ValueError(
                f"mask must be (h, w) bool, got {self.mask.dtype} of shape {self.mask.shape}"
            )

    @property
    def area(self) -> int:
        """Pixels of the mask."""
        return int(np.count_nonzero(self.mask))

    @property
    def slices(self) -> tuple[slice, slice]:
        """Where the mask lies in the plane."""
        (row, col), (height, width) = self.corner, self.mask.shape
        return slice(row, row + height), slice(col, col + width)

    def rle(self, shape: tuple[int, int]) -> RunLengths:
        """Return the mask as run lengths in a plane of that shape."""
        return encode_patch(self.mask, self.corner, shape)


@dataclass(frozen=True, kw_only=True, eq=False)
class AnnotatedImage:
    """The objects of an image or stack: what a file holds.

    Attributes
    ----------
    shape : tuple of int
        (H, W), (Z, H, W) or (T, Z, H, W).
    annotations : sequence of Annotation
        May overlap.
    name : str
        The image's file name, or any other.

    Raises
    ------
    ValueError
        If an annotation does not lie in an image of that shape.
    """

    shape: tuple[int, ...]
    annotations: Sequence[Annotation]
    name: str = "image"

    def __post_init__(self) -> None:
        """Check that the objects lie in the image; make plain a shape of numpy's."""
        object.__setattr__(self, "shape", tuple(int(length) for length in self.shape))
        if len(self.shape) < 2:
            raise ValueError(f"shape must be (H, W) or (Z, H, W), got {self.shape}")
        for annotation in self.annotations:
            _check_inside(annotation, self.shape)

    @property
    def plane_shape(self) -> tuple[int, int]:
        """Height and width."""
        return self.shape[-2], self.shape[-1]

    def planes(self) -> dict[tuple[int, ...], list[Annotation]]:
        """Return the annotations of every plane, in the order of planes; also of those without."""
        found: dict[tuple[int, ...], list[Annotation]] = {
            index: [] for index in np.ndindex(*self.shape[:-2])
        }
        for annotation in self.annotations:
            found[annotation.plane].append(annotation)
        return found

    def labels(self, *, on_top: OnTop = "small") -> NDArray[np.unsignedinteger]:
        """Draw the objects; see `labels_from_annotations`."""
        return labels_from_annotations(self.annotations, self.shape, on_top=on_top)


def annotations_from_labels(
    labels: NDArray[np.integer],
    *,
    categories: Mapping[int, str] | None = None,
    predicted_iou: Mapping[int, float] | None = None,
    properties: Mapping[int, Mapping[str, Any]] | None = None,
) -> list[Annotation]:
    """Cut labels into objects.

    Parameters
    ----------
    labels : ndarray
        (H, W), (Z, H, W) or (T, Z, H, W) integers, 0 for background; read plane by plane.
    categories, predicted_iou, properties : mapping, optional
        Class, score and other properties of a label; labels may be missing.

    Returns
    -------
    list of Annotation
        By plane, then by label.

    Raises
    ------
    ValueError
        If labels are no integers, negative, or have less than two axes.
    """
    categories, predicted_iou = categories or {}, predicted_iou or {}
    properties = properties or {}
    if len(labels.shape) < 2:
        raise ValueError(f"labels must be (H, W) or (Z, H, W), got the shape {labels.shape}")
    found = []
    for index in np.ndindex(*labels.shape[:-2]):
        ids, numbers = compact(np.asarray(labels[index]))
        for number, where in enumerate(_boxes(numbers), start=1):
            if where is None:
                continue
            label_id = int(ids[number])
            rows, cols = where
            found.append(
                Annotation(
                    label_id=label_id,
                    mask=numbers[where] == number,
                    corner=(rows.start, cols.start),
                    plane=index,
                    category=categories.get(label_id, DEFAULT_CATEGORY),
                    predicted_iou=predicted_iou.get(label_id),
                    properties=properties.get(label_id, {}),
                )
            )
    return found


def labels_from_annotations(
    annotations: Iterable[Annotation], shape: tuple[int, ...], *, on_top: OnTop = "small"
) -> NDArray[np.unsignedinteger]:
    """Draw objects into labels.

    Parameters
    ----------
    annotations : iterable of Annotation
        May overlap.
    shape : tuple of int
        (H, W), (Z, H, W) or (T, Z, H, W).
    on_top : {"small", "score"}
        Which of two objects has the pixels that they share: the smaller one, or the one of the
        higher score, where an object without a score counts as 1. The other one decides ties.

    Returns
    -------
    ndarray
        `shape`, uint32, or uint64 where an id needs it, with the label ids of the annotations.

    Raises
    ------
    ValueError
        If an annotation does not lie in the shape, or its label id is beyond uint64.
    """
    if on_top not in ("small", "score"):
        raise ValueError(f"on_top must be 'small' or 'score', got {on_top!r}")

    def rank(annotation: Annotation) -> tuple[float, float]:
        size = -float(annotation.area)
        score = 1.0 if annotation.predicted_iou is None else annotation.predicted_iou
        return (size, score) if on_top == "small" else (score, size)

    ranked = sorted(annotations, key=rank)
    highest = max((annotation.label_id for annotation in ranked), default=0)
    if highest >= 2**64:
        raise ValueError(f"label_id must be below 2**64, got {highest}; renumber")
    labels = np.zeros(shape, np.uint32 if highest < 2**32 else np.uint64)
    for annotation in ranked:
        _check_inside(annotation, shape)
        labels[annotation.plane][annotation.slices][annotation.mask] = annotation.label_id
    return labels


def annotations_from_records(records: Sequence[MaskRecord]) -> list[Annotation]:
    """Number the records of `generate_masks` 1 ... n, with what SA-1B says of a mask."""
    found = []
    for label_id, record in enumerate(records, start=1):
        top, left, bottom, right = record.crop_box
        row, col = record.point
        properties = {
            "stability_score": record.stability_score,
            "point_coords": [[col, row]],
            "crop_box": [left, top, right - left, bottom - top],
        }
        found.append(
            Annotation(
                label_id=label_id,
                mask=record.mask,
                corner=record.box[:2],
                predicted_iou=record.predicted_iou,
                properties=properties,
            )
        )
    return found


def compact(labels: NDArray[np.integer]) -> tuple[NDArray[np.integer], NDArray[np.integer]]:
    """Renumber labels where their ids are too high to count up to, or far more than the labels.

    Returns
    -------
    ids : ndarray
        (n + 1,) the label id of each number; 0 for 0.
    numbers : ndarray
        Labels of the same shape with numbers 0 ... n; not every number has pixels.

    Raises
    ------
    ValueError
        If labels are no integers, or negative.
    """
    if labels.dtype.kind not in "uib":
        raise ValueError(f"labels must be integers, got {labels.dtype}; convert them with astype")
    if labels.dtype.kind == "b":
        labels = labels.astype(np.uint8)
    if labels.size and labels.min() < 0:
        raise ValueError(
            f"labels must be 0 (background) or more, got {labels.min()}; set such pixels to 0"
        )
    highest = int(labels.max(initial=0))
    if highest < _FEW:
        return np.arange(highest + 1), labels
    if highest <= labels.size + _FEW and np.count_nonzero(labels) > labels.size // 16:
        present = np.zeros(highest + 1, bool)
        present[labels] = True
        present[0] = True
        ids = np.flatnonzero(present)
        if len(ids) > highest // 2:
            return np.arange(highest + 1), labels
        return ids, (np.cumsum(present, dtype=np.int32) - np.int32(1))[labels]
    flat = labels.reshape(-1)
    where = np.flatnonzero(flat)
    ids, inverse = np.unique(flat[where], return_inverse=True)
    numbers = np.zeros(flat.shape, np.int32)
    numbers[where] = inverse + 1
    return np.insert(ids, 0, 0), numbers.reshape(labels.shape)


def _boxes(numbers: NDArray[np.integer]) -> list[tuple[slice, slice] | None]:
    """Return the slices of 1, 2, ...; None for numbers without pixels."""
    return ndimage.find_objects(numbers) if numbers.size else []


def _plain(value: Any) -> Any:
    """Return what JSON holds for a value of numpy's or pandas'; NaN and infinity are nothing.

    Dates and durations are text.
    """
    if isinstance(value, np.generic | np.ndarray):
        value = (value.astype(str) if value.dtype.kind in "mM" else value).tolist()
    if isinstance(value, dt.date | dt.time):
        return value.isoformat()
    if isinstance(value, dt.timedelta):
        return str(value)
    if isinstance(value, float):
        return value if math.isfinite(value) else None
    if isinstance(value, Mapping):
        return {name: _plain(inner) for name, inner in value.items()}
    if isinstance(value, list | tuple):
        plain = [_plain(inner) for inner in value]
        return plain if isinstance(value, list) else tuple(plain)
    return value


def _check_inside(annotation: Annotation, shape: tuple[int, ...]) -> None:
    low = (*annotation.plane, *annotation.corner)
    size = (*(1 for _ in annotation.plane), *annotation.mask.shape)
    fits = len(low) == len(shape) and all(
        first >= 0 and first + length <= limit
        for first, length, limit in zip(low, size, shape, strict=True)
    )
    if not fits:
        raise ValueError(
            f"object {annotation.label_id} (plane {annotation.plane}, corner {annotation.corner}, "
            f"{annotation.mask.shape} pixels) does not lie in an image of shape {shape}"
        )
