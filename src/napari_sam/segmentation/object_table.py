"""Measurements of objects, one row each, in physical units; written and read as CSV."""

from __future__ import annotations

import csv
import os
import re
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from skimage.measure import regionprops_table

from napari_sam.segmentation.annotations import compact
from napari_sam.segmentation.whole_files import replacing

PIXEL = "pixel"
TEXT_COLUMNS = ("class", "model")

_AXES = ("z", "row", "col")
_LENGTHS = {
    "equivalent_diameter_area": "equivalent_diameter",
    "axis_major_length": "axis_major_length",
    "axis_minor_length": "axis_minor_length",
}
_SHAPES_2D = ("eccentricity", "solidity")
_INTENSITIES = ("intensity_mean", "intensity_max", "intensity_min")
_HEADER = re.compile(r"(?P<name>.*\S) \[(?P<unit>[^\[\]]+)\]")


@dataclass(frozen=True, kw_only=True, eq=False)
class MeasurementTable:
    """A table with a row for each object.

    Attributes
    ----------
    columns : mapping of str to ndarray
        (n,) each; the first is ``label_id``.
    units : mapping of str to str
        Unit of a column, where it has one.

    Raises
    ------
    ValueError
        If there is no ``label_id``, or columns differ in length.
    """

    columns: Mapping[str, NDArray[Any]]
    units: Mapping[str, str] = field(default_factory=dict)

    def __post_init__(self) -> None:
        """Check the columns."""
        if "label_id" not in self.columns:
            raise ValueError(
                f"a table of objects must have the column label_id, got {list(self.columns)}"
            )
        lengths = {name: len(values) for name, values in self.columns.items()}
        if len(set(lengths.values())) > 1:
            raise ValueError(f"columns must have one length, got {lengths}")

    def __len__(self) -> int:
        """Return the number of objects."""
        return len(self.columns["label_id"])


def measure_objects(
    labels: NDArray[np.integer],
    image: NDArray[Any] | None = None,
    *,
    spacing: Sequence[float] | None = None,
    unit: str = PIXEL,
    columns: Mapping[str, Mapping[int, Any]] | None = None,
) -> MeasurementTable:
    """Measure objects.

    Parameters
    ----------
    labels : ndarray
        (H, W) or (Z, H, W) integers, 0 for background.
    image : ndarray, optional
        Intensities, of the same shape or with channels in one more axis at the end.
    spacing : sequence of float, optional
        Size of a pixel along each axis, in `unit`; 1 by default.
    unit : str
        Unit of `spacing`, such as ``"micrometer"``. With ``"pixel"`` and a spacing other than 1,
        nobody knows what is measured in: such columns have no unit.
    columns : mapping of str to mapping of int to value, optional
        Columns more: numbers or text by label id, such as the class and the score. Missing values
        are nan or empty text.

    Returns
    -------
    MeasurementTable
        By label id: ``area`` (``volume`` of a stack), ``centroid_row``, ``equivalent_diameter``,
        ``axis_major_length``, ``axis_minor_length``, in 2D ``eccentricity`` and ``solidity``,
        with an image ``intensity_mean``, ``intensity_max`` and ``intensity_min`` (``_0``, ``_1``,
        ... for channels), and the box ``row_min`` ... ``row_max`` (one past the object), which is
        always in pixels. The centre of the first pixel is at 0.

    Raises
    ------
    ValueError
        If labels are no integers or not 2D or 3D, or image, spacing or a column do not fit.
    """
    spacing = _checked_spacing(labels.shape, spacing)
    is_unknown = unit == PIXEL and any(length != 1 for length in spacing)
    names, units = _measured(len(spacing), "" if is_unknown else unit)
    if image is not None:
        if labels.shape not in (image.shape, image.shape[:-1]):
            raise ValueError(
                f"image must have the shape of the labels {labels.shape}, with channels in one "
                f"more axis at the end if any, got {image.shape}"
            )
        image = np.asarray(image)
        names |= {name: name for name in _INTENSITIES}
    ids, numbers = compact(np.asarray(labels))
    properties = ("label", *dict.fromkeys(name.partition("-")[0] for name in names))
    measured = regionprops_table(
        numbers, image, properties=properties, spacing=tuple(spacing), separator="-"
    )
    label_ids = ids[measured.pop("label")]
    table = {"label_id": label_ids}
    for name, values in measured.items():
        table[names.get(name, name.replace("-", "_"))] = values
    for name, by_label in (columns or {}).items():
        if name in table:
            raise ValueError(f"columns must have names of their own, got {name!r}; rename it")
        table[name] = _column([by_label.get(int(label_id)) for label_id in label_ids])
    return MeasurementTable(columns=table, units=units)


