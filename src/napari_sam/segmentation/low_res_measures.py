"""How large and how stable masks are at full resolution, told from low-resolution logits.

Resizing takes each pixel from a few neighbouring low-resolution pixels, with weights that add up to
one. Where all of them lie above a threshold, so does the pixel; where none does, neither does it.
Only where they disagree, along a mask's outline, are pixels computed. The counts are those of
resized masks, at a small part of the cost.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import NamedTuple

import torch
from torch import Tensor

from napari_sam.segmentation.masks import true_spans

_CELLS_AT_ONCE = 2**15
_LOGITS_AT_ONCE = 2**19
_FAR = 2**40
"""Beyond any image."""


class Axis(NamedTuple):
    """How pixels along one side of an image follow from low-resolution ones.

    Pixels that begin at the same low-resolution pixel are a group: they depend on it and the
    `reach` next ones.

    Attributes
    ----------
    starts, counts : Tensor
        (low,) first pixel and number of pixels of the group that begins at each.
    weights : Tensor
        (low, P, reach + 1) of the group's pixels.
    """

    starts: Tensor
    counts: Tensor
    weights: Tensor

    @property
    def reach(self) -> int:
        """Low-resolution pixels that a group depends on beyond its first."""
        return self.weights.shape[2] - 1

    @classmethod
    def of(cls, matrix: Tensor) -> Axis:
        """Work it out from the weights (pixels, low) of all pixels."""
        n_pixels, low = matrix.shape
        first, stop = true_spans(matrix > 0)
        taps = int((stop - first).max())
        counts = torch.bincount(first, minlength=low)
        starts = counts.cumsum(0) - counts
        within = torch.arange(n_pixels, device=matrix.device) - starts[first]
        columns = first[:, None] + torch.arange(taps, device=matrix.device)
        there = columns < low
        taken = matrix.gather(1, columns.clamp(max=low - 1)) * there
        weights = matrix.new_zeros(low, int(counts.max()), taps)
        weights[first, within] = taken
        return cls(starts, counts, weights)


class Cells(NamedTuple):
    """Groups along both sides make cells; these are those of some masks.

    Attributes
    ----------
    logits : Tensor
        (n, k, l) windows.
    groups : tuple of Tensor
        (n, k - reach) and (n, l - reach), the low-resolution pixels that cells begin at; -1 outside
        of the image.
    lowest, highest : Tensor
        (n, k - reach, l - reach) of the logits that each cell depends on.
    """

    logits: Tensor
    groups: tuple[Tensor, Tensor]
    lowest: Tensor
    highest: Tensor


class Counts(NamedTuple):
    """Pixels above each threshold (n, thresholds), and boxes (n, 4) above the first.

    Boxes are (row_min, col_min, row_max, col_max), the last two one past; empty ones are (very
    large, very large, 0, 0).
    """

    above: Tensor
    boxes: Tensor


def iter_counts(
    axes: tuple[Axis, Axis], logits: Tensor, corners: Tensor, thresholds: Tensor
) -> Iterator[Counts]:
    """Count pixels above thresholds, some masks at a time.

    Parameters
    ----------
    axes : tuple of Axis
        Of rows and columns.
    logits, corners : Tensor
        (K, k, l) windows of low-resolution logits, and (K, 2) their first row and column. They
        hold all that is above a threshold, and as many logits around it as resizing reaches.
    thresholds : Tensor
        (T,).
    """
    step = max(1, _LOGITS_AT_ONCE // (logits.shape[1] * logits.shape[2]))
    for start in range(0, len(logits), step):
        some = slice(start, start + step)
        cells = _cells(axes, logits[some], corners[some])
        sure = _sure(axes, cells, thresholds)
        yield _with_outlines(axes, cells, thresholds, sure)


def iter_cropped(
    logits: Tensor, corners: Tensor, threshold: float, around: float, margin: int
) -> Iterator[tuple[Tensor, Tensor, Tensor]]:
    """Crop windows to what lies above a threshold and a margin, those of about one size together.

    Parameters
    ----------
    logits, corners : Tensor
        (K, k, l) windows of low-resolution logits, and (K, 2) their first row and column.
    threshold : float
        Windows without a logit above it are left out.
    around : float
        The logit outside of the windows.
    margin : int
        Logits around, as many as resizing reaches.

    Yields
    ------
    indices, logits, corners : Tensor
        (n,) of the windows, and (n, k, l) and (n, 2) of their crops.
    """
    highest = logits.amax(2), logits.amax(1)
    alive = torch.nonzero(highest[0].amax(1) > threshold)[:, 0]
    if not len(alive):
        return
    lows, sides = [], []
    for along in highest:
        first, stop = true_spans(along[alive] > threshold)
        lows.append(first - margin)
        sides.append(stop - first + 2 * margin)
    low, side = torch.stack(lows, 1), torch.stack(sides, 1)
    classes = side.max(1).values.double().log2().ceil()
    for size in classes.unique():
        own = torch.nonzero(classes == size)[:, 0]
        height, width = (int(length) for length in side[own].max(0).values)
        rows = low[own, 0, None] + torch.arange(height, device=low.device)
        cols = low[own, 1, None] + torch.arange(width, device=low.device)
        indices = alive[own]
        yield indices, look_up(logits, indices, rows, cols, around), corners[indices] + low[own]


def look_up(logits: Tensor, indices: Tensor, rows: Tensor, cols: Tensor, around: float) -> Tensor:
    """Return (n, k, l) logits of some windows at rows (n, k) and cols (n, l), or what is around."""
    height, width = logits.shape[1:]
    there = ((rows >= 0) & (rows < height))[:, :, None] & ((cols >= 0) & (cols < width))[:, None]
    rows, cols = rows.clamp(0, height - 1), cols.clamp(0, width - 1)
    found = logits[indices[:, None, None], rows[:, :, None], cols[:, None]]
    return torch.where(there, found, around)


def _cells(axes: tuple[Axis, Axis], logits: Tensor, corners: Tensor) -> Cells:
    groups = []
    for axis, table in enumerate(axes):
        count = logits.shape[1 + axis] - table.reach
        at = corners[:, axis, None] + torch.arange(count, device=logits.device)
        groups.append(torch.where((at >= 0) & (at < len(table.counts)), at, -1))
    lowest = highest = logits
    for axis, table in enumerate(axes, start=1):
        count = logits.shape[axis] - table.reach
        lows = [lowest.narrow(axis, shift, count) for shift in range(table.reach + 1)]
        highs = [highest.narrow(axis, shift, count) for shift in range(table.reach + 1)]
        lowest, highest = lows[0], highs[0]
        for low_part, high_part in zip(lows[1:], highs[1:], strict=True):
            lowest, highest = lowest.minimum(low_part), highest.maximum(high_part)
    return Cells(logits, (groups[0], groups[1]), lowest, highest)


def _along(axes: tuple[Axis, Axis], cells: Cells) -> list[tuple[Tensor, Tensor]]:
    """Return the number of pixels and the first pixel of each group, (n, ...) along both sides."""
    found = []
    for table, group in zip(axes, cells.groups, strict=True):
        there, index = group >= 0, group.clamp(min=0)
        found.append((table.counts[index] * there, table.starts[index]))
    return found


def _sure(axes: tuple[Axis, Axis], cells: Cells, thresholds: Tensor) -> Counts:
    """Count the cells all of whose pixels lie above a threshold."""
    (rows, tops), (cols, lefts) = _along(axes, cells)
    above = []
    for threshold in thresholds:
        full = (cells.lowest > threshold).float()
        above.append((full @ cols[:, :, None].float())[:, :, 0].mul(rows).sum(1).round().long())
    full = cells.lowest > thresholds[0]
    full &= (rows > 0)[:, :, None] & (cols > 0)[:, None]
    ends = []
    for along, counts, starts in ((full.any(2), rows, tops), (full.any(1), cols, lefts)):
        ends.append(torch.where(along, starts, _FAR).amin(1))
        ends.append(torch.where(along, starts + counts, 0).amax(1))
    boxes = torch.stack([ends[0], ends[2], ends[1], ends[3]], 1)
    return Counts(torch.stack(above, 1), boxes)


def _with_outlines(
    axes: tuple[Axis, Axis], cells: Cells, thresholds: Tensor, counts: Counts
) -> Counts:
    """Add the cells some of whose pixels lie above a threshold: these are computed."""
    (rows, _), (cols, _) = _along(axes, cells)
    mixed = torch.zeros_like(cells.lowest, dtype=torch.bool)
    for threshold in thresholds:
        mixed |= (cells.lowest <= threshold) & (cells.highest > threshold)
    mixed &= (rows > 0)[:, :, None] & (cols > 0)[:, None]
    above, boxes = counts.above.clone(), counts.boxes.clone()
    for places in torch.nonzero(mixed).split(_CELLS_AT_ONCE):
        owner = places[:, 0]
        values = _computed(axes, cells, places)
        lowest = cells.lowest[tuple(places.T)]
        ones = torch.empty_like(values)  # sums of floats are quicker than those of truth values
        for index, threshold in enumerate(thresholds):
            found = torch.gt(values, threshold, out=ones).sum((0, 1)).long()
            found = torch.where(lowest > threshold, 0, found)  # counted already
            above[:, index].index_add_(0, owner, found)
        for axis, table in enumerate(axes):
            start = table.starts[cells.groups[axis][owner, places[:, 1 + axis]]]
            first, last = _ends(values.amax(1 - axis) > thresholds[0])
            boxes[:, axis].scatter_reduce_(
                0, owner, torch.where(last > 0, start + first, _FAR), "amin"
            )
            boxes[:, 2 + axis].scatter_reduce_(
                0, owner, torch.where(last > 0, start + last, 0), "amax"
            )
    return Counts(above, boxes)


def _ends(along: Tensor) -> tuple[Tensor, Tensor]:
    """Return the first and one past the last place that is true in each column of (P, M)."""
    first = last = torch.zeros(along.shape[1], dtype=torch.long, device=along.device)
    for place in range(len(along)):
        last = torch.where(along[place], place + 1, last)
        first = torch.where(along[-1 - place], len(along) - 1 - place, first)
    return first, last


def _computed(axes: tuple[Axis, Axis], cells: Cells, places: Tensor) -> Tensor:
    """Return the pixels (P, Q, M) of cells (M, 3); where there is none, minus infinity."""
    owner, row, col = places.T
    sums, inside = [], []
    for axis, (table, at) in enumerate(zip(axes, (row, col), strict=True)):
        group = cells.groups[axis][owner, at]
        sums.append(table.weights.permute(2, 1, 0)[:, :, group])
        pixels = torch.arange(table.weights.shape[1], device=places.device)
        inside.append(pixels[:, None] < table.counts[group])
    width = cells.logits.shape[2]
    corner = (owner * cells.logits.shape[1] + row) * width + col
    flat = cells.logits.flatten()
    values: Tensor | int = 0
    for down, by_row in enumerate(sums[0]):
        along: Tensor | int = 0
        for right, by_col in enumerate(sums[1]):
            along = along + by_col * flat[corner + (down * width + right)]
        values = values + by_row[:, None] * along
    there = inside[0][:, None] & inside[1]
    return torch.where(there, values, -torch.inf)
