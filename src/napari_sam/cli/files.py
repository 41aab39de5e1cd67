"""Images in, labels out."""

from __future__ import annotations

from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from napari_sam.training.image_files import (
    FILE_SUFFIXES,
    TIFF_SUFFIXES,
    has_color_planes,
    naming,
    read_file,
)
from napari_sam.whole_files import replacing


def read_image(path: str | Path) -> NDArray[np.generic]:
    """Read an image (H, W) or (H, W, 3 or 4).

    Parameters
    ----------
    path : str or Path
        A tif, png or jpg file, or a zarr array or OME-Zarr group; all with one slice.

    Raises
    ------
    FileNotFoundError
        If nothing is there.
    ValueError
        If it is no image, or a stack, or cannot be read.
    """
    path = Path(path)
    if not path.exists():
        raise FileNotFoundError(f"No image at {str(path)!r}")
    if path.is_dir():
        return _single_slice(path)
    if path.suffix.lower() not in FILE_SUFFIXES:
        raise ValueError(
            f"{path.name} is no image this program reads; use tif, png, jpg or a zarr folder"
        )
    with naming(path.name):
        image = read_file(path)
    return _checked(image, path)


def _single_slice(path: Path) -> NDArray[np.generic]:
    from napari_sam.volume import open_source

    source = open_source(path)
    if source.shape[0] != 1:
        raise ValueError(
            f"{path.name} is a volume of {source.shape[0]} slices; use `napari-sam volume`"
        )
    return source.read(0)


def _checked(image: NDArray[np.generic], path: Path) -> NDArray[np.generic]:
    while image.ndim > 3 or (image.ndim == 3 and image.shape[2] > 4):
        if len(image) != 1:
            break
        image = image[0]  # one slice, time point or channel
    if image.ndim == 3 and image.shape[2] == 2:
        image = image[..., 0]  # gray with alpha
    elif image.ndim == 3 and len(image) in (3, 4) and has_color_planes(path):
        image = np.moveaxis(image, 0, -1)
    if image.ndim == 2 or (image.ndim == 3 and image.shape[2] in (3, 4)):
        return image
    raise ValueError(
        f"{path.name} has the shape {image.shape}, expected (H, W) or (H, W, 3 or 4); for a stack "
        "use `napari-sam volume`"
    )


def check_writable(path: str | Path, image: str | Path) -> Path:
    """Check, before any work is done, that labels of an image can be written to a path.

    Raises
    ------
    ValueError
        If the suffix is not tif or png, or the image itself or a folder is there.
    FileNotFoundError
        If its folder does not exist.
    """
    path = Path(path)
    if path.suffix.lower() not in (*TIFF_SUFFIXES, ".png"):
        raise ValueError(f"Labels are written as tif or png, not as {path.name!r}")
    check_place(path)
    check_other(path, image)
    return path


def check_place(path: str | Path) -> None:
    """Check, before any work is done, that a file can lie at a path.

    Raises
    ------
    FileNotFoundError
        If its folder does not exist.
    ValueError
        If it is a folder itself.
    """
    if not Path(path).parent.is_dir():
        raise FileNotFoundError(f"The folder of {str(path)!r} does not exist")
    if Path(path).is_dir():
        raise ValueError(f"{str(path)!r} is a folder; choose a file")


def check_other(path: Path, image: str | Path) -> None:
    """Refuse to write over what is segmented.

    Raises
    ------
    ValueError
        If a path is the image's own.
    """
    if path.exists() and Path(image).exists() and path.samefile(image):
        raise ValueError(f"{str(path)!r} is the image itself; choose another output")


def write_labels(path: Path, labels: NDArray[np.integer]) -> None:
    """Write labels (H, W) in the smallest unsigned type that holds them; png up to 65,535."""
    smallest = np.min_scalar_type(int(labels.max(initial=0)))
    if path.suffix.lower() == ".png":
        if smallest.itemsize > 2:
            raise ValueError(f"{path.name}: png holds ids up to 65,535; write a tif instead")
        import imageio.v3 as iio

        with replacing(path) as partial:
            iio.imwrite(partial, labels.astype(smallest), extension=".png")
        return
    import tifffile

    is_ome = path.name.lower().endswith((".ome.tif", ".ome.tiff"))
    with replacing(path) as partial:
        tifffile.imwrite(partial, labels.astype(smallest), compression="zlib", ome=is_ome)
