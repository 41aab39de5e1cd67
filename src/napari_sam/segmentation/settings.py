"""Settings: dataclass fields that say what a form shows of them, and one check of all values."""

from __future__ import annotations

from dataclasses import Field, field, fields
from typing import Any

import numpy as np


def setting(
    default: Any,
    label: str,
    tooltip: str,
    **hints: Any,
) -> Any:
    """Return a dataclass field that a form can show.

    Parameters
    ----------
    default : object
        Its default.
    label, tooltip : str
        For people.
    **hints
        `min`, `max`, `step`, `choices` and `advanced`, as the form takes them.
    """
    return field(default=default, metadata={"label": label, "tooltip": tooltip, **hints})


def check_settings(config: Any) -> None:
    """Check the values of a frozen dataclass against the choices and ranges of its fields.

    None is taken where it is the default. A whole number may come as a float, as from a form; it
    becomes an int.

    Raises
    ------
    ValueError
        If one is none of the choices, lies outside its range, or is not whole; it is named.
    TypeError
        If one should be a number and is none.
    """
    for spec in fields(config):
        value, hints = getattr(config, spec.name), spec.metadata
        if "choices" in hints and value not in hints["choices"]:
            raise ValueError(f"{spec.name} must be one of {hints['choices']}, got {value!r}")
        if "min" in hints and "max" in hints and not (value is None and spec.default is None):
            object.__setattr__(config, spec.name, _checked_number(spec, value))


def _checked_number(spec: Field[Any], value: Any) -> Any:
    if not isinstance(value, int | float | np.number):
        raise TypeError(f"{spec.name} must be a number, got {value!r}")
    low, high = spec.metadata["min"], spec.metadata["max"]
    if not low <= value <= high:
        raise ValueError(f"{spec.name} must lie between {low} and {high}, got {value}")
    if not str(spec.type).startswith("int"):
        return value
    if value != int(value):
        raise ValueError(f"{spec.name} must be a whole number, got {value}")
    return int(value)
