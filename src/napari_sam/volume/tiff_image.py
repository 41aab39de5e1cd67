"""TIFF files and folders of them as images: axes, size of a voxel, units, names of channels."""

from __future__ import annotations

import re
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any
from xml.etree.ElementTree import ParseError

import numpy as np
from numpy.typing import NDArray

from napari_sam.volume.axes import name_tiff_axes
from napari_sam.volume.stored_image import StoredImage
from napari_sam.volume.tiff import TiffStack
from napari_sam.volume.tiff_directory import TiffError
from napari_sam.volume.units import unit_name

SUFFIXES = (".tif", ".tiff", ".btf", ".tf8")


class TiffFolder:
    """A folder of TIFF files of one plane each, in natural order, as an array.

    Parameters
    ----------
    path : Path
        The folder.

    Attributes
    ----------
    files : tuple of Path
        The planes: ``z2.tif`` comes before ``z10.tif``.
    letters : str
        Axes; see :class:`napari_sam.volume.tiff.TiffStack`.
    shape, chunks : tuple of int
        Length of each axis, and of a part that is stored as one.
    dtype : numpy.dtype
        Type of the pixels.
    """

    def __init__(self, path: Path) -> None:
        self.files = tiff_files(path)
        first = TiffStack(self.files[0])
        if not set(first.letters) <= set("YXS"):
            raise TiffError(
                f"a folder must have TIFF files of one plane, but {str(self.files[0])!r} has the "
                f"shape {first.shape}; pass the path of one file"
            )
        self.letters = f"Q{first.letters}"
        self.shape = (len(self.files), *first.shape)
        self.chunks = (1, *first.chunks)
        self.dtype = first.dtype

    def __getitem__(self, selection: Any) -> NDArray[Any]:
        """Read a part of the array; the first index is an integer or a slice."""
        given = selection if isinstance(selection, tuple) else (selection,)
        if not isinstance(given[0], slice):
            return self._plane(self.files[given[0]])[given[1:]]
        return np.stack([self._plane(file)[given[1:]] for file in self.files[given[0]]])

    def _plane(self, file: Path) -> TiffStack:
        plane = TiffStack(file)
        found, expected = (plane.shape, plane.dtype), (self.shape[1:], self.dtype)
        if found != expected:
            raise TiffError(
                f"all files of a folder must have the shape {expected[0]} and {expected[1]}, as "
                f"its first, got {found[0]} and {found[1]} in {str(file)!r}; take it out, or "
                "export it again"
            )
        return plane


@dataclass(frozen=True, kw_only=True)
class _Metadata:
    """What a file says beside its pixels, by the names of the axes."""

    scale: dict[str, float] = field(default_factory=dict)
    units: dict[str, str | None] = field(default_factory=dict)
    channel_names: tuple[str, ...] = ()


def is_tiff(path: Path) -> bool:
    """Tell whether a path is a TIFF file, by its name, or a folder that has some and no zarr."""
    if not path.is_dir():
        return path.suffix.lower() in SUFFIXES
    marks = ("zarr.json", ".zarray", ".zgroup", ".zattrs")
    return not any((path / mark).exists() for mark in marks) and bool(_names(path))


def tiff_files(folder: Path) -> tuple[Path, ...]:
    """Return the TIFF files of a folder in natural order, without hidden ones."""
    return tuple(folder / name for name in sorted(_names(folder), key=_natural))


def open_array(path: Path, level: int = 0) -> TiffStack | TiffFolder:
    """Open a TIFF file or a folder of them as an array."""
    if not path.is_dir():
        return TiffStack(path, level)
    if level != 0:
        raise TiffError(f"level must be 0 for a folder of TIFF files, got {level!r}")
    return TiffFolder(path)


