"""Images with ground truth: one type, read from data packs and from a user's folders."""

from __future__ import annotations

import csv
import logging
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from napari_sam.segmentation.images import contrast_range, finite_image, to_display_range

logger = logging.getLogger(__name__)

VolumeReader = Callable[[Path], tuple[NDArray[np.generic], NDArray[np.generic]]]
"""Reads image and labels (Z, Y, X) of a volume; given by the caller: storage lives elsewhere."""

_TIFF_SUFFIXES = (".tif", ".tiff")
_IMAGE_SUFFIXES = (*_TIFF_SUFFIXES, ".png", ".jpg", ".jpeg", ".zarr")


GRAYS = (0.0, 0.5, 1.0, 1.5, 2.0, 98.5, 98.9, 99.3, 99.7, 100.0)
"""Percentiles between which views of gray images are stretched."""


@dataclass(frozen=True, kw_only=True, eq=False)
class Sample:
    """An image and its objects.

    Attributes
    ----------
    name, source : str
        The item's name, and the data set that it comes from.
    image : ndarray
        (H, W) or (H, W, 3), any dtype.
    labels : ndarray
        (H, W) integers; 0 is background, every other value one object.
    nested : ndarray or None
        (H, W) integers: a second set of objects that contain those of `labels`.
    kinds : ndarray or None
        (n + 1,) integers, what kind of object each label is (from 1); None where all are of one.
    tags : dict of str to str
        Anything that an evaluation may be broken down by.
    """

    name: str
    source: str
    image: NDArray[np.generic]
    labels: NDArray[np.integer]
    nested: NDArray[np.integer] | None = None
    kinds: NDArray[np.integer] | None = None
    tags: dict[str, str] = field(default_factory=dict)

    def __post_init__(self) -> None:
        """Check that image and labels cover the same pixels."""
        if self.image.shape[:2] != self.labels.shape:
            raise ValueError(
                f"Sample {self.name!r}: labels must have the image's height and width "
                f"{self.image.shape[:2]}, got {self.labels.shape}"
            )

    @cached_property
    def diameter(self) -> float:
        """Median equivalent diameter of the objects, pixels; 32 where there are none."""
        return typical_diameter(self.labels)

    @cached_property
    def shown(self) -> NDArray[np.generic]:
        """The image as views are drawn from it: finite, alpha left aside, and colour in uint8."""
        image = self.image
        if image.ndim == 2:
            return finite_image(image, contrast_range(image))
        colours = image[..., :3]
        if image.dtype == np.uint8:
            return colours
        return to_display_range(colours).round().astype(np.uint8)

    @cached_property
    def grays(self) -> NDArray[np.float64]:
        """Intensities of a gray image at the percentiles `GRAYS`."""
        return np.asarray(np.percentile(self.shown[::2, ::2].astype(np.float32), GRAYS))

    def kinds_of_labels(self) -> NDArray[np.int64]:
        """Return what kind of object each label is, (n + 1,)."""
        if self.kinds is None:
            return np.ones(int(self.labels.max(initial=0)) + 1, np.int64)
        return np.asarray(self.kinds, np.int64)


def typical_diameter(labels: NDArray[np.integer]) -> float:
    """Return the median equivalent diameter of the objects in labels (H, W), pixels."""
    areas = np.bincount(labels.ravel())[1:]
    areas = areas[areas >= 12]
    if not len(areas):
        return 32.0
    return float(2 * np.sqrt(np.median(areas) / np.pi))


def read_pack(
    folder: str | Path,
    *,
    split: str | None = None,
    sources: Iterable[str] | None = None,
    read_volume: VolumeReader | None = None,
) -> list[Sample]:
    """Read a data pack: a folder with ``index.csv``, npz archives and volumes.

    Parameters
    ----------
    folder : str or Path
        The pack.
    split : str, optional
        Only the items of this split (``"train"`` or ``"val"``).
    sources : iterable of str, optional
        Only these sources.
    read_volume : callable, optional
        Reads the pack's volumes, which become slices along all three axes; without it they are
        left out with a warning.

    Returns
    -------
    list of Sample

    Raises
    ------
    FileNotFoundError
        If the folder is no pack.
    """
    folder = Path(folder)
    index = folder / "index.csv"
    if not index.is_file():
        raise FileNotFoundError(f"{str(folder)!r} is no data pack: it has no index.csv")
    wanted = None if sources is None else set(sources)
    with index.open(newline="", encoding="utf-8") as file:
        rows = [
            row
            for row in csv.DictReader(file)
            if split in (None, row["split"]) and (wanted is None or row["source"] in wanted)
        ]
    archives: dict[str, dict[str, NDArray[np.generic]]] = {}
    samples: list[Sample] = []
    for row in rows:
        path = folder / row["file"]
        if path.suffix == ".npz":
            archive = archives.setdefault(row["file"], np.load(path))
            samples.append(_from_archive(row, archive))
        elif read_volume is not None:
            samples.extend(_slices(row, *read_volume(path)))
        else:
            logger.warning("left out volume %s: no reader was given", row["id"])
    return samples


