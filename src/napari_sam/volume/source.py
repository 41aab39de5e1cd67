"""Where a volume comes from: any array as slices of (Y, X), read one at a time.

A source is opened from a zarr array, an OME-Zarr image, a TIFF stack or an array in memory; nothing
is read before :meth:`VolumeSource.read`, and then one slice only, or a window of it.
"""

from __future__ import annotations

import os
from collections.abc import Mapping
from dataclasses import dataclass, field
from numbers import Integral
from pathlib import Path
from typing import Any, TypeGuard

import numpy as np
import zarr
from numpy.typing import NDArray

from napari_sam.volume.axes import RGB_LENGTHS, name_axes, pick_axes
from napari_sam.volume.ome import OmeMetadataError, parse_multiscales
from napari_sam.volume.plates import image_group
from napari_sam.volume.stored_image import ArrayLike, StoredImage
from napari_sam.volume.stores import is_in_archive, is_remote, locate, location_of, open_zarr
from napari_sam.volume.tiff_image import is_tiff, open_array, open_tiff

VOLUME_AXES = ("z", "y", "x")


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
    location : str, optional
        Absolute path or URL that the array came from; None for an array in memory.
    array_path : str
        The array below the location: a path in a zarr group, the level of a TIFF file.

    Notes
    -----
    A source with a location can be pickled: what is unpickled, also in another process, opens the
    location again. A numpy array is pickled with its pixels. Others are refused.
    """

    array: ArrayLike = field(repr=False, compare=False)
    stored_axes: tuple[str, ...]
    picks: Mapping[str, int] = field(default_factory=dict)
    scale: tuple[float, float, float] = (1.0, 1.0, 1.0)
    translation: tuple[float, float, float] = (0.0, 0.0, 0.0)
    units: tuple[str | None, str | None, str | None] = (None, None, None)
    location: str | None = None
    array_path: str = ""

    def __getstate__(self) -> dict[str, Any]:
        """Leave out an array that can be opened again; see the notes of the class."""
        if self.location is not None:
            return {**self.__dict__, "array": None}
        if not isinstance(self.array, np.ndarray):
            raise TypeError(
                "a source for another process must come from a path or a URL, or be a numpy "
                f"array, got {type(self.array).__name__} in memory; write it to a zarr folder and "
                "open that"
            )
        return dict(self.__dict__)

    def __setstate__(self, state: dict[str, Any]) -> None:
        """Open the location again."""
        if state["array"] is None:
            state = {**state, "array": _reopen(state["location"], state["array_path"])}
        self.__dict__.update(state)

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

    @property
    def chunks(self) -> tuple[int, int, int] | None:
        """Shape (z, y, x) of what is stored as one; None where the array has no such parts."""
        chunks = getattr(self.array, "chunksize", None) or getattr(self.array, "chunks", None)
        if chunks is None or not all(isinstance(length, Integral) for length in chunks):
            return None
        lengths = dict(zip(self.stored_axes, chunks, strict=True))
        return int(lengths.get("z", 1)), int(lengths["y"]), int(lengths["x"])

    def check_present(self) -> None:
        """Refuse a source on this machine whose folder or file is gone.

        A zarr array reads parts that are not there as its fill value: what was read is only to be
        trusted if the array is still there afterwards.

        Raises
        ------
        FileNotFoundError
            If it is gone.
        """
        if self.location is None or is_remote(self.location):
            return
        place = Path(self.location)
        marks = [place / self.array_path / name for name in ("zarr.json", ".zarray")]
        is_zarr = any(mark.is_file() for mark in marks)
        if not (is_zarr or is_tiff(place) or is_in_archive(place)):
            raise FileNotFoundError(
                f"the source {self.location!r} is gone; bring it back and run the same again"
            )

    def read(self, z: int, window: tuple[slice, slice] | None = None) -> NDArray[Any]:
        """Read one slice, or a part of it.

        Parameters
        ----------
        z : int
            Index of the slice, from 0.
        window : tuple of slice, optional
            Rows and columns, of step 1. Only the chunks, strips or tiles that it touches are read.
            As in numpy, it may reach over the edge, where it ends.

        Returns
        -------
        numpy.ndarray
            (Y, X), or (Y, X, 3) or (Y, X, 4) where :attr:`is_rgb`; with a window, its rows and
            columns in place of Y and X. Contiguous.

        Raises
        ------
        IndexError
            If there is no such slice.
        ValueError
            If the window has other steps or holds no pixel.
        """
        depth = self.shape[0]
        if not 0 <= z < depth:
            raise IndexError(f"z must be from 0 to {depth - 1}, got {z}")
        index: dict[str, int | slice] = {**self.picks, "z": z}
        area = (slice(None), slice(None)) if window is None else _area(window, self.shape[1:])
        cuts = {**index, "y": area[0], "x": area[1]}
        selection = tuple(cuts.get(axis, slice(None)) for axis in self.stored_axes)
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
    source : path or URL, zarr group or array, numpy or dask array, or VolumeSource
        A zarr v2 or v3 array or an OME-Zarr 0.4 or 0.5 image, in a folder, a zip file or behind a
        URL that fsspec knows; a well with one field and a container with one series are their
        image. A TIFF stack, as a file or as a folder of planes. Or an array. Without names, axes
        are taken from the end of (t, c, z, y, x): t where `time` is given, c where `channel` is; a
        last axis of length 3 or 4 after y and x is RGB(A), or the channels where `channel` is
        given. A :class:`VolumeSource` comes back as it is: its choices are made.
    level : int or str
        Level of a pyramid, by index (0 is the finest), or by path in an OME-Zarr image.
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
        If axes, level, channel or time do not fit the source, a file is damaged, a group is not
        an image, or a URL cannot be opened.
    """
    if isinstance(source, VolumeSource):
        return source
    if isinstance(source, str | os.PathLike):
        location = locate(source)
        tiff = None if is_remote(location) else Path(location)
        if tiff is not None and tiff.exists() and is_tiff(tiff):
            image = open_tiff(
                tiff, level=level, has_channel=channel is not None, has_time=time is not None
            )
        else:
            image = _stored(open_zarr(location), location, level, channel, time)
    else:
        image = _stored(source, location_of(source), level, channel, time)
    return _checked(_chosen(image, channel=channel, time=time))


