"""Drawn volumes, OME-Zarr images and file trees for the tests of the volume package."""

from pathlib import Path

import numpy as np
import zarr


def draw(*rows):
    """Turn rows of characters into a plane: digits are values, dots are 0."""
    digits = [[0 if pixel == "." else int(pixel) for pixel in row] for row in rows]
    return np.array(digits, np.uint32)


def drawn_volume():
    """Return 5 slices of 300 x 40: a rod in slices 0 to 3, a ball in 1, a second rod in 2 and 3."""
    volume = np.zeros((5, 300, 40), np.uint16)
    volume[0:4, 10:30, 5:25] = 200
    volume[1, 100:110, 5:15] = 200
    volume[2:4, 200:220, 10:30] = 200
    return volume


def write_image(path, data, *, axes, version="0.5", scales=(), channel_names=(), units=None):
    """Write an OME-Zarr image with one level per array in `data`, named s0, s1, ...

    `scales` holds, for each level, a scale and a translation.
    """
    types = {"t": "time", "c": "channel"}
    listed = [{"name": axis, "type": types.get(axis, "space")} for axis in axes]
    for axis in listed:
        if units and axis["type"] == "space":
            axis["unit"] = units
    datasets = []
    for index, _ in enumerate(data):
        scale, translation = scales[index] if scales else ([1.0] * len(axes), [0.0] * len(axes))
        transforms = [
            {"type": "scale", "scale": list(scale)},
            {"type": "translation", "translation": list(translation)},
        ]
        datasets.append({"path": f"s{index}", "coordinateTransformations": transforms})
    ome = {"multiscales": [{"axes": listed, "datasets": datasets}]}
    if channel_names:
        ome["omero"] = {"channels": [{"label": name} for name in channel_names]}
    zarr_format = 3 if version == "0.5" else 2
    attributes = {"ome": {"version": "0.5", **ome}} if version == "0.5" else ome
    zarr.create_group(store=path, attributes=attributes, zarr_format=zarr_format)
    for index, array in enumerate(data):
        zarr.create_array(store=Path(path) / f"s{index}", data=array, zarr_format=zarr_format)
    return path


def tree(folder):
    """Return every file's bytes, and None for every folder, by relative path."""
    return {
        path.relative_to(folder).as_posix(): path.read_bytes() if path.is_file() else None
        for path in sorted(Path(folder).rglob("*"))
    }