def _tags(row: dict[str, str]) -> dict[str, str]:
    return {key: value for key, value in row.items() if key not in ("id", "file")}


def _from_archive(row: dict[str, str], archive: dict[str, NDArray[np.generic]]) -> Sample:
    name = row["id"]
    nested = archive.get(f"lab2/{name}")
    return Sample(
        name=name,
        source=row["source"],
        image=archive[f"img/{name}"],
        labels=archive[f"lab/{name}"].astype(np.int32),
        nested=None if nested is None else nested.astype(np.int32),
        tags=_tags(row),
    )


def _slices(
    row: dict[str, str], image: NDArray[np.generic], labels: NDArray[np.generic], *, every: int = 4
) -> Iterator[Sample]:
    """Cut a volume into slices along all three axes, leaving out those without two objects."""
    for axis, letter in enumerate("zyx"):
        for index in range(every // 2, image.shape[axis], every):
            plane = np.take(image, index, axis)
            objects = np.take(labels, index, axis).astype(np.int32)
            if len(np.unique(objects)) > 2:
                yield Sample(
                    name=f"{row['id']}_{letter}{index}",
                    source=row["source"],
                    image=plane,
                    labels=objects,
                    tags={**_tags(row), "axis": letter},
                )


def read_folder(
    folder: str | Path, *, read_array: Callable[[Path], NDArray[np.generic]] | None = None
) -> list[Sample]:
    """Read a user's image and label pairs.

    Parameters
    ----------
    folder : str or Path
        Holds ``images/`` and ``labels/`` with files of equal stems (tif, png, jpg, zarr); labels
        are integer images. Stacks (Z, Y, X) become slices along z.
    read_array : callable, optional
        Reads ``.zarr`` folders; without it they are left out with a warning.

    Raises
    ------
    FileNotFoundError
        If there is no such pair.
    ValueError
        If image and labels of a pair do not fit, or labels are no integers.
    """
    folder = Path(folder)
    images = _image_files(folder / "images")
    labels = _image_files(folder / "labels")
    samples: list[Sample] = []
    for stem in sorted(images.keys() & labels.keys()):
        pair = images[stem], labels[stem]
        if read_array is None and any(path.suffix == ".zarr" for path in pair):
            logger.warning("left out %s: no reader of zarr was given", stem)
            continue
        image, objects = (_read(path, read_array) for path in pair)
        if _is_colour(pair[1], objects):
            raise ValueError(
                f"{pair[1].name} is a colour picture; labels are integers, one number an object"
            )
        samples += _from_pair(stem, folder.name, image, objects)
    if not samples:
        raise FileNotFoundError(
            f"No pairs in {str(folder)!r}; expected images/NAME.tif beside labels/NAME.tif "
            f"(suffixes: {', '.join(_IMAGE_SUFFIXES)})"
        )
    return samples


def _from_pair(
    name: str, source: str, image: NDArray[np.generic], labels: NDArray[np.generic]
) -> list[Sample]:
    if labels.dtype.kind not in "uib":
        raise ValueError(f"{source}: labels of {name!r} must be integers, got {labels.dtype}")
    if labels.ndim == 2:
        planes = [(name, image, labels)]
    elif labels.ndim == 3 and image.shape[:3] == labels.shape:
        planes = [(f"{name}_z{z}", image[z], labels[z]) for z in range(len(labels))]
    else:
        raise ValueError(
            f"{source}: {name!r} has an image of shape {image.shape} and labels of shape "
            f"{labels.shape}; expected (H, W), or (Z, H, W) for both"
        )
    return [
        Sample(name=plane, source=source, image=pixels, labels=_numbered(objects))
        for plane, pixels, objects in planes
        if objects.any()
    ]


def _numbered(labels: NDArray[np.generic]) -> NDArray[np.int32]:
    """Number objects from 1, whatever their labels: tables of objects are as long as the last."""
    values, places = np.unique(labels, return_inverse=True)
    numbers = np.cumsum(values != 0) * (values != 0)
    return np.asarray(numbers[places].reshape(labels.shape), np.int32)


def _read(
    path: Path, read_array: Callable[[Path], NDArray[np.generic]] | None
) -> NDArray[np.generic]:
    if path.suffix == ".zarr" and read_array is not None:
        return read_array(path)
    if path.suffix.lower() in _TIFF_SUFFIXES:
        import tifffile

        return np.asarray(tifffile.imread(path))  # stacks of three slices are no colours
    from skimage.io import imread

    return np.asarray(imread(path))


def _is_colour(path: Path, pixels: NDArray[np.generic]) -> bool:
    """Tell whether what was read is a picture in colour, and not a stack that is as deep as one."""
    suffix = path.suffix.lower()
    if suffix in _TIFF_SUFFIXES:
        import tifffile

        with tifffile.TiffFile(path) as file:
            return "S" in file.series[0].axes
    return suffix != ".zarr" and pixels.ndim == 3


def _image_files(folder: Path) -> dict[str, Path]:
    if not folder.is_dir():
        return {}
    paths = (path for path in folder.iterdir() if path.suffix.lower() in _IMAGE_SUFFIXES)
    return {path.stem: path for path in sorted(paths)}
