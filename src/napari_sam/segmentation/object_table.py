"""Measurements of objects, one row each, in physical units; written and read as CSV."""

from __future__ import annotations

import os
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from napari_sam.segmentation.annotations import compact
from napari_sam.segmentation.object_measures import measure_intensities, measure_shapes
from napari_sam.segmentation.table_text import (
    column_of,
    header_of,
    is_exact,
    join_rows,
    label_ids_of,
    name_and_unit,
    split_rows,
    whole_numbers,
)
from napari_sam.whole_files import write_text

PIXEL = "pixel"
TEXT_COLUMNS = ("class", "model")

_AXES = ("z", "row", "col")
_LENGTHS = {
    "equivalent_diameter_area": "equivalent_diameter",
    "axis_major_length": "axis_major_length",
    "axis_minor_length": "axis_minor_length",
}
_SHAPES_2D = ("eccentricity", "solidity")


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
        Columns more: numbers, truth values or text by label id, such as the class and the score.
        Missing values are nan or empty text; truth values with gaps, and whole numbers with gaps
        that nan would round, are text.

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
    ids, numbers = compact(np.asarray(labels))
    measured = measure_shapes(numbers, spacing)
    if image is not None:
        measured |= measure_intensities(numbers, image)
    label_ids = ids[measured.pop("label")]
    if label_ids.max(initial=0) <= np.iinfo(np.int64).max:
        label_ids = label_ids.astype(np.int64)
    table = {"label_id": label_ids, **{ours: measured.pop(name) for name, ours in names.items()}}
    table |= {name.replace("-", "_"): values for name, values in measured.items()}
    for name, by_label in (columns or {}).items():
        if name in table:
            raise ValueError(f"columns must have names of their own, got {name!r}; rename it")
        table[name] = _column([by_label.get(int(label_id)) for label_id in label_ids])
    return MeasurementTable(columns=table, units=units)


def measured_names(ndim: int) -> list[str]:
    """Return the columns that `measure_objects` makes of 2 or 3 axes, without an image."""
    return ["label_id", *_measured(ndim, PIXEL)[0].values()]


def write_table(table: MeasurementTable, path: str | os.PathLike[str]) -> None:
    """Write a table as CSV with commas and points, UTF-8, units in brackets after the names.

    Text is in quotes, so that `read_table` tells it from numbers.
    """
    headers = [header_of(name, table.units.get(name)) for name in table.columns]
    write_text(path, join_rows(headers, list(table.columns.values())))


def read_table(
    path: str | os.PathLike[str], *, text: Collection[str] = TEXT_COLUMNS
) -> MeasurementTable:
    """Read a table that `write_table` wrote; it comes back as it was.

    Parameters
    ----------
    path : str or Path
        The CSV file. Another program may have written it anew, without quotes.
    text : collection of str
        Columns that are text even where all values look like numbers and are not in quotes.

    Raises
    ------
    ValueError
        If it is no such table.
    """
    path = Path(path)
    try:
        headers, *rows = split_rows(path.read_bytes().decode("utf-8-sig")) or [[]]
    except ValueError as error:
        raise ValueError(f"{path.name} must be CSV in UTF-8, got another file: {error}") from error
    for number, row in enumerate(rows, start=2):
        if len(row) != len(headers):
            raise ValueError(
                f"{path.name}: line {number} must have {len(headers)} values with commas between, "
                f"got {len(row)}"
            )
    all_quoted = all(is_quoted for _, is_quoted in headers)  # which then says nothing
    columns: dict[str, NDArray[Any]] = {}
    units: dict[str, str] = {}
    for position, (header, _) in enumerate(headers):
        name, unit = name_and_unit(header)
        if name in columns:
            raise ValueError(f"{path.name}: columns must have different names, got {name!r} twice")
        if unit:
            units[name] = unit
        fields = [row[position] for row in rows]
        is_text = name in text or (not all_quoted and any(quoted for _, quoted in fields))
        values = [field for field, _ in fields]
        if name == "label_id":
            columns[name] = label_ids_of(values)
        else:
            columns[name] = np.array(values, str) if is_text else column_of(values)
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
    """Return truth values or numbers, nan for None; anything else, or what nan rounds, as text."""
    known = [value for value in values if value is not None]
    has_gaps = len(known) < len(values)
    is_truth = [isinstance(value, bool | np.bool_) for value in known]
    if known and all(is_truth) and not has_gaps:
        return np.array(values, bool)
    is_whole = [isinstance(value, int | np.integer) for value in known]
    is_number = all(isinstance(value, int | float | np.number) for value in known)
    if known and all(is_whole) and not any(is_truth) and not has_gaps:
        numbers = whole_numbers([int(value) for value in known])
        if numbers is not None:
            return numbers
    rounded = any(
        whole and not is_exact(int(value)) for value, whole in zip(known, is_whole, strict=True)
    )
    if is_number and not any(is_truth) and not rounded:
        return np.array([np.nan if value is None else value for value in values], np.float64)
    return np.array(["" if value is None else str(value) for value in values])
