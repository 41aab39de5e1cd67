"""Objects as GeoJSON features, as QuPath reads and writes them.

QuPath has its origin at the corner of the first pixel: pixel (r, c) covers x from c to c + 1 and y
from r to r + 1. Here the centre of that pixel is (r, c); outlines move by half a pixel on the way.
"""

from __future__ import annotations

import itertools
import logging
import math
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from napari_sam.segmentation.annotations import (
    DEFAULT_CATEGORY,
    NESTED,
    AnnotatedImage,
    Annotation,
)
from napari_sam.segmentation.outlines import (
    MOST_PIXELS,
    Polygon,
    fill_patch,
    is_too_large,
    mask_polygons,
)

logger = logging.getLogger(__name__)

Color = tuple[int, int, int]

_Feature = dict[str, Any]
# Seven colours that people who do not see all colours tell apart (Okabe and Ito).
_PALETTE: tuple[Color, ...] = (
    (230, 159, 0),
    (86, 180, 233),
    (0, 158, 115),
    (240, 228, 66),
    (0, 114, 178),
    (213, 94, 0),
    (204, 121, 167),
)
_GEOMETRIES = ("Polygon", "MultiPolygon", "GeometryCollection")
_OWN_MEASUREMENTS = ("label_id", "predicted_iou", "is_crowd")


@dataclass(frozen=True, kw_only=True, eq=False)
class _Outline:
    """What a feature says, before the image's shape is known."""

    polygons: list[Polygon]
    plane: tuple[int, int]  # (t, z)
    category: str
    numbers: dict[str, Any]
    properties: dict[str, Any]


def is_geojson(data: object) -> bool:
    """Tell whether what a JSON file holds are GeoJSON features."""
    if isinstance(data, list):
        return len(data) > 0 and all(_type(feature) == "Feature" for feature in data)
    if _type(data) == "FeatureCollection" and isinstance(data, dict):
        return isinstance(data.get("features"), list)
    return _type(data) in ("Feature", *_GEOMETRIES)


def to_geojson(
    image: AnnotatedImage,
    *,
    object_type: str = "detection",
    colors: Mapping[str, Color] | None = None,
) -> dict[str, Any]:
    """Describe objects as a feature collection for QuPath.

    Parameters
    ----------
    image : AnnotatedImage
        (H, W), (Z, H, W) or (T, Z, H, W).
    object_type : {"detection", "annotation"}
        What the objects are in QuPath: many and fixed, or few and to be edited.
    colors : mapping of str to (int, int, int), optional
        Red, green and blue of a class, 0 ... 255. Other classes have the property ``color`` of
        their first object, or a colour of a palette.

    Returns
    -------
    dict
        For `json.dump`. The label, the score and properties that are numbers are QuPath's
        measurements, properties that are text its metadata; others, which QuPath has no place for,
        are in ``properties`` of its properties. Objects without a class have no classification.

    Raises
    ------
    ValueError
        If the image has more axes.
    """
    if len(image.shape) > 4:
        raise ValueError(
            f"GeoJSON holds (H, W), (Z, H, W) or (T, Z, H, W), got the shape {image.shape}; write "
            "a part of it"
        )
    known = _class_colors(image.annotations, colors or {})
    return {
        "type": "FeatureCollection",
        "features": [
            _feature(annotation, object_type, known)
            for annotation in image.annotations
            if annotation.mask.any()
        ],
        "name": image.name,
        "image_shape": list(image.shape),
    }


