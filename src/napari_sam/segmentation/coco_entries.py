"""The parts of COCO and SA-1B files: the entries of images and annotations.

Masks are written as compressed run lengths, which keep holes; polygons are read, too. Coordinates
are (x, y) with x = col and y = row. Polygons have their origin at the corner of the first pixel:
pixel (r, c) covers x from c to c + 1 and y from r to r + 1.
"""

from __future__ import annotations

import itertools
import logging
from collections.abc import Callable, Mapping, Sequence
from pathlib import PurePath
from typing import Any, TypeGuard

import numpy as np
from numpy.typing import NDArray

from napari_sam.segmentation.annotations import NESTED, AnnotatedImage, Annotation
from napari_sam.segmentation.outlines import Polygon, fill_patch, is_too_large
from napari_sam.segmentation.rle import decode_patch, rle_from_dict, rle_to_dict

logger = logging.getLogger(__name__)

Entry = dict[str, Any]
_IDS = {"id", "image_id", "category_id", "label_id"}
_OWN_FIELDS = {*_IDS, "segmentation", "area", "bbox", "iscrowd", "score", "predicted_iou", NESTED}


def image_entry(image: AnnotatedImage, plane: tuple[int, ...], image_id: int) -> Entry:
    """Return the entry of an image, or of one plane of a stack."""
    height, width = image.plane_shape
    entry = {"id": image_id, "width": width, "height": height, "file_name": image.name}
    if not plane:
        return entry
    path = PurePath(image.name)
    number = "_".join(f"{index:04d}" for index in plane)
    name = f"{path.stem}_{number}{path.suffix}"
    return {**entry, "file_name": name, "stack": image.name, "plane": list(plane)}


def annotation_entry(annotation: Annotation, shape: tuple[int, int], **fields: Any) -> Entry:
    """Return the entry of an object: its mask, its properties, and the fields that are not None.

    Properties that are called like fields are in one of their own.
    """
    rle = annotation.rle(shape)
    top, left, bottom, right = rle.box
    given = annotation.properties.items()
    nested = {name: value for name, value in given if name in _OWN_FIELDS}
    return {
        **{name: value for name, value in given if name not in _OWN_FIELDS},
        **({NESTED: nested} if nested else {}),
        **{name: value for name, value in fields.items() if value is not None},
        "segmentation": rle_to_dict(rle),
        "area": rle.area,
        "bbox": [left, top, right - left, bottom - top],
        "label_id": annotation.label_id,
    }


def read_planes(
    images: Sequence[Entry], entries: Sequence[Sequence[Entry]], category: Callable[[Entry], str]
) -> AnnotatedImage:
    """Read an image, or the planes of a stack, with the entries of their annotations.

    Annotations without a mask are left out. Those without ``label_id`` get the next free one.
    """
    shape = _size(images[0], entries[0])
    planes = [plane_index(image) for image in images]
    _check_stack(images, planes, [_size(*pair) for pair in zip(images, entries, strict=True)])
    given = [_whole(entry, "label_id") or 0 for found in entries for entry in found]
    unused = itertools.count(max(given, default=0) + 1)
    annotations = []
    for plane, found in zip(planes, entries, strict=True):
        for entry in found:
            cut = _cut_out(entry, shape)
            if cut is not None:
                label_id = _whole(entry, "label_id") or next(unused)
                annotations.append(_annotation(entry, cut, label_id, plane, category(entry)))
    leading = tuple(max(indices) + 1 for indices in zip(*planes, strict=True))
    name = images[0].get("stack" if leading else "file_name")
    return AnnotatedImage(
        shape=(*leading, *shape), annotations=annotations, name=str(name or "image")
    )


def plane_index(image: Entry) -> tuple[int, ...]:
    """Return which plane of a stack an image is; () if of none."""
    plane = image.get("plane")
    if not isinstance(plane, list):
        return ()
    is_index = all(isinstance(index, int) and index >= 0 for index in plane)
    return tuple(plane) if is_index else ()


def is_list_of_dicts(value: object) -> TypeGuard[list[Entry]]:
    """Tell whether a value is a list with nothing but dictionaries, if anything."""
    return isinstance(value, list) and all(isinstance(entry, dict) for entry in value)


def summary(data: object) -> str:
    """Return what a message says of a file's contents."""
    if isinstance(data, Mapping):
        return f"an object with {', '.join(map(repr, list(data)[:8])) or 'nothing in it'}"
    return f"{type(data).__name__} {data!r}"[:80]


