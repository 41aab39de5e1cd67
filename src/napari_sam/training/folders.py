"""A user's images and labels, in two folders."""

from __future__ import annotations

import logging
from collections.abc import Iterable
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from napari_sam.training.image_files import (
    IMAGE_SUFFIXES,
    ArrayReader,
    as_image,
    read_labels,
    read_pixels,
)
from napari_sam.training.samples import Sample

logger = logging.getLogger(__name__)

_NAMED = 5
"""How many files a warning names."""


def read_folder(
    folder: str | Path, *, read_array: ArrayReader | None = None, keep_empty: bool = False
) -> list[Sample]:
    """Read a user's image and label pairs.

    Parameters
    ----------
    folder : str or Path
        Holds ``images/`` and ``labels/`` with files of equal stems (tif, png, zarr; images also
        jpg); labels are integer images. Stacks (Z, Y, X) become slices along z. Files without a
        partner, and all but one of the same stem, are left out with a warning.
    read_array : callable, optional
        Reads ``.zarr`` folders; without it they are left out with a warning.
    keep_empty : bool
        Keep images without objects, in which all that is found is false.

    Raises
    ------
    FileNotFoundError
        If there is no such pair.
    ValueError
        If a file cannot be read, image and labels of a pair do not fit, labels are no integers or
        lossily compressed, or no image has an object.
    """
    folder = Path(folder)
    images, labels = (_image_files(folder / name) for name in ("images", "labels"))
    unpaired = [
        found[stem]
        for found, other in ((images, labels), (labels, images))
        for stem in sorted(found.keys() - other.keys())
    ]
    _warn("without a partner of the same name", unpaired)
    samples: list[Sample] = []
    n_empty = 0
    for stem in sorted(images.keys() & labels.keys()):
        pair = images[stem], labels[stem]
        if read_array is None and any(path.suffix.lower() == ".zarr" for path in pair):
            logger.warning("left out %s: no reader of zarr was given", stem)
            continue
        planes = _from_pair(folder.name, *pair, read_array)
        samples += [plane for plane in planes if keep_empty or plane.labels.any()]
        n_empty += not any(plane.labels.any() for plane in planes)
    if samples:
        return samples
    if n_empty:
        raise ValueError(f"All labels in {str(folder)!r} are empty: {n_empty} without an object")
    raise FileNotFoundError(
        f"No pairs in {str(folder)!r}; expected images/NAME.tif beside labels/NAME.tif "
        f"(suffixes: {', '.join(IMAGE_SUFFIXES)})"
    )


def _from_pair(
    source: str, image_path: Path, labels_path: Path, read_array: ArrayReader | None
) -> list[Sample]:
    labels = read_labels(labels_path, read_array)
    image = read_pixels(image_path, read_array)
    name = image_path.stem
    if labels.ndim == 2:
        planes = [(name, as_image(image, image_path.name), labels)]
    elif labels.ndim == 3 and image.shape[:3] == labels.shape:
        planes = [
            (f"{name}_z{z}", as_image(image[z], image_path.name), labels[z])
            for z in range(len(labels))
        ]
    else:
        raise ValueError(
            f"{source}: {name!r} has an image of shape {image.shape} and labels of shape "
            f"{labels.shape}; expected (H, W), or (Z, H, W) for both"
        )
    return [
        Sample(name=plane, source=source, image=pixels, labels=_numbered(objects))
        for plane, pixels, objects in planes
    ]


def _numbered(labels: NDArray[np.generic]) -> NDArray[np.int32]:
    """Number objects from 1, whatever their labels: tables of objects are as long as the last.

    Negative values, by which some mark what is to be ignored, are no objects.
    """
    values, places = np.unique(labels, return_inverse=True)
    numbers = np.cumsum(values > 0) * (values > 0)
    return np.asarray(numbers[places].reshape(labels.shape), np.int32)


def _image_files(folder: Path) -> dict[str, Path]:
    """Return the files to read by their stems; of several with one stem, the last by name."""
    if not folder.is_dir():
        return {}
    paths = sorted(path for path in folder.iterdir() if path.suffix.lower() in IMAGE_SUFFIXES)
    found = {path.stem: path for path in paths}
    _warn("that another of the same name is read for", set(paths) - set(found.values()))
    return found


def _warn(reason: str, paths: Iterable[Path]) -> None:
    names = sorted(f"{path.parent.name}/{path.name}" for path in paths)
    if names:
        more = f" and {len(names) - _NAMED} more" if len(names) > _NAMED else ""
        logger.warning(
            "left out %d files %s: %s%s", len(names), reason, ", ".join(names[:_NAMED]), more
        )