def channel_names(source: object) -> tuple[str, ...]:
    """Return the names of an OME-Zarr image's channels; none of other sources."""
    node = source
    if isinstance(source, str | os.PathLike):
        location = locate(source)
        if not is_remote(location) and Path(location).exists() and is_tiff(Path(location)):
            return ()
        node = open_zarr(location)
    if not isinstance(node, zarr.Group):
        return ()
    return tuple(_open_image(node, None, 0).channel_names)


def _stored(
    node: object,
    location: str | None,
    level: int | str,
    channel: int | str | None,
    time: int | None,
) -> StoredImage:
    if isinstance(node, zarr.Group):
        return _open_image(node, location, level)
    if not _is_array(node):
        raise TypeError(
            "source must be a path, or a zarr, numpy or dask array, "
            f"got {type(node).__name__}; wrap lists with numpy.asarray"
        )
    if level != 0:
        raise ValueError(
            f"level must be 0 for a plain array, got {level!r}; only an image has levels"
        )
    shape = tuple(node.shape)
    axes = name_axes(
        shape,
        has_channel=channel is not None,
        has_time=time is not None,
        names=getattr(getattr(node, "metadata", None), "dimension_names", None),
    )
    has_colors = axes[-1] == "c" and shape[-1] in RGB_LENGTHS and channel is None
    return StoredImage(array=node, axes=axes, has_colors=has_colors, location=location)


def _is_array(node: object) -> TypeGuard[ArrayLike]:
    return all(hasattr(node, name) for name in ("shape", "dtype", "__getitem__"))


def _open_image(group: zarr.Group, location: str | None, level: int | str) -> StoredImage:
    found = image_group(group, location or group.name)
    image = parse_multiscales(found.attrs.asdict())
    wanted = image.level(level)
    array = found.get(wanted.path)
    if not isinstance(array, zarr.Array) or array.ndim != len(image.axes):
        raise OmeMetadataError(
            f"level {wanted.path!r} must be an array of the axes {', '.join(image.axes)}, "
            f"got {array!r}; the store is damaged or incomplete"
        )
    place = None if location is None or is_remote(location) else location_of(found)
    return StoredImage(
        array=array,
        axes=image.axes,
        scale=dict(zip(image.axes, wanted.scale, strict=True)),
        translation=dict(zip(image.axes, wanted.translation, strict=True)),
        units=dict(zip(image.axes, image.units, strict=True)),
        channel_names=image.channel_names,
        location=place or location,
        array_path=array.path.removeprefix(found.path if place else group.path).strip("/"),
    )


def _chosen(image: StoredImage, *, channel: int | str | None, time: int | None) -> VolumeSource:
    """Choose a channel and a time point."""
    lengths = dict(zip(image.axes, image.array.shape, strict=True))
    if image.has_colors:
        del lengths["c"]
    scale, shift, units = image.scale, image.translation, image.units
    return VolumeSource(
        array=image.array,
        stored_axes=image.axes,
        picks=pick_axes(
            tuple(lengths),
            tuple(lengths.values()),
            channel=channel,
            time=time,
            channel_names=image.channel_names,
        ),
        scale=(scale.get("z", 1.0), scale.get("y", 1.0), scale.get("x", 1.0)),
        translation=(shift.get("z", 0.0), shift.get("y", 0.0), shift.get("x", 0.0)),
        units=(units.get("z"), units.get("y"), units.get("x")),
        location=image.location,
        array_path=image.array_path,
    )


def _reopen(location: str, array_path: str) -> ArrayLike:
    """Open the array of a source again."""
    path = Path(location)
    if not is_remote(location) and path.exists() and is_tiff(path):
        return open_array(path, int(array_path or 0))
    node = open_zarr(location)
    array = node.get(array_path) if isinstance(node, zarr.Group) else node
    if isinstance(array, zarr.Array):
        return array
    raise ValueError(
        f"{location!r} must have the array {array_path!r}, as when it was opened, "
        f"got {array!r}; open the source anew"
    )


def _area(window: tuple[slice, slice], shape: tuple[int, int]) -> tuple[slice, slice]:
    """Return a window as slices within the image."""
    cuts = []
    for part, length in zip(window, shape, strict=True):
        start, stop, step = part.indices(length)
        if step != 1 or stop <= start:
            raise ValueError(
                "window must be two slices of step 1, rows and columns, that hold a pixel of the "
                f"{shape[0]} x {shape[1]} ones, got {window}"
            )
        cuts.append(slice(start, stop))
    return cuts[0], cuts[1]


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
