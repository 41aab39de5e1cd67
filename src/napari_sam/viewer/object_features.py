"""What a session knows of its objects, in the features of their Labels layer.

napari shows them under the cursor and in its features table, and the writers of COCO, GeoJSON and
CSV take them along.
"""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Any

from napari_sam.viewer.exchange import CLASS_COLORS
from napari_sam.viewer.feature_columns import (
    CLASS_COLUMN,
    INDEX_COLUMN,
    SCORE_COLUMN,
    label_of,
)

if TYPE_CHECKING:
    from napari.layers import Labels

    from napari_sam.viewer.labels_output import LabelsOutput
    from napari_sam.viewer.objects import Objects

_Row = tuple[str, float]


class ObjectFeatures:
    """Keeps the features of a Labels layer as the table of objects says.

    Other columns, and rows of labels that the table never knew, stay.

    Parameters
    ----------
    output : LabelsOutput
        The layer.
    objects : Objects
        The table.
    """

    def __init__(self, output: LabelsOutput, objects: Objects) -> None:
        self._output = output
        self._objects = objects
        objects.changed.connect(self._follow)
        self._layer: Labels | None = None
        self._rows: dict[int, _Row] = {}
        self._colours: dict[str, str] = {}

    def _follow(self) -> None:
        """Write what has changed in the table."""
        labels, table = self._output.layer, self._objects.table
        if labels is not self._layer:
            self._layer, self._rows, self._colours = labels, {}, {}
        rows = {entry.label_id: (entry.category, _score(entry.predicted_iou)) for entry in table}
        if labels is None or (rows == self._rows and table.categories == self._colours):
            return
        gone, self._rows = self._rows.keys() - rows.keys(), rows
        self._colours = dict(table.categories)
        labels.features = _merged(labels.features, rows, gone)
        if table.categories:
            colours = {name: _rgb(colour) for name, colour in table.categories.items()}
            labels.metadata[CLASS_COLORS] = {**labels.metadata.get(CLASS_COLORS, {}), **colours}


def _merged(features: Any, rows: dict[int, _Row], gone: set[int]) -> Any:
    """Return a data frame of features with these rows instead of those of the same labels."""
    old = {name: features[name].tolist() for name in features}
    indices = old.get(INDEX_COLUMN, range(len(features)))
    at = {label_of(index): place for place, index in enumerate(indices)}
    labels = sorted({label for label in at if label is not None and label not in gone} | {*rows})
    strays = [place for place, index in enumerate(indices) if isinstance(index, str)]
    places = [*map(at.get, labels), *strays]
    told = [rows.get(label) for label in labels]
    merged: dict[str, list[Any]] = {}
    for name in dict.fromkeys([INDEX_COLUMN, CLASS_COLUMN, SCORE_COLUMN, *old]):
        values, missing = old.get(name), {CLASS_COLUMN: "", SCORE_COLUMN: math.nan}.get(name)
        merged[name] = [
            missing if place is None or values is None else values[place] for place in places
        ]
    merged[INDEX_COLUMN][: len(labels)] = labels
    for column, name in enumerate((CLASS_COLUMN, SCORE_COLUMN)):
        for place, row in enumerate(told):
            if row is not None:
                merged[name][place] = row[column]
    return type(features)(merged)


def _score(predicted_iou: float | None) -> float:
    return math.nan if predicted_iou is None else predicted_iou


def _rgb(colour: str) -> tuple[int, int, int]:
    """Return red, green and blue of ``"#rrggbb"``."""
    return int(colour[1:3], 16), int(colour[3:5], 16), int(colour[5:7], 16)
