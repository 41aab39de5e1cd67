"""Where a volume comes from: any array as slices of (Y, X), read one at a time.

A source is opened from a zarr array, an OME-Zarr image, or an array in memory; nothing is read
before :meth:`VolumeSource.read`, and then one slice only.
"""

from __future__ import annotations

import os
import warnings
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Protocol, TypeGuard

import numpy as np
import zarr
from numpy.typing import NDArray

from napari_sam.volume.axes import name_axes, pick_axes
from napari_sam.volume.ome import OmeMetadataError, has_multiscales, parse_multiscales

VOLUME_AXES = ("z", "y", "x")


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
class VolumeSource:
    """A volume that is read slice by slice.

    Attributes
    ----------
    array : array
        The stored array, with all its axes.
    stored_axes : tuple of str
        Names of the stored axes, among ``t``, ``c``, ``z``, ``y``, ``x``.
    picks : mapping of str to int
        The index chosen on ``t`` and ``c``; a ``c`` that is not chosen holds RGB or RGBA.
    scale, translation : tuple of float
        World size of a voxel and world position of the first voxel's centre, (z, y, x).
    units : tuple of str or None
        Units of the world, (z, y, x).
    """

    array: ArrayLike = field(repr=False, compare=False)
    stored_axes: tuple[str, ...]
    picks: Mapping[str, int] = field(default_factory=dict)
    scale: tuple[float, float, float] = (1.0, 1.0, 1.0)
    translation: tuple[float, float, float] = (0.0, 0.0, 0.0)
    units: tuple[str | None, str | None, str | None] = (None, None, None)

    @property
    def axes(self) -> tuple[str, str, str]:
        """The axes of the volume: always ``("z", "y", "x")``."""
        return VOLUME_AXES

    @property
    def shape(self) -> tuple[int, int, int]:
        """The shape (Z, Y, X); an image without z is a volume of one slice."""
        lengths = dict(zip(self.stored_axes, self.array.shape, strict=True))
        return int(lengths.get("z", 1)), int(lengths["y"]), int(lengths["x"])

    @property
    def dtype(self) -> np.dtype[Any]:
        """Type of the pixels, in the byte order of this machine."""
        stored: np.dtype[Any] = np.dtype(self.array.dtype)
        return stored.newbyteorder("=")

    @property
    def is_rgb(self) -> bool:
        """Whether slices come as (Y, X, 3) or (Y, X, 4)."""
        return "c" in self.stored_axes and "c" not in self.picks

    def read(self, z: int) -> NDArray[Any]:
        """Read one slice.

        Parameters
        ----------
        z : int
            Index of the slice, from 0.

        Returns
        -------
        numpy.ndarray
            (Y, X), or (Y, X, 3) or (Y, X, 4) where :attr:`is_rgb`; contiguous.

        Raises
        ------
        IndexError
            If there is no such slice.
        """
        depth = self.shape[0]
        if not 0 <= z < depth:
            raise IndexError(f"z must be from 0 to {depth - 1}, got {z}")
        index = {**self.picks, "z": z}
        selection = tuple(index.get(axis, slice(None)) for axis in self.stored_axes)
        kept = [axis for axis in self.stored_axes if axis not in index]
        order = [kept.index(axis) for axis in ("y", "x", "c") if axis in kept]
        plane = np.asarray(self.array[selection]).transpose(order)
        return np.ascontiguousarray(plane, dtype=self.dtype)


def open_source(
    source: str | os.PathLike[str] | zarr.Group | ArrayLike | VolumeSource,
    *,
    level: int | str = 0,
    channel: int | str | None = None,
    time: int | None = None,
) -> VolumeSource:
    """Open a volume without reading its pixels.

    Parameters
    ----------
    source : path, zarr group or array, numpy or dask array, or VolumeSource
        A zarr v2 or v3 array, an OME-Zarr 0.4 or 0.5 image, or an array. Without names, axes are
        taken from the end of (t, c, z, y, x): t where `time` is given, c where `channel` is; a
        last axis of length 3 or 4 after y and x is RGB(A), or the channels where `channel` is
        given. A :class:`VolumeSource` comes back as it is: its choices are made.
    level : int or str
        Level of an OME-Zarr pyramid, by index (0 is the finest) or by path.
    channel : int or str, optional
        The channel to read, by index, or by name where the metadata names channels. May be left
        out where there is only one.
    time : int, optional
        The time point to read, by index. May be left out where there is only one.

    Returns
    -------
    VolumeSource
        The volume, with axes, scale, translation and units where they are known.

    Raises
    ------
    FileNotFoundError
        If the path does not exist.
    TypeError
        If the source is none of the above, or its pixels are not numbers.
    ValueError
        If axes, level, channel or time do not fit the source.
    """
    if isinstance(source, VolumeSource):
        return source
    node = _open_path(source) if isinstance(source, str | os.PathLike) else source
    if isinstance(node, zarr.Group):
        opened = _open_image(node, level=level, channel=channel, time=time)
    elif _is_array(node):
        if level != 0:
            raise ValueError(
                f"level must be 0 for a plain array, got {level!r}; "
                "only an OME-Zarr image has levels"
            )
        opened = _open_array(node, channel=channel, time=time)
    else:
        raise TypeError(
            "source must be a path, or a zarr, numpy or dask array, "
            f"got {type(source).__name__}; wrap lists with numpy.asarray"
        )
    return _checked(opened)