def from_geojson(
    data: Mapping[str, Any] | Sequence[Any], shape: tuple[int, ...] | None = None
) -> AnnotatedImage:
    """Read features as QuPath and other tools write them.

    Pixels belong to an object if their centres lie in its outline. Points, lines, objects outside
    the image, and regions of more than 2**30 pixels, such as the tissue of a slide, are left out;
    children of QuPath's objects are objects, too.

    Parameters
    ----------
    data : mapping or sequence
        What `json.load` returned: a feature collection, a list of features, a feature or a
        geometry.
    shape : tuple of int, optional
        (H, W), (Z, H, W) or (T, Z, H, W) of the image. By default what `to_geojson` noted, or
        else as far as the objects reach.

    Returns
    -------
    AnnotatedImage
        Objects have the measurement ``label_id`` as their label; others are counted on from there.
        Other measurements and metadata are properties, and the class's colour is ``color``.

    Raises
    ------
    ValueError
        If it is no GeoJSON, or no feature is a polygon in the image.
    """
    if not is_geojson(data):
        raise ValueError(
            "GeoJSON must be a FeatureCollection, a Feature, a list of Features or a polygon, got "
            f"{str(data)[:80]}"
        )
    features = list(_features(data))
    outlines = [_outline(number, feature) for number, feature in enumerate(features)]
    name, noted = "image", None
    if isinstance(data, Mapping):
        name, noted = str(data.get("name") or name), data.get("image_shape")
    if shape is None:
        shape = _noted_shape(noted)
    within = None if shape is None else shape[-2:]
    outlines = [outline for outline in outlines if not is_too_large(outline.polygons, within)]
    if shape is None:
        shape = _reach(outlines)
    unused = itertools.count(1 + max((_label_id(outline) for outline in outlines), default=0))
    annotations = []
    for outline in outlines:
        patch, corner = fill_patch(outline.polygons, (shape[-2], shape[-1]))
        if patch.any():
            score = outline.numbers.get("predicted_iou")
            annotation = Annotation(
                label_id=_label_id(outline) or next(unused),
                mask=patch,
                corner=corner,
                plane=_plane_in(outline.plane, shape),
                category=outline.category,
                predicted_iou=None if score is None else float(score),
                is_crowd=bool(outline.numbers.get("is_crowd")),
                properties=outline.properties,
            )
            annotations.append(annotation)
    if features and not annotations:
        raise ValueError(
            f"at least one of the {len(features)} features must be a polygon in the image of shape "
            f"{shape}, and of at most {MOST_PIXELS:,} pixels with its surroundings, got none; "
            "coordinates must be pixels"
        )
    if len(annotations) < len(features):
        logger.warning(
            "left out %d features that are no polygons in the image, or larger than %d pixels",
            len(features) - len(annotations),
            MOST_PIXELS,
        )
    return AnnotatedImage(shape=shape, annotations=annotations, name=name)


def _feature(
    annotation: Annotation, object_type: str, colors: Mapping[str, Color]
) -> dict[str, Any]:
    polygons = [
        [_closed(ring) for ring in polygon.rings]
        for polygon in mask_polygons(annotation.mask, annotation.corner)
    ]
    geometry: dict[str, Any] = {"type": "MultiPolygon", "coordinates": polygons}
    if len(polygons) == 1:
        geometry = {"type": "Polygon", "coordinates": polygons[0]}
    t, z = (0, 0, *annotation.plane)[-2:]
    if t or z:
        geometry["plane"] = {"c": -1, "z": z, "t": t}
    numbers, metadata, nested = _sorted_out(annotation.properties)
    properties: dict[str, Any] = {"objectType": object_type}
    if annotation.category != DEFAULT_CATEGORY:
        color = list(colors[annotation.category])
        properties["classification"] = {"name": annotation.category, "color": color}
        if _color(nested) == tuple(color):
            nested.pop("color")  # comes back as the class's
    numbers["label_id"] = annotation.label_id
    if annotation.predicted_iou is not None:
        numbers["predicted_iou"] = annotation.predicted_iou
    if annotation.is_crowd:
        numbers["is_crowd"] = 1
    properties["measurements"] = numbers
    if metadata:
        properties["metadata"] = metadata
    if nested:
        properties[NESTED] = nested
    return {"type": "Feature", "geometry": geometry, "properties": properties}


def _sorted_out(properties: Mapping[str, Any]) -> tuple[_Feature, _Feature, _Feature]:
    """Return the measurements and metadata of QuPath, and what can be neither."""
    numbers, metadata, nested = {}, {}, {}
    for name, value in properties.items():
        if _is_number(value) and name not in _OWN_MEASUREMENTS:
            numbers[name] = value
        elif isinstance(value, str) and name != "color":
            metadata[name] = value
        else:
            nested[name] = value
    return numbers, metadata, nested


def _closed(ring: NDArray[np.float64]) -> list[list[int]]:
    corners = (ring[:, ::-1] + 0.5).astype(int).tolist()
    return [*corners, corners[0]]


def _class_colors(
    annotations: Sequence[Annotation], colors: Mapping[str, Color]
) -> dict[str, Color]:
    chosen = dict(colors)
    for annotation in annotations:
        color = _color({"color": annotation.properties.get("color")})
        if color is not None:
            chosen.setdefault(annotation.category, color)
    names = sorted({annotation.category for annotation in annotations})
    for name, color in zip(names, itertools.cycle(_PALETTE), strict=False):
        chosen.setdefault(name, color)
    return chosen


def _features(data: Any) -> Iterator[_Feature]:
    """Yield the features, and after each the children that QuPath puts into its properties."""
    if isinstance(data, list):
        for feature in data:
            yield from _features(feature)
    elif _type(data) == "FeatureCollection":
        yield from _features(data["features"])
    elif _type(data) in _GEOMETRIES:
        yield {"geometry": data}
    elif _type(data) == "Feature":
        yield data
        children = _dict(data.get("properties")).get("childObjects")
        yield from _features(children if isinstance(children, list) else [])
    else:
        raise ValueError(f"a feature must be an object of type Feature, got {str(data)[:80]}")


