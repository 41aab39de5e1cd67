"""What stands behind a source: an array, the names of its axes, and its place in the world."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Protocol


class ArrayLike(Protocol):
    """What a source needs of an array: numpy, dask and zarr arrays have it."""

    @property
    def shape(self) -> tuple[int, ...]:
        """Length of each axis."""

    @property
    def dtype(self) -> Any:
        """Type of the elements."""

    def __getitem__(self, selection: Any, /) -> Any:
        """Return a part of the array."""


@dataclass(frozen=True, kw_only=True)
class StoredImage:
    """An image as it is stored, before a channel and a time point are chosen.

    Attributes
    ----------
    array : array
        The stored array, with all its axes.
    axes : tuple of str
        Names of the axes, among ``t``, ``c``, ``z``, ``y``, ``x``.
    has_colors : bool
        Whether ``c`` holds the colors of a pixel, of which none is chosen.
    scale, translation : mapping of str to float
        World size of a pixel and world position of the first pixel's centre, for the axes where
        they are known.
    units : mapping of str to str or None
        Units of the world, for the axes where they are known.
    channel_names : tuple of str
        Names of the channels, where they are known; else empty.
    location : str, optional
        Absolute path or URL of the image.
    array_path : str
        The array below the location; see :class:`napari_sam.volume.VolumeSource`.
    """

    array: ArrayLike = field(repr=False, compare=False)
    axes: tuple[str, ...]
    has_colors: bool = False
    scale: Mapping[str, float] = field(default_factory=dict)
    translation: Mapping[str, float] = field(default_factory=dict)
    units: Mapping[str, str | None] = field(default_factory=dict)
    channel_names: tuple[str, ...] = ()
    location: str | None = None
    array_path: str = ""
