"""Pixels of image files, with errors that name the file."""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from napari_sam.segmentation.images import check_image

ArrayReader = Callable[[Path], NDArray[np.generic]]
"""Reads a ``.zarr`` folder; given by the caller: storage lives elsewhere."""

LOSSY_SUFFIXES = (".jpg", ".jpeg")
TIFF_SUFFIXES = (".tif", ".tiff")
FILE_SUFFIXES = (*TIFF_SUFFIXES, ".png", *LOSSY_SUFFIXES)
IMAGE_SUFFIXES = (*FILE_SUFFIXES, ".zarr")
_RGB = 2
"""Photometric interpretation of TIFF 6.0."""


@contextlib.contextmanager
def naming(name: str) -> Iterator[None]:
    """Turn all that a reader raises, which may be anything, into a ValueError that names a file."""
    try:
        yield
    except Exception as error:
        told = str(error) or type(error).__name__
        raise ValueError(f"{name} is damaged or cannot be read: {told}") from error


def read_pixels(path: Path, read_array: ArrayReader | None) -> NDArray[np.generic]:
    """Read a file, or a ``.zarr`` folder; an axis of one channel, and alpha of gray, are dropped.

    Raises
    ------
    ValueError
        If that fails.
    """
    with naming(path.name):
        pixels = _read(path, read_array)
        if not pixels.size:
            raise ValueError("it holds no pixels")
    if pixels.ndim == 3 and (pixels.shape[2] == 1 or (_is_picture(path) and pixels.shape[2] == 2)):
        return pixels[..., 0]
    return pixels


def read_labels(path: Path, read_array: ArrayReader | None) -> NDArray[np.generic]:
    """Read labels (H, W) or (Z, H, W) as `read_pixels` does; of a picture with a palette, indices.

    Raises
    ------
    ValueError
        If that fails, or if they are a picture in colour, lossily compressed, or no integers.
    """
    if path.suffix.lower() in LOSSY_SUFFIXES:
        raise ValueError(
            f"{path.name} is compressed with losses, which changes labels; write png or tif"
        )
    indices = _palette_indices(path)
    labels = read_pixels(path, read_array) if indices is None else indices
    if _is_colour(path, labels):
        raise ValueError(
            f"{path.name} is a colour picture; labels are integers, one number an object"
        )
    if labels.dtype.kind not in "uib":
        raise ValueError(f"Labels of {path.stem!r} must be integers, got {labels.dtype}")
    return labels


def as_image(pixels: NDArray[np.generic], name: str) -> NDArray[np.generic]:
    """Return pixels as an image (H, W) or (H, W, 3 or 4): of gray with alpha, the gray.

    Raises
    ------
    ValueError
        If they are no image; the message begins with the name.
    """
    if pixels.ndim == 3 and pixels.shape[2] == 2:
        pixels = pixels[..., 0]
    check_is_image(pixels, name)
    return pixels


def check_is_image(pixels: NDArray[np.generic], name: str) -> None:
    """Check that pixels are an image (H, W) or (H, W, 3 or 4).

    Raises
    ------
    ValueError
        If they are not; the message begins with the name.
    """
    try:
        check_image(pixels)
    except (TypeError, ValueError) as error:
        raise ValueError(
            f"{name} holds {pixels.dtype} of the shape {pixels.shape}. {error}"
        ) from error


def _read(path: Path, read_array: ArrayReader | None) -> NDArray[np.generic]:
    if path.suffix.lower() == ".zarr" and read_array is not None:
        return read_array(path)
    return read_file(path)


def read_file(path: Path) -> NDArray[np.generic]:
    """Read a tif, png or jpg file as it is; errors are those of the readers, which may be any."""
    if path.suffix.lower() in TIFF_SUFFIXES:
        import tifffile

        return np.asarray(tifffile.imread(path))  # stacks of three slices are no colours
    import imageio.v3 as iio

    return np.asarray(iio.imread(path, plugin="pillow"))


def _palette_indices(path: Path) -> NDArray[np.generic] | None:
    """Return which colour of its palette each pixel (H, W) of a png has; None without a palette."""
    if path.suffix.lower() != ".png":
        return None
    from PIL import Image

    with naming(path.name), Image.open(path) as picture:
        return np.asarray(picture) if picture.mode == "P" else None


def _is_picture(path: Path) -> bool:
    """Tell whether a file holds one picture, whose third axis is that of channels."""
    return path.suffix.lower() not in (*TIFF_SUFFIXES, ".zarr")


def _is_colour(path: Path, pixels: NDArray[np.generic]) -> bool:
    """Tell whether what was read is a picture in colour, and not a stack that is as deep as one."""
    if path.suffix.lower() in TIFF_SUFFIXES:
        return _tiff_layout(path)[0].endswith("S")
    return _is_picture(path) and pixels.ndim == 3


def has_color_planes(path: Path) -> bool:
    """Tell whether a file is a tif of one picture whose colours lie one behind the other."""
    return path.suffix.lower() in TIFF_SUFFIXES and _tiff_layout(path) == ("SYX", _RGB)


def _tiff_layout(path: Path) -> tuple[str, int]:
    """Return the axes of a tif's first image, and its photometric interpretation."""
    import tifffile

    with tifffile.TiffFile(path) as file:
        return file.series[0].axes, int(file.pages.first.photometric)
