"""Labels layers to files of other programs and back: napari's writers and readers.

What is known of the objects stands in the layer's features, a row per object: ``index`` (the label;
without this column, the number of the row), ``class``, ``predicted_iou``, and any other column.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from math import prod
from pathlib import Path
from typing import Any

import numpy as np

from napari_sam.segmentation.annotations import AnnotatedImage, annotations_from_labels
from napari_sam.segmentation.coco import to_coco
from napari_sam.segmentation.formats import parse_annotations, read_json, recognize, write_json
from napari_sam.segmentation.geojson import to_geojson
from napari_sam.segmentation.object_table import (
    PIXEL,
    measure_objects,
    measured_names,
    write_table,
)
from napari_sam.viewer.feature_columns import (
    CLASS_COLUMN,
    CROWD_COLUMN,
    features_of,
    known_features,
    named_apart,
    pop_scores,
)

LayerData = tuple[Any, dict[str, Any], str]

CLASS_COLORS = "class_colors"
"""Where a layer's metadata keep red, green and blue of the classes of QuPath."""

_MOST_PIXELS = 2**30
_MOST_LAYERS = 50


def save_coco(path: str, data: Any, meta: Mapping[str, Any]) -> list[str]:
    """Write a Labels layer as COCO, a stack as one COCO image per plane.

    Parameters
    ----------
    path : str
        A ``.json`` file.
    data : array or list of array
        The labels, or their pyramid: (H, W), (Z, H, W) or (T, Z, H, W) integers.
    meta : mapping
        The layer's other attributes, as in its layer data tuple.

    Returns
    -------
    list of str
        The path.
    """
    write_json(path, to_coco(annotated(data, meta)))
    return [path]


def save_geojson(path: str, data: Any, meta: Mapping[str, Any]) -> list[str]:
    """Write a Labels layer as features for QuPath; see `save_coco`."""
    colors = dict(meta.get("metadata", {}).get(CLASS_COLORS, {}))
    write_json(path, to_geojson(annotated(data, meta), colors=colors))
    return [path]


def save_csv(path: str, data: Any, meta: Mapping[str, Any]) -> list[str]:
    """Write measurements of a Labels layer's objects in its units, with its features.

    A layer whose scale is not 1 but whose unit is napari's default, the pixel, is measured by its
    scale, and the header names no unit. Features that are called like a measurement have
    ``feature_`` before their name.

    Parameters
    ----------
    path : str
        A ``.csv`` file.
    data : array or list of array
        The labels, or their pyramid: (H, W) or (Z, H, W) integers.
    meta : mapping
        The layer's other attributes, as in its layer data tuple.

    Returns
    -------
    list of str
        The path.

    Raises
    ------
    ValueError
        If the axes have different units, or are more than three.
    """
    labels = np.asarray(_finest(data, meta))
    scale, units = _scale(labels.ndim, meta), set(_units(labels.ndim, meta))
    if len(units) > 1:
        raise ValueError(
            f"the axes of a layer must have one unit for its objects to be measured, got "
            f"{sorted(units)}; set layer.units, or save one time point"
        )
    table = measure_objects(
        labels,
        spacing=[abs(size) for size in scale],
        unit=units.pop(),
        columns=named_apart(known_features(meta), measured_names(labels.ndim)),
    )
    write_table(table, path)
    return [path]


def save_tiff(path: str, data: Any, meta: Mapping[str, Any]) -> list[str]:
    """Write a Labels layer as a compressed OME-TIFF with the size of its pixels.

    The labels have the smallest type that holds them. What the features say is not written.

    Parameters
    ----------
    path : str
        A ``.tif`` or ``.tiff`` file.
    data : array or list of array
        The labels, or their pyramid: (H, W), (Z, H, W) or (T, Z, H, W) integers.
    meta : mapping
        The layer's other attributes, as in its layer data tuple.

    Returns
    -------
    list of str
        The path.

    Raises
    ------
    ValueError
        If the layer has more axes, or labels from 2**32; if the file's name or folder will not do.
    """
    from napari_sam.volume.tiff_export import write_tiff

    labels = _finest(data, meta)
    scale, units = _lengths(len(labels.shape), meta)
    name = str(meta.get("name", "labels"))
    write_tiff(path, labels, name=name, scale=scale, units=units, least=np.uint8)
    return [path]


def save_ome_zarr(path: str, data: Any, meta: Mapping[str, Any]) -> list[str]:
    """Write a Labels layer as an OME-Zarr label image; `path` is a new folder.

    Its class and score columns are not written. See `napari_sam.volume.zarr_export.write_ome_zarr`.
    """
    from napari_sam.volume.zarr_export import write_ome_zarr

    labels = _finest(data, meta)
    ndim = len(labels.shape)
    write_ome_zarr(
        path,
        labels,
        name=str(meta.get("name", "labels")),
        scale=_scale(ndim, meta),
        translation=[float(offset) for offset in meta.get("translate", (0.0,) * ndim)],
        units=[None if unit == PIXEL else unit for unit in _units(ndim, meta)],
    )
    return [path]


