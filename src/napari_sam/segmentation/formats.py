"""Annotation files: COCO and SA-1B as ``.json``, GeoJSON as ``.geojson``."""

from __future__ import annotations

import json
import os
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any, Literal

from napari_sam.segmentation.annotations import AnnotatedImage
from napari_sam.segmentation.coco import from_coco, is_coco, to_coco
from napari_sam.segmentation.geojson import from_geojson, is_geojson, to_geojson
from napari_sam.segmentation.sa1b import from_sa1b, is_sa1b, to_sa1b
from napari_sam.whole_files import write_text

Format = Literal["coco", "sa1b", "geojson"]

_BY_SUFFIX: dict[str, Format] = {".json": "coco", ".geojson": "geojson"}
_WRITERS: dict[str, Callable[[AnnotatedImage], dict[str, Any]]] = {
    "coco": to_coco,
    "sa1b": to_sa1b,
    "geojson": to_geojson,
}


def recognize(data: object) -> Format | None:
    """Tell which format the contents of a JSON file have; None if it is another one."""
    if is_sa1b(data):
        return "sa1b"
    if is_coco(data):
        return "coco"
    return "geojson" if is_geojson(data) else None


def write_annotations(
    path: str | os.PathLike[str],
    image: AnnotatedImage,
    *,
    file_format: Format | None = None,
) -> None:
    """Write the objects of an image or stack to a file.

    Parameters
    ----------
    path : str or Path
        The file; one that is there is replaced when the new one is whole.
    image : AnnotatedImage
        The objects.
    file_format : {"coco", "sa1b", "geojson"}, optional
        By default COCO for ``.json`` and GeoJSON for ``.geojson``. `to_coco`, `to_sa1b` and
        `to_geojson` have more options; `write_json` writes what they return.

    Raises
    ------
    ValueError
        If the format is not known, or does not hold such an image.
    """
    path = Path(path)
    chosen = file_format or _BY_SUFFIX.get(path.suffix.lower())
    if chosen not in _WRITERS:
        raise ValueError(
            f"annotations are written as .json or .geojson, or with file_format= one of "
            f"{list(_WRITERS)}, got {path.name!r} and {file_format!r}"
        )
    write_json(path, _WRITERS[chosen](image))


def write_json(path: str | os.PathLike[str], data: Mapping[str, Any]) -> None:
    """Write what `to_coco`, `to_sa1b` or `to_geojson` returned.

    Raises
    ------
    TypeError
        If it holds something that JSON has no form for.
    """
    text = json.dumps(
        data, default=_refused, allow_nan=False, separators=(",", ":"), ensure_ascii=False
    )
    write_text(path, text)


def read_annotations(path: str | os.PathLike[str]) -> list[AnnotatedImage]:
    """Read COCO, SA-1B or GeoJSON, whatever the file is called.

    Raises
    ------
    FileNotFoundError
        If there is no such file.
    ValueError
        If it is none of these, or damaged.
    """
    return parse_annotations(read_json(path), Path(path).name)


def parse_annotations(data: Any, name: str) -> list[AnnotatedImage]:
    """Read the contents of the JSON file of a name; see `read_annotations`."""
    kind = recognize(data)
    try:
        if kind == "coco":
            return from_coco(data)
        if kind == "sa1b":
            return [from_sa1b(data)]
        if kind == "geojson":
            return [from_geojson(data)]
    except ValueError as error:
        raise ValueError(f"{name}: {error}") from error
    raise ValueError(
        f"{name} must be COCO (images, annotations), SA-1B (image, annotations) or GeoJSON "
        f"(features), got {str(data)[:80]}"
    )


def read_json(path: str | os.PathLike[str]) -> Any:
    """Read a JSON file.

    Raises
    ------
    FileNotFoundError
        If there is no such file.
    ValueError
        If it is not JSON.
    """
    path = Path(path)
    try:
        return json.loads(path.read_text(encoding="utf-8-sig"))
    except (ValueError, RecursionError) as error:
        raise ValueError(f"{path.name} must be JSON in UTF-8, got another file: {error}") from error


def _refused(value: Any) -> Any:
    raise TypeError(f"annotations must hold numbers, text and lists, got {type(value).__name__}")
