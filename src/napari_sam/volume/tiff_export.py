"""Labels written as a TIFF stack."""

from __future__ import annotations

import os
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import DTypeLike, NDArray

from napari_sam.volume.output import OutputError
from napari_sam.volume.stored_image import ArrayLike
from napari_sam.volume.units import ome_symbol, unit_name
from napari_sam.whole_files import replacing

_AXES = "TZYX"
_CLASSIC_BYTES = 2**31
_PER_CENTIMETER = {"nanometer": 1e7, "micrometer": 1e4, "millimeter": 10.0, "centimeter": 1.0}
_ROWS_PER_STRIP_BYTES = 2**18


def write_tiff(
    output: str | os.PathLike[str],
    labels: ArrayLike,
    *,
    name: str = "labels",
    scale: Sequence[float] | None = None,
    units: Sequence[str | None] | None = None,
    least: DTypeLike = np.uint16,
) -> Path:
    """Write labels as a compressed OME-TIFF, plane by plane.

    Ids up to 65,535 are written as uint16, which ImageJ and Fiji show as whole numbers; 32-bit
    integers they turn into floats. With larger ids it is uint32; 8-bit labels stay so. Therefore
    wider labels are read twice: once for the largest id, once to be written. From 2 GB of pixels
    on, the file is a BigTIFF, which Fiji opens with Bio-Formats.

    The file appears when it is whole, and replaces one that was there.

    Parameters
    ----------
    output : path
        A ``.tif`` or ``.tiff`` file.
    labels : array
        (Y, X), (Z, Y, X) or (T, Z, Y, X) integers; two planes are in memory at a time.
    name : str
        Name of the image in the file.
    scale : sequence of float, optional
        World size of a pixel, per axis.
    units : sequence of str or None, optional
        Unit of each axis, such as ``"micrometer"``.
    least : dtype
        Smallest type that labels of more than 8 bits are written in; uint8 makes small files.

    Returns
    -------
    Path
        The file.

    Raises
    ------
    OutputError
        If the output is no TIFF file by its name, or its folder does not exist.
    ValueError
        If the labels have other axes, are no integers, or have ids that do not fit; if a unit is
        no length.
    """
    path = check_tiff_path(output)
    ndim = len(labels.shape)
    if not 2 <= ndim <= len(_AXES) or np.dtype(labels.dtype).kind not in "uib" or 0 in labels.shape:
        raise ValueError(
            "labels must be integers (Y, X), (Z, Y, X) or (T, Z, Y, X) with at least one pixel, "
            f"got {labels.dtype} of shape {tuple(labels.shape)}; save a part"
        )
    scale, units = scale or (1.0,) * ndim, units or (None,) * ndim
    metadata = _metadata(name, _AXES[-ndim:], scale, units)
    resolution = _resolution(scale[-2:], units[-2:])
    dtype = _smallest(labels, np.dtype(least))
    with replacing(path) as partial:
        _write(partial, labels, dtype, metadata, resolution)
    return path


def check_tiff_path(output: str | os.PathLike[str]) -> Path:
    """Check, before any work is done, that a TIFF file can be written to a path.

    Parameters
    ----------
    output : path
        A ``.tif`` or ``.tiff`` file, there or not.

    Returns
    -------
    Path
        The same.

    Raises
    ------
    OutputError
        If its name does not end so, it is a folder, or its folder does not exist.
    """
    path = Path(output).expanduser()
    if path.suffix.lower() not in (".tif", ".tiff") or path.is_dir():
        raise OutputError(f"output must be a file that ends in .tif or .tiff, got {str(path)!r}")
    if not path.parent.is_dir():
        raise OutputError(f"the folder of {str(path)!r} does not exist; make it first")
    return path


def _write(
    path: Path,
    labels: ArrayLike,
    dtype: np.dtype[Any],
    metadata: dict[str, Any],
    resolution: dict[str, Any],
) -> None:
    import tifffile

    *_, height, width = labels.shape
    n_bytes = int(np.prod([*labels.shape, dtype.itemsize], dtype=np.int64))
    with tifffile.TiffWriter(path, ome=True, bigtiff=n_bytes >= _CLASSIC_BYTES) as writer:
        writer.write(
            (plane.astype(dtype, copy=False) for plane in _planes(labels)),
            shape=tuple(labels.shape),
            dtype=dtype,
            photometric="minisblack",
            compression="zlib",
            rowsperstrip=min(height, max(1, _ROWS_PER_STRIP_BYTES // (width * dtype.itemsize))),
            metadata=metadata,
            **resolution,
        )


def _planes(labels: ArrayLike) -> Iterator[NDArray[Any]]:
    if len(labels.shape) == 2:
        yield np.asarray(labels[:])
        return
    for where in np.ndindex(*labels.shape[:-2]):
        yield np.asarray(labels[where if len(where) > 1 else where[0]])


def _smallest(labels: ArrayLike, least: np.dtype[Any]) -> np.dtype[Any]:
    """Return the type that holds all ids; see `write_tiff`."""
    stored: np.dtype[Any] = np.dtype(labels.dtype)
    if stored.kind == "b" or stored == np.uint8:
        return np.dtype(np.uint8)
    if stored.kind == "u" and stored.itemsize <= least.itemsize:
        native: np.dtype[Any] = stored.newbyteorder("=")
        return native
    highest = 0
    for plane in _planes(labels):
        lowest, highest = int(plane.min()), max(highest, int(plane.max()))
        if lowest < 0 or highest >= 2**32:
            raise ValueError(
                f"labels must be from 0 to {2**32 - 1}, got {lowest if lowest < 0 else highest}; "
                "renumber them"
            )
    return np.promote_types(least, np.min_scalar_type(highest))


def _metadata(
    name: str, axes: str, scale: Sequence[float], units: Sequence[str | None]
) -> dict[str, Any]:
    """Return what OME-XML says: axes, and the size of a pixel where it is measured or not 1."""
    sizes: dict[str, Any] = {}
    for axis, size, unit in list(zip(axes, scale, units, strict=True))[-3:]:  # of time, nothing
        symbol = ome_symbol(unit)
        if unit_name(unit) is not None or size != 1:
            sizes[f"PhysicalSize{axis}"] = float(size)
            sizes[f"PhysicalSize{axis}Unit"] = symbol
    text = name.encode("utf-8", "backslashreplace").decode()  # file names may be no text
    return {"axes": axes, "Name": text, **sizes}


def _resolution(scale: Sequence[float], units: Sequence[str | None]) -> dict[str, Any]:
    """Return pixels per centimeter, which readers without OME-XML understand, or nothing."""
    per_unit = [_PER_CENTIMETER.get(unit_name(unit) or "", 0.0) for unit in units]
    counts = [factor / size for factor, size in zip(per_unit, scale, strict=True) if size > 0]
    if len(counts) < 2 or not all(1e-6 < count < 1e9 for count in counts):
        return {}
    return {"resolution": (counts[1], counts[0]), "resolutionunit": "CENTIMETER"}