def get_reader(path: str | Sequence[str]) -> Callable[..., list[LayerData]] | None:
    """Return a function that reads a file as Labels layers, or None where that is not ours.

    Parameters
    ----------
    path : str or sequence of str
        A ``.geojson`` file, or a ``.json`` file that may be COCO, SA-1B, GeoJSON or anything else.
        Several files are left to other readers.

    Returns
    -------
    callable or None
        Takes the path and returns layer data tuples.
    """
    if not isinstance(path, str | os.PathLike):
        return None
    name = Path(path)
    if name.suffix.lower() == ".geojson":
        return lambda *_, **__: _layers(read_json(path), name)
    if name.suffix.lower() != ".json":
        return None
    try:
        data = read_json(path)
    except (OSError, ValueError):
        return None
    if recognize(data) is None:
        return None
    return lambda *_, **__: _layers(data, name)


def annotated(data: Any, meta: Mapping[str, Any]) -> AnnotatedImage:
    """Return the objects of a Labels layer with what its features say.

    Parameters
    ----------
    data, meta
        Of a layer data tuple: ``data, meta, _ = layer.as_layer_data_tuple()``.
    """
    labels = _finest(data, meta)
    known = known_features(meta)
    categories, scores = known.pop(CLASS_COLUMN, {}), pop_scores(known)
    crowds = known.pop(CROWD_COLUMN, {})
    properties: dict[int, dict[str, Any]] = {}
    for name, by_label in known.items():
        for label_id, value in by_label.items():
            properties.setdefault(label_id, {})[name] = value
    found = annotations_from_labels(
        labels,
        categories={label_id: str(name) for label_id, name in categories.items()},
        predicted_iou=scores,
        properties=properties,
    )
    return AnnotatedImage(
        shape=tuple(int(length) for length in labels.shape),
        annotations=[
            replace(one, is_crowd=True) if crowds.get(one.label_id) else one for one in found
        ],
        name=str(meta.get("name", "labels")),
    )


def layer_data(image: AnnotatedImage) -> LayerData:
    """Return the layer data tuple of a Labels layer that shows objects.

    Labels are uint16, uint32 beyond 65,535, or uint64 beyond that.

    Raises
    ------
    ValueError
        If the image is too large to be drawn at once.
    """
    if prod(image.shape) > _MOST_PIXELS:
        raise ValueError(
            f"{image.name} must have at most {_MOST_PIXELS:,} pixels to be shown, got the shape "
            f"{image.shape}; draw a part of its annotations in a script"
        )
    labels = image.labels()
    is_small = labels.max(initial=0) <= np.iinfo(np.uint16).max
    colors = {
        one.category: tuple(one.properties["color"])
        for one in image.annotations
        if isinstance(one.properties.get("color"), list)
    }
    meta = {
        "name": image.name,
        "features": features_of(image.annotations),
        "metadata": {CLASS_COLORS: colors} if colors else {},
    }
    return labels.astype(np.uint16) if is_small else labels, meta, "labels"


def _layers(data: Any, path: Path) -> list[LayerData]:
    images = parse_annotations(data, path.name)
    if not 1 <= len(images) <= _MOST_LAYERS:
        raise ValueError(
            f"{path.name} must have 1 to {_MOST_LAYERS} images to be shown as layers, got "
            f"{len(images)}; choose among them in a script, with read_annotations"
        )
    return [
        layer_data(image if image.name != "image" else replace(image, name=path.stem))
        for image in images
    ]


def _finest(data: Any, meta: Mapping[str, Any]) -> Any:
    return data[0] if meta.get("multiscale") else data


def _scale(ndim: int, meta: Mapping[str, Any]) -> list[float]:
    return [float(size) for size in meta.get("scale", (1.0,) * ndim)]


def _units(ndim: int, meta: Mapping[str, Any]) -> list[str]:
    """Return the names of the axes' units; "pixel" where there is none."""
    return [str(unit) for unit in meta.get("units") or (PIXEL,) * ndim]


def _lengths(ndim: int, meta: Mapping[str, Any]) -> tuple[list[float], list[str | None]]:
    """Return the sizes of a pixel and their units, 1 and none along axes that are no lengths."""
    from napari_sam.volume.units import SYMBOLS, unit_name

    scale = [abs(size) for size in _scale(ndim, meta)]
    units = [unit_name(unit) for unit in _units(ndim, meta)]
    lengths = [unit is None or unit in SYMBOLS for unit in units]
    return (
        [size if is_length else 1.0 for size, is_length in zip(scale, lengths, strict=True)],
        [unit if is_length else None for unit, is_length in zip(units, lengths, strict=True)],
    )
