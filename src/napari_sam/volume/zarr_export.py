"""Labels that are whole already, written as an OME-Zarr label image."""

from __future__ import annotations

import os
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import zarr

from napari_sam.volume.ome import OmeLevel, label_attributes
from napari_sam.volume.output import OutputError
from napari_sam.volume.plan import CHUNK_SIZE, SMALLEST_LEVEL
from napari_sam.volume.stored_image import ArrayLike

_AXES = ("t", "z", "y", "x")


def write_ome_zarr(
    output: str | os.PathLike[str],
    labels: ArrayLike,
    *,
    name: str = "labels",
    scale: Sequence[float] | None = None,
    translation: Sequence[float] | None = None,
    units: Sequence[str | None] | None = None,
) -> Path:
    """Write labels as an OME-Zarr 0.5 label image, with a pyramid and one slice per chunk.

    The metadata come last: a folder that a kill left unfinished is no image.

    Parameters
    ----------
    output : path
        A new or empty folder, which becomes the label image.
    labels : array
        (Y, X), (Z, Y, X) or (T, Z, Y, X) integers; read slice by slice, so it may be larger than
        memory.
    name : str
        Name of the label image.
    scale, translation : sequence of float, optional
        World size of a pixel and world position of the first pixel's centre, per axis.
    units : sequence of str or None, optional
        Unit of each axis, such as ``"micrometer"``.

    Returns
    -------
    Path
        The folder.

    Raises
    ------
    OutputError
        If there is something in the folder.
    ValueError
        If the labels have other axes, or are no integers.
    """
    ndim = len(labels.shape)
    if not 2 <= ndim <= len(_AXES) or np.dtype(labels.dtype).kind not in "uib":
        raise ValueError(
            "labels must be integers (Y, X), (Z, Y, X) or (T, Z, Y, X), "
            f"got {labels.dtype} of shape {labels.shape}"
        )
    folder = Path(output).expanduser()
    if folder.exists() and (not folder.is_dir() or next(folder.iterdir(), None) is not None):
        raise OutputError(
            f"output must be new or an empty folder, but there is something at {str(folder)!r}; "
            "choose another output (nothing was changed)"
        )
    dtype = np.dtype(np.uint8 if labels.dtype == bool else labels.dtype).newbyteorder("=")
    axes = _AXES[-ndim:]
    levels = _levels(labels.shape, scale or (1.0,) * ndim, translation or (0.0,) * ndim)
    attributes = label_attributes(name, axes, units or (None,) * ndim, levels)
    group = zarr.create_group(store=folder, zarr_format=3)
    _write_levels(folder, labels, dtype, axes, len(levels))
    group.attrs.put(attributes)
    return folder


def _levels(
    shape: tuple[int, ...], scale: Sequence[float], translation: Sequence[float]
) -> list[OmeLevel]:
    """Return the levels: y and x halve until both are small; the first pixel stays the first."""
    levels = []
    longest = max(shape[-2:])
    for index in range(64):
        step = 2**index
        sizes = (*scale[:-2], scale[-2] * step, scale[-1] * step)
        levels.append(
            OmeLevel(
                path=str(index),
                scale=tuple(float(size) for size in sizes),
                translation=tuple(float(offset) for offset in translation),
            )
        )
        if -(-longest // step) <= SMALLEST_LEVEL:
            break
    return levels


def _write_levels(
    folder: Path, labels: ArrayLike, dtype: np.dtype[Any], axes: Sequence[str], count: int
) -> None:
    *leading, height, width = labels.shape
    arrays = []
    for index in range(count):
        rows, cols = -(-height // 2**index), -(-width // 2**index)
        arrays.append(
            zarr.create_array(
                store=folder / str(index),
                shape=(*leading, rows, cols),
                chunks=(*(1 for _ in leading), *_chunks(rows, cols)),
                dtype=dtype,
                dimension_names=axes,
                zarr_format=3,
            )
        )
    for where in np.ndindex(*leading):
        plane = np.asarray(labels[where]).astype(dtype, copy=False)
        for index, array in enumerate(arrays):
            array[where] = plane[:: 2**index, :: 2**index]


def _chunks(*lengths: int) -> tuple[int, ...]:
    return tuple(max(1, min(CHUNK_SIZE, length)) for length in lengths)