def report_left_out(n_given: int, n_read: int) -> None:
    """Say in the log that annotations have no mask; raise ValueError if none has one."""
    if n_given and not n_read:
        raise ValueError(
            f"at least one of the {n_given} annotations must have a mask, got none; boxes alone "
            "make no objects: export with segmentation"
        )
    if n_read < n_given:
        logger.warning("left out %d annotations without a mask that can be drawn", n_given - n_read)


def _check_stack(
    images: Sequence[Entry],
    planes: Sequence[tuple[int, ...]],
    sizes: Sequence[tuple[int, int]],
) -> None:
    for what, values in (
        ("as many plane numbers", {len(plane) for plane in planes}),
        ("one size", set(sizes)),
    ):
        if len(values) > 1:
            raise ValueError(
                f"the images of stack {images[0].get('stack')!r} must have {what}, "
                f"got {sorted(values)}; give them other stack names"
            )


def _annotation(
    entry: Entry,
    cut: tuple[NDArray[np.bool_], tuple[int, int]],
    label_id: int,
    plane: tuple[int, ...],
    category: str,
) -> Annotation:
    score = entry.get("score", entry.get("predicted_iou"))
    return Annotation(
        label_id=label_id,
        mask=cut[0],
        corner=cut[1],
        plane=plane,
        category=category,
        predicted_iou=float(score) if isinstance(score, int | float) else None,
        is_crowd=bool(entry.get("iscrowd", 0)),
        properties=_properties(entry),
    )


def _properties(entry: Entry) -> Entry:
    """Return what is no field of COCO's, also from where `annotation_entry` put it."""
    found = {name: value for name, value in entry.items() if name not in _OWN_FIELDS}
    nested = entry.get(NESTED, {})
    return found | (nested if isinstance(nested, dict) else {NESTED: nested})


def _cut_out(
    entry: Entry, shape: tuple[int, int]
) -> tuple[NDArray[np.bool_], tuple[int, int]] | None:
    """Return mask and corner of an annotation, or None if it has no pixel, or too many."""
    segmentation = entry.get("segmentation")
    if not segmentation:
        return None
    try:
        if isinstance(segmentation, dict):
            patch, corner = _decoded(segmentation, shape)
        else:
            polygons = _polygons(segmentation)
            if is_too_large(polygons, shape):
                return None
            patch, corner = fill_patch(polygons, shape)
    except ValueError as error:
        raise ValueError(f"annotation {entry.get('id')}: {error}") from error
    return (patch, corner) if patch.any() else None


def _decoded(
    segmentation: Entry, shape: tuple[int, int]
) -> tuple[NDArray[np.bool_], tuple[int, int]]:
    rle = rle_from_dict(segmentation)
    if rle.shape != shape:
        raise ValueError(
            f"size must be [height, width] of its image, {list(shape)}, got {list(rle.shape)}"
        )
    return decode_patch(rle), rle.box[:2]


def _polygons(segmentation: Any) -> list[Polygon]:
    """Read lists [x0, y0, x1, y1, ...], one list alone, or a list of points [x, y]."""
    try:
        if not isinstance(segmentation[0], list):
            segmentation = [segmentation]
        elif all(len(part) == 2 for part in segmentation):
            segmentation = [[number for point in segmentation for number in point]]
        rings = [np.array(part, np.float64).reshape(-1, 2) for part in segmentation]
    except (TypeError, ValueError, KeyError) as error:
        raise ValueError(
            "polygons must be lists [x0, y0, x1, y1, ...] with an even count of numbers, got "
            f"{repr(segmentation)[:80]}"
        ) from error
    if not all(np.isfinite(ring).all() for ring in rings):
        raise ValueError("polygons must have finite coordinates, got nan or infinity")
    return [Polygon(exterior=ring[:, ::-1] - 0.5) for ring in rings]


def _size(image: Entry, entries: Sequence[Entry]) -> tuple[int, int]:
    """Return height and width of an image, from its masks where it does not say."""
    height, width = _whole(image, "height"), _whole(image, "width")
    if height is not None and width is not None:
        return height, width
    for entry in entries:
        segmentation = entry.get("segmentation")
        if isinstance(segmentation, dict):
            return rle_from_dict(segmentation).shape
    raise ValueError(
        f"image {image.get('id')} must have width and height in pixels, "
        f"got {image.get('width')!r} and {image.get('height')!r}; add them"
    )


def _whole(entry: Entry, name: str) -> int | None:
    value = entry.get(name)
    if value is None or isinstance(value, int):  # a float would round large ones
        return value
    try:
        is_digits = isinstance(value, str) and value.strip().isdecimal()
        return int(value) if is_digits else int(float(value))
    except (TypeError, ValueError, OverflowError) as error:
        raise ValueError(f"{name} must be a whole number, got {value!r}") from error
