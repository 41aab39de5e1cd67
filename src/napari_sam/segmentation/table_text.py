"""Columns of tables as CSV text and back, exactly: text is in quotes, and numbers are not."""

from __future__ import annotations

import re
from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

Field = tuple[str, bool]
"""What stands between two commas, and whether it was in quotes."""

_FIELD = re.compile(r'(?:"([^"]*(?:""[^"]*)*)"|((?!")[^,\r\n]*))(,|\r\n|\r|\n|\Z)')
_HEADER = re.compile(r"(?P<name>.*) \[(?P<unit>[^\[\]]*)\]", re.DOTALL)
_WHOLE = re.compile(r"0|-?[1-9][0-9]*")
_NUMBER = re.compile(
    r"[+-]?(?:(?:0|[1-9][0-9]*)(?:\.[0-9]*)?|\.[0-9]+)(?:e[+-]?[0-9]+)?|[+-]?inf|nan", re.IGNORECASE
)
_LABEL = re.compile(r"([0-9]+)(?:\.0*)?")
_MOST_EXACT = 2**53  # whole numbers beyond are rounded as float64


def join_rows(headers: Sequence[str], columns: Sequence[NDArray[Any]]) -> str:
    """Return a table as CSV; nan is empty, and text is in quotes."""
    lines = [",".join(_quoted(name) if re.search(r'[,"\r\n]', name) else name for name in headers)]
    lines += map(",".join, zip(*map(_texts, columns), strict=True))
    return "\r\n".join([*lines, ""])


def split_rows(text: str) -> list[list[Field]]:
    """Return the fields of CSV, row by row, without empty lines.

    Raises
    ------
    ValueError
        If a quotation mark is not closed, or text follows it.
    """
    rows: list[list[Field]] = [[]]
    position = 0
    while position < len(text):
        match = _FIELD.match(text, position)
        if match is None:
            raise ValueError(
                f"text in quotes must end before a comma or a line's end, got {len(rows)} lines "
                f"and then {text[position : position + 40]!r}"
            )
        quoted, plain, end = match.groups()
        is_quoted = quoted is not None
        rows[-1].append((quoted.replace('""', '"') if is_quoted else plain, is_quoted))
        position = match.end()
        if end != ",":
            rows.append([])
        elif position == len(text):
            rows[-1].append(("", False))
    return [row for row in rows if row not in ([], [("", False)])]


def header_of(name: str, unit: str | None) -> str:
    """Return the header of a column; empty brackets where the name ends as if it had a unit."""
    if not unit and _HEADER.fullmatch(name) is None:
        return name
    return f"{name} [{unit or ''}]"


def name_and_unit(header: str) -> tuple[str, str | None]:
    """Return what `header_of` was given."""
    match = _HEADER.fullmatch(header)
    return (match["name"], match["unit"] or None) if match else (header, None)


def column_of(fields: Sequence[str]) -> NDArray[Any]:
    """Return truth values, whole numbers, or numbers (nan where empty), where all fields are such.

    All else is text, also numbers with zeros before them, and those that float64 would round.
    """
    if fields and all(field in ("True", "False") for field in fields):
        return np.array([field == "True" for field in fields])
    if all(map(_WHOLE.fullmatch, fields)):
        numbers = whole_numbers([int(field) for field in fields])
        return np.array(fields, str) if numbers is None else numbers
    if not all(field == "" or _NUMBER.fullmatch(field) for field in fields):
        return np.array(fields, str)
    if any(_WHOLE.fullmatch(field) and not is_exact(int(field)) for field in fields):
        return np.array(fields, str)
    return np.array([float(field) if field else np.nan for field in fields], np.float64)


def label_ids_of(fields: Sequence[str]) -> NDArray[np.integer]:
    """Return label ids, which are never rounded.

    Raises
    ------
    ValueError
        If one is no whole number from 0, or beyond uint64.
    """
    matches = [_LABEL.fullmatch(field) for field in fields]
    numbers = whole_numbers([int(match[1]) for match in matches if match])
    if numbers is None or None in matches:
        wrong = [field for field, match in zip(fields, matches, strict=True) if not match]
        raise ValueError(
            f"label_id must be whole numbers from 0 to {2**64 - 1}, got {(wrong or fields)[:3]}"
        )
    return numbers


def whole_numbers(values: Sequence[int]) -> NDArray[np.integer] | None:
    """Return whole numbers as int64, or uint64 where one needs it; None if neither holds them."""
    for dtype in (np.int64, np.uint64):
        try:
            return np.array(values, dtype)
        except OverflowError:
            continue
    return None


def is_exact(value: int) -> bool:
    """Tell whether float64 surely holds a whole number as it is."""
    return abs(value) <= _MOST_EXACT


def _texts(values: NDArray[Any]) -> list[str]:
    if values.dtype.kind == "f":
        return ["" if np.isnan(value) else repr(float(value)) for value in values]
    plain = map(str, values.tolist())
    return list(plain) if values.dtype.kind in "iub" else list(map(_quoted, plain))


def _quoted(text: str) -> str:
    doubled = text.replace('"', '""')
    return f'"{doubled}"'
