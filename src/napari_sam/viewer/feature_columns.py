"""Features of Labels layers: a row per object, to and from what annotation files say of objects."""

from __future__ import annotations

import logging
from collections.abc import Collection, Iterable, Mapping
from datetime import date, time, timedelta
from typing import Any

import numpy as np

from napari_sam.segmentation.annotations import Annotation

logger = logging.getLogger(__name__)

INDEX_COLUMN, CLASS_COLUMN, SCORE_COLUMN = "index", "class", "predicted_iou"
CROWD_COLUMN = "iscrowd"
_HELD = (bool, int, float, str, list, tuple, dict, date, time, timedelta)


def features_of(annotations: Iterable[Annotation]) -> dict[str, list[Any]]:
    """Return the features of a Labels layer: of each object what its first plane says."""
    objects: dict[int, Annotation] = {}
    for one in annotations:
        objects.setdefault(one.label_id, one)
    features: dict[str, list[Any]] = {
        INDEX_COLUMN: list(objects),
        CLASS_COLUMN: [one.category for one in objects.values()],
        SCORE_COLUMN: [
            np.nan if one.predicted_iou is None else one.predicted_iou for one in objects.values()
        ],
    }
    if any(one.is_crowd for one in objects.values()):
        features[CROWD_COLUMN] = [one.is_crowd for one in objects.values()]
    others: dict[str, list[Any]] = {}
    for name in dict.fromkeys(name for one in objects.values() for name in one.properties):
        values = [one.properties.get(name) for one in objects.values()]
        if any(isinstance(value, int | float | str) for value in values):
            others[name] = values
        elif name != "color" and any(value is not None for value in values):
            logger.warning("left out %r, which is no column of numbers or text", name)
    return features | named_apart(others, [INDEX_COLUMN, CLASS_COLUMN, SCORE_COLUMN, CROWD_COLUMN])


def named_apart(columns: Mapping[str, Any], taken: Collection[str]) -> dict[str, Any]:
    """Return columns under names that are not taken, and say in the log which have another one."""
    named: dict[str, Any] = {}
    for name, values in columns.items():
        free = name
        while free in taken or (free != name and (free in columns or free in named)):
            free = f"feature_{free}"
        if free != name:
            logger.warning("the name %r is taken; the feature is called %r", name, free)
        named[free] = values
    return named


def pop_scores(known: dict[str, dict[int, Any]]) -> dict[int, float]:
    """Take the scores out of the features, unless they are no numbers."""
    try:
        scores = {label: float(score) for label, score in known.get(SCORE_COLUMN, {}).items()}
    except (TypeError, ValueError):
        return {}
    known.pop(SCORE_COLUMN, None)
    return scores


def known_features(meta: Mapping[str, Any]) -> dict[str, dict[int, Any]]:
    """Return the features by column and label, without those that are missing."""
    features = meta.get("features")
    if features is None or len(features) == 0:
        return {}
    columns = {str(name): list(features[name]) for name in features}
    length = max((len(values) for values in columns.values()), default=0)
    labels = [label_of(value) for value in columns.pop(INDEX_COLUMN, range(length))]
    if unknown := labels.count(None):
        logger.warning("left out the features of %d rows whose index is no label", unknown)
    return {
        name: {
            label: _plain(value)
            for label, value in zip(labels, values, strict=True)
            if not (label is None or _is_missing(value))
            and (value != "" or name not in (CLASS_COLUMN, SCORE_COLUMN))
        }
        for name, values in columns.items()
    }


def label_of(index: Any) -> int | None:
    """Return the label that a row is about; None where its index is no whole number."""
    try:
        return int(index) if index == int(index) else None
    except (TypeError, ValueError, OverflowError):
        return None


def _plain(value: Any) -> Any:
    """Return a value of features as one that files hold; text of what they do not."""
    if isinstance(value, np.generic) and value.dtype.kind not in "mM":
        value = value.item()
    return value if isinstance(value, _HELD) else str(value)


def _is_missing(value: Any) -> bool:
    return value is None or (not isinstance(value, str) and str(value) in ("nan", "<NA>", "NaT"))