def open_tiff(
    path: Path, *, level: int | str = 0, has_channel: bool = False, has_time: bool = False
) -> StoredImage:
    """Open a TIFF file or a folder of them.

    Parameters
    ----------
    path : Path
        A file, or a folder with files of one plane.
    level : int
        Level of a file's pyramid, by index.
    has_channel, has_time : bool
        Whether a channel or a time point will be chosen; see
        :func:`napari_sam.volume.axes.name_tiff_axes`.

    Returns
    -------
    StoredImage
        The image; sizes and units are those of OME-XML or of ImageJ, else unknown.

    Raises
    ------
    TiffError
        If a file is damaged, or is no image.
    ValueError
        If the axes are not those of an image.
    """
    if isinstance(level, str):
        raise TiffError(f"level of a TIFF file must be an index, got {level!r}")
    array = open_array(path, level)
    axes = name_tiff_axes(array.letters, has_channel=has_channel, has_time=has_time)
    file = array.path if isinstance(array, TiffStack) else array.files[0]
    metadata = _read_metadata(file)
    scale = dict(metadata.scale)
    if isinstance(array, TiffStack) and level:
        finest = array.levels[0]
        for axis, fine, coarse in zip(
            axes[-len(finest) :], finest, array.levels[level], strict=True
        ):
            scale[axis] = scale.get(axis, 1.0) * fine / coarse
    samples = axes.index("c") if "S" in array.letters else None
    return StoredImage(
        array=array,
        axes=axes,
        has_colors=samples is not None and not has_channel and array.shape[samples] in (3, 4),
        scale=scale,
        units=metadata.units,
        channel_names=() if samples is not None else metadata.channel_names,
        location=str(path),
        array_path=str(level) if level else "",
    )


def _names(folder: Path) -> list[str]:
    names = (path.name for path in folder.iterdir())
    return [name for name in names if name.lower().endswith(SUFFIXES) and name[0] != "."]


def _natural(name: str) -> tuple[list[tuple[int, str]], str]:
    """Return a key that sorts numbers by their value."""
    parts = re.split(r"(\d+)", name)
    return [(int(part), "") if part.isdecimal() else (-1, part.lower()) for part in parts], name


def _read_metadata(path: Path) -> _Metadata:
    import tifffile

    with tifffile.TiffFile(path) as file:
        if file.is_ome:
            try:
                return _of_ome(tifffile.xml2dict(file.ome_metadata))
            except (ParseError, KeyError, TypeError, ValueError, AttributeError) as error:
                raise TiffError(
                    f"the OME-XML of {str(path)!r} cannot be understood: {error!r}; "
                    "export the file again"
                ) from error
        if file.is_imagej:
            return _of_imagej(file.imagej_metadata or {}, file.pages.first)
    return _Metadata()


def _of_ome(document: dict[str, Any]) -> _Metadata:
    image = _first(document["OME"]["Image"])
    pixels = _first(image["Pixels"])
    scale, units = {}, {}
    for letter in "XYZ":
        size = pixels.get(f"PhysicalSize{letter}")
        if size is not None and float(size) > 0:
            scale[letter.lower()] = float(size)
            units[letter.lower()] = unit_name(pixels.get(f"PhysicalSize{letter}Unit", "µm"))
    channels = _list(pixels.get("Channel", []))
    names = tuple(str(channel.get("Name", index)) for index, channel in enumerate(channels))
    is_named = any("Name" in channel for channel in channels)
    return _Metadata(scale=scale, units=units, channel_names=names if is_named else ())


def _of_imagej(metadata: dict[str, Any], page: Any) -> _Metadata:
    unit = unit_name(str(metadata.get("unit", "")))
    scale = {}
    for axis, tag in (("x", "XResolution"), ("y", "YResolution")):
        count, length = page.tags[tag].value if tag in page.tags else (1, 1)
        if count > 0 and length > 0:
            scale[axis] = length / count
    spacing = float(metadata.get("spacing", 0))
    if spacing > 0:
        scale["z"] = spacing
    return _Metadata(scale=scale, units=dict.fromkeys(scale, unit))


def _list(value: Any) -> list[Any]:
    return value if isinstance(value, list) else [value]


def _first(value: Any) -> Any:
    return _list(value)[0]