def write_table(table: MeasurementTable, path: str | os.PathLike[str]) -> None:
    """Write a table as CSV with commas and points, UTF-8, units in brackets after the names."""
    headers = [
        f"{name} [{table.units[name]}]" if name in table.units else name for name in table.columns
    ]
    with (
        replacing(path) as partial,
        partial.open("w", newline="", encoding="utf-8", errors="backslashreplace") as file,
    ):
        writer = csv.writer(file)
        writer.writerow(headers)
        writer.writerows(zip(*map(_texts, table.columns.values()), strict=True))


def read_table(
    path: str | os.PathLike[str], *, text: Collection[str] = TEXT_COLUMNS
) -> MeasurementTable:
    """Read a table that `write_table` wrote.

    Parameters
    ----------
    path : str or Path
        The CSV file.
    text : collection of str
        Columns that are text even where all values look like numbers.

    Raises
    ------
    ValueError
        If it is no such table.
    """
    path = Path(path)
    try:
        with path.open(newline="", encoding="utf-8-sig") as file:
            headers, *rows = list(csv.reader(file)) or [[]]
    except (csv.Error, UnicodeDecodeError) as error:
        raise ValueError(f"{path.name} must be CSV in UTF-8, got another file: {error}") from error
    for number, row in enumerate(rows, start=2):
        if len(row) != len(headers):
            raise ValueError(
                f"{path.name}: line {number} must have {len(headers)} values with commas between, "
                f"got {len(row)}"
            )
    columns, units = {}, {}
    for position, header in enumerate(headers):
        match = _HEADER.fullmatch(header)
        name = match["name"] if match else header
        if name in columns:
            raise ValueError(f"{path.name}: columns must have different names, got {name!r} twice")
        if match:
            units[name] = match["unit"]
        values = [row[position] for row in rows]
        columns[name] = np.array(values, str) if name in text else _parsed(values)
    return MeasurementTable(columns=columns, units=units)


def _checked_spacing(shape: tuple[int, ...], spacing: Sequence[float] | None) -> list[float]:
    if len(shape) not in (2, 3):
        raise ValueError(
            f"labels must be (H, W) or (Z, H, W), got the shape {shape}; measure one time point"
        )
    lengths = [1.0] * len(shape) if spacing is None else [float(length) for length in spacing]
    if len(lengths) != len(shape) or not all(0 < length < np.inf for length in lengths):
        raise ValueError(
            f"spacing must be {len(shape)} sizes of a pixel above 0, one per axis, got {spacing}"
        )
    return lengths


def _measured(ndim: int, unit: str) -> tuple[dict[str, str], dict[str, str]]:
    """Return our names of the library's columns, and the units of ours, "" for an unknown one."""
    axes = _AXES[-ndim:]
    size = "area" if ndim == 2 else "volume"
    centroid = {f"centroid-{axis}": f"centroid_{name}" for axis, name in enumerate(axes)}
    box = {f"bbox-{axis}": f"{name}_min" for axis, name in enumerate(axes)}
    box |= {f"bbox-{axis + ndim}": f"{name}_max" for axis, name in enumerate(axes)}
    units = {size: f"{unit}^{ndim}"} if unit else {}
    units |= dict.fromkeys([*centroid.values(), *_LENGTHS.values()], unit) if unit else {}
    units |= dict.fromkeys(box.values(), PIXEL)
    names = {"area": size, **centroid, **_LENGTHS}
    if ndim == 2:
        names |= {name: name for name in _SHAPES_2D}
    return names | box, units


def _column(values: Sequence[Any]) -> NDArray[Any]:
    """Return numbers as an array with nan for None, anything else as text."""
    is_number = [isinstance(value, int | float | np.number) for value in values]
    if all(is_number):
        return np.array(values)
    if all(known or value is None for known, value in zip(is_number, values, strict=True)):
        return np.array([np.nan if value is None else value for value in values], np.float64)
    return np.array(["" if value is None else str(value) for value in values])


def _texts(values: NDArray[Any]) -> list[str]:
    """Return values as text that reads back as the same values; nan is empty."""
    if values.dtype.kind == "f":
        return ["" if np.isnan(value) else repr(float(value)) for value in values]
    return [str(value) for value in values.tolist()]


def _parsed(values: Sequence[str]) -> NDArray[Any]:
    """Return whole numbers, or numbers, or text; empty values are nan among numbers."""
    try:
        return np.array([int(value) for value in values], np.int64)
    except (ValueError, OverflowError):
        pass
    try:
        return np.array([float(value) if value else np.nan for value in values], np.float64)
    except ValueError:
        return np.array(values, str)
