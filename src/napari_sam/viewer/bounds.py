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


def region_within(bounds: Bounds, whole: Bounds) -> tuple[slice, ...]:
    """Return what to index an array that holds `whole` with, to get `bounds`."""
    pairs = zip(bounds, whole, strict=True)
    return tuple(slice(low - start, high - start) for (low, high), (start, _) in pairs)


def on_plane(bounds: Bounds, plane: Bounds, axes: tuple[int, int]) -> Bounds:
    """Cut bounds to the plane that other bounds lie in: they keep their sides along its axes."""
    pairs = zip(bounds, plane, strict=True)
    return tuple(own if axis in axes else there for axis, (own, there) in enumerate(pairs))
