"""Boxes in a Labels layer's data, on all of its axes."""

from __future__ import annotations

Bounds = tuple[tuple[int, int], ...]
"""First and one past the last index on each axis of a Labels layer's data."""


def union(one: Bounds, other: Bounds) -> Bounds:
    """Return the smallest bounds that hold both."""
    pairs = zip(one, other, strict=True)
    return tuple((min(a[0], b[0]), max(a[1], b[1])) for a, b in pairs)


def region_of(bounds: Bounds) -> tuple[slice, ...]:
    """Return what to index the data with."""
    return tuple(slice(low, high) for low, high in bounds)