def _is_array(node: object) -> TypeGuard[ArrayLike]:
    return all(hasattr(node, name) for name in ("shape", "dtype", "__getitem__"))


def _open_path(source: str | os.PathLike[str]) -> zarr.Group | ArrayLike:
    name = os.fspath(source)
    if "://" in name:
        raise ValueError(
            f"source must be a local path, got {name!r}; "
            "open the remote array with zarr or dask and pass that"
        )
    path = Path(name).expanduser()
    if not path.exists():
        raise FileNotFoundError(f"source {name!r} does not exist; give the path of a zarr folder")
    try:
        node: zarr.Group | ArrayLike = zarr.open(store=path, mode="r")
    except (FileNotFoundError, NotADirectoryError) as error:
        raise ValueError(
            f"{name!r} is neither a zarr array nor a zarr group; "
            "read other files into an array and pass that"
        ) from error
    return node


def _open_image(
    group: zarr.Group, *, level: int | str, channel: int | str | None, time: int | None
) -> VolumeSource:
    attributes = group.attrs.asdict()
    if not has_multiscales(attributes):
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # about files that are not part of the hierarchy
            below = ", ".join(sorted(key for key, _ in group.members())) or "nothing"
        raise OmeMetadataError(
            f"the zarr group {group.name!r} is not an OME-Zarr image: it has no multiscales; "
            f"it holds {below}: pass the path of an array or an image in it"
        )
    image = parse_multiscales(attributes)
    wanted = image.level(level)
    array = group.get(wanted.path)
    if not isinstance(array, zarr.Array) or array.ndim != len(image.axes):
        raise OmeMetadataError(
            f"level {wanted.path!r} must be an array of the axes {', '.join(image.axes)}, "
            f"got {array!r}; the store is damaged or incomplete"
        )
    picks = pick_axes(
        image.axes, array.shape, channel=channel, time=time, channel_names=image.channel_names
    )
    scale = dict(zip(image.axes, wanted.scale, strict=True))
    translation = dict(zip(image.axes, wanted.translation, strict=True))
    units = dict(zip(image.axes, image.units, strict=True))
    return VolumeSource(
        array=array,
        stored_axes=image.axes,
        picks=picks,
        scale=(scale.get("z", 1.0), scale["y"], scale["x"]),
        translation=(translation.get("z", 0.0), translation["y"], translation["x"]),
        units=(units.get("z"), units["y"], units["x"]),
    )


def _open_array(array: ArrayLike, *, channel: int | str | None, time: int | None) -> VolumeSource:
    shape = tuple(array.shape)
    dimension_names = getattr(getattr(array, "metadata", None), "dimension_names", None)
    axes = name_axes(
        shape,
        has_channel=channel is not None,
        has_time=time is not None,
        names=dimension_names,
    )
    holds_rgb = axes[-1] == "c" and shape[-1] in (3, 4) and channel is None
    picked = axes[:-1] if holds_rgb else axes
    return VolumeSource(
        array=array,
        stored_axes=axes,
        picks=pick_axes(picked, shape[: len(picked)], channel=channel, time=time),
    )


def _checked(source: VolumeSource) -> VolumeSource:
    """Refuse pixels that are not real numbers, and empty arrays."""
    if source.dtype.kind not in "buif":
        raise TypeError(
            f"source must hold real numbers, got {source.dtype}; "
            "convert it to a float or integer type"
        )
    if 0 in source.array.shape:
        raise ValueError(f"source must not be empty, got the shape {tuple(source.array.shape)}")
    return source