def _outline(number: int, feature: _Feature) -> _Outline:
    geometry = _dict(feature.get("geometry"))
    properties = _dict(feature.get("properties"))
    classification = properties.get("classification")
    numbers = _measurements(properties.get("measurements"))
    others = {name: value for name, value in numbers.items() if name not in _OWN_MEASUREMENTS}
    others |= _dict(properties.get("metadata"))
    color = _color(_dict(classification))
    if color is not None:
        others["color"] = list(color)
    others |= _dict(properties.get(NESTED))
    plane = _dict(geometry.get("plane"))
    try:
        return _Outline(
            polygons=_polygons(geometry),
            plane=(max(0, int(plane.get("t", 0))), max(0, int(plane.get("z", 0)))),
            category=_category(classification),
            numbers=numbers,
            properties=others,
        )
    except (TypeError, ValueError, KeyError) as error:
        raise ValueError(
            f"feature {number} must have polygons of rings of points [x, y], got "
            f"{str(geometry)[:80]}"
        ) from error


def _polygons(geometry: Mapping[str, Any]) -> list[Polygon]:
    """Return the polygons of a geometry; none of points and lines."""
    kind = geometry.get("type")
    if kind == "GeometryCollection":
        return [found for part in geometry["geometries"] for found in _polygons(part)]
    if kind not in _GEOMETRIES:
        return []
    parts = [geometry["coordinates"]] if kind == "Polygon" else geometry["coordinates"]
    return [
        Polygon(exterior=rings[0], holes=tuple(rings[1:]))
        for rings in ([_ring(points) for points in part] for part in parts)
        if rings
    ]


def _ring(points: Any) -> NDArray[np.float64]:
    ring = np.array(points, np.float64)
    if ring.ndim != 2 or ring.shape[1] < 2 or not np.isfinite(ring).all():
        raise ValueError(f"points must be finite [x, y], got {points}")
    return ring[:, 1::-1] - 0.5


def _category(classification: Any) -> str:
    """Return the class: text, or an object with name, or with the names of its parts."""
    if isinstance(classification, str) and classification:
        return classification
    named = _dict(classification)
    names = named.get("names")
    if isinstance(names, list) and names:
        return ": ".join(map(str, names))
    return str(named.get("name") or DEFAULT_CATEGORY)


def _color(classification: Mapping[str, Any]) -> Color | None:
    """Return the colour: a list of red, green and blue, or before QuPath 0.4 packed in a number."""
    packed, listed = classification.get("colorRGB"), classification.get("color")
    if isinstance(packed, int):
        return packed >> 16 & 255, packed >> 8 & 255, packed & 255
    if isinstance(listed, list | tuple) and len(listed) >= 3 and all(map(_is_number, listed)):
        red, green, blue = (int(value) for value in listed[:3])
        return red, green, blue
    return None


def _measurements(given: Any) -> dict[str, Any]:
    """Return the numbers: of an object, or before QuPath 0.4 of a list of names and values."""
    if isinstance(given, list):
        given = {str(_dict(entry).get("name")): _dict(entry).get("value") for entry in given}
    return {name: value for name, value in _dict(given).items() if _is_number(value)}


def _label_id(outline: _Outline) -> int:
    return max(0, int(outline.numbers.get("label_id", 0)))


def _noted_shape(noted: Any) -> tuple[int, ...] | None:
    is_shape = isinstance(noted, list) and 2 <= len(noted) <= 4
    if not is_shape or not all(isinstance(length, int) and length >= 0 for length in noted):
        return None
    return tuple(noted)


def _reach(outlines: Sequence[_Outline]) -> tuple[int, ...]:
    """Return the smallest shape from the origin that holds all objects."""
    found = [outline for outline in outlines if outline.polygons]
    ends = [polygon.exterior.max(0) for outline in found for polygon in outline.polygons]
    height, width = np.ceil(np.max(ends, 0) + 0.5).astype(int) if ends else (1, 1)
    t, z = np.max([outline.plane for outline in found], 0) + 1 if found else (1, 1)
    leading = (int(t), int(z))[0 if t > 1 else 1 if z > 1 else 2 :]
    return (*leading, max(1, int(height)), max(1, int(width)))


def _plane_in(plane: tuple[int, int], shape: tuple[int, ...]) -> tuple[int, ...]:
    """Return the index of a plane (t, z) on the axes that an image has before rows and columns."""
    n_leading = len(shape) - 2
    lengths = (1, 1, *shape[:-2])[-2:]
    if n_leading > 2 or any(index >= length for index, length in zip(plane, lengths, strict=True)):
        raise ValueError(
            f"an object lies on t = {plane[0]}, z = {plane[1]}, outside an image of shape {shape}; "
            "give the whole shape (T, Z, H, W)"
        )
    return plane[2 - n_leading :]


def _type(data: object) -> str:
    return str(data.get("type")) if isinstance(data, dict) else ""


def _dict(value: Any) -> dict[str, Any]:
    return value if isinstance(value, dict) else {}


def _is_number(value: object) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool) and math.isfinite(value)
