"""Losses and scores of a run, as tables that any program reads and as one picture."""

from __future__ import annotations

import csv
from collections.abc import Mapping, Sequence
from pathlib import Path
from xml.sax.saxutils import escape

import numpy as np

from napari_sam.whole_files import write_text

_WIDTH, _HEIGHT, _GAP, _LEFT = 640, 120, 34, 60
_INK = "#4c72b0"
_SMOOTHED = 50
PLOT_BEGINS = f'<svg xmlns="http://www.w3.org/2000/svg" width="{_WIDTH + _LEFT + 20}" height="'
"""By this a plot is known to be one of ours."""


def append_row(path: Path, row: Mapping[str, float]) -> None:
    """Append a row to a csv file, with a header if the file is new."""
    new = not path.exists()
    with path.open("a", newline="", encoding="utf-8") as file:
        writer = csv.DictWriter(file, list(row))
        if new:
            writer.writeheader()
        writer.writerow(row)


def keep_rows(path: Path, last_step: int) -> None:
    """Drop the rows of steps after `last_step`, which a resumed run takes again."""
    if not path.is_file():
        return
    header, *rows = path.read_text(encoding="utf-8").splitlines(keepends=True)
    kept = [row for row in rows if row.endswith("\n") and int(row.split(",")[0]) <= last_step]
    write_text(path, header + "".join(kept))


def read_columns(path: Path) -> dict[str, list[float]]:
    """Read a table of numbers by column; empty where there is no file."""
    if not path.is_file():
        return {}
    with path.open(newline="", encoding="utf-8") as file:
        rows = list(csv.DictReader(file))
    return {name: [float(row[name]) for row in rows] for name in (rows[0] if rows else {})}


def plot_curves(tables: Sequence[Path], output: Path) -> None:
    """Draw every column of tables against their `step`, one panel each, as an svg file.

    Long columns are drawn as running means.
    """
    panels = []
    for table in tables:
        columns = read_columns(table)
        steps = columns.pop("step", [])
        panels += [(name, steps, values) for name, values in columns.items() if name != "seconds"]
    parts = [
        _panel(name, steps, values, index * (_HEIGHT + _GAP))
        for index, (name, steps, values) in enumerate(panels)
    ]
    height = max(1, len(panels)) * (_HEIGHT + _GAP)
    write_text(
        output,
        f'{PLOT_BEGINS}{height}" '
        'font-family="sans-serif" font-size="11"><rect width="100%" height="100%" fill="white"/>'
        + "".join(parts)
        + "</svg>\n",
    )


def _panel(name: str, steps: Sequence[float], values: Sequence[float], top: int) -> str:
    x, y = np.asarray(steps, float), np.asarray(values, float)
    known = np.isfinite(y)
    x, y = x[known], y[known]
    if len(y) > 2 * _SMOOTHED:
        y = np.convolve(y, np.ones(_SMOOTHED) / _SMOOTHED, "valid")
        x = x[_SMOOTHED - 1 :]
    title = f'<text x="{_LEFT}" y="{top + 14}" font-weight="bold">{escape(name)}</text>'
    if not len(y):
        return title
    low, high = float(y.min()), float(y.max())
    across = (x - x.min()) / max(float(np.ptp(x)), 1e-9) * _WIDTH + _LEFT
    down = top + 20 + (high - y) / max(high - low, 1e-9) * _HEIGHT
    line = " ".join(f"{a:.1f},{b:.1f}" for a, b in zip(across, down, strict=True))
    labels = "".join(
        f'<text x="{_LEFT - 6}" y="{height}" text-anchor="end">{value:.3g}</text>'
        for value, height in ((high, top + 26), (low, top + 20 + _HEIGHT))
    )
    last = f'<text x="{_LEFT + _WIDTH}" y="{top + 14}" text-anchor="end">step {x[-1]:.0f}</text>'
    drawn = f'<polyline points="{line}" fill="none" stroke="{_INK}"/>'
    return title + labels + last + drawn
