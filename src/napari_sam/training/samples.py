"""Images with ground truth: one type, read from data packs and from a user's folders."""

from __future__ import annotations

import csv
import logging
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

logger = logging.getLogger(__name__)

VolumeReader = Callable[[Path], tuple[NDArray[np.generic], NDArray[np.generic]]]
"""Reads image and labels (Z, Y, X) of a volume; given by the caller: storage lives elsewhere."""

_IMAGE_SUFFIXES = (".tif", ".tiff", ".png", ".jpg", ".jpeg")


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
    tags : dict of str to str
        Anything that an evaluation may be broken down by.
    """

    name: str
    source: str
    image: NDArray[np.generic]
    labels: NDArray[np.integer]
    nested: NDArray[np.integer] | None = None
    tags: dict[str, str] = field(default_factory=dict)

    def __post_init__(self) -> None:
        """Check that image and labels cover the same pixels."""
        if self.image.shape[:2] != self.labels.shape:
            raise ValueError(
                f"Sample {self.name!r}: labels must have the image's height and width "
                f"{self.image.shape[:2]}, got {self.labels.shape}"
            )


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
    return {key: row.get(key, "") for key in ("modality", "cluster", "group")}


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


def read_folder(folder: str | Path) -> list[Sample]:
    """Read a user's image and label pairs.

    Parameters
    ----------
    folder : str or Path
        Holds ``images/`` and ``labels/`` with files of equal stems (tif, png, jpg); labels are
        integer images.

    Raises
    ------
    FileNotFoundError
        If there is no such pair.
    """
    from skimage.io import imread

    folder = Path(folder)
    labels = {path.stem: path for path in _image_files(folder / "labels")}
    samples = [
        Sample(
            name=path.stem,
            source=folder.name,
            image=imread(path),
            labels=imread(labels[path.stem]).astype(np.int32),
        )
        for path in _image_files(folder / "images")
        if path.stem in labels
    ]
    if not samples:
        raise FileNotFoundError(
            f"No pairs in {str(folder)!r}; expected images/NAME.tif beside labels/NAME.tif "
            f"(suffixes: {', '.join(_IMAGE_SUFFIXES)})"
        )
    return samples


def _image_files(folder: Path) -> list[Path]:
    if not folder.is_dir():
        return []
    return sorted(path for path in folder.iterdir() if path.suffix.lower() in _IMAGE_SUFFIXES)
