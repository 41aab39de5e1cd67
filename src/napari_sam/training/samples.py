"""Images with ground truth: one type, and data packs of them; for folders see `folders`."""

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
from napari_sam.training.image_files import check_is_image, naming

logger = logging.getLogger(__name__)

VolumeReader = Callable[[Path], tuple[NDArray[np.generic], NDArray[np.generic]]]
"""Reads image and labels (Z, Y, X) of a volume; given by the caller: storage lives elsewhere."""

GRAYS = (0.0, 0.5, 1.0, 1.5, 2.0, 98.5, 98.9, 99.3, 99.7, 100.0)
"""Percentiles between which views of gray images are stretched."""
_FARTHEST = 1e6
"""How far from its contrast range a pixel may lie, in ranges: what is sampled stays finite."""


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
        """Check that there is one image, and that labels cover the same pixels."""
        check_is_image(self.image, f"Sample {self.name!r}")
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
        """The image as views are drawn from it: finite, alpha left aside, and colour in uint8.

        Gray of more than 16 bit, or with fractions, is float32 with its contrast range at 0 ... 1:
        its values may be too small, or too large and alike, for the arithmetic of views.
        """
        image = self.image
        if image.ndim == 2:
            limits = contrast_range(image)
            finite = finite_image(image, limits)
            short = finite.dtype.kind != "f" and finite.dtype.itemsize <= 2
            return finite if short else _stretched(finite, *limits)
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


def _stretched(image: NDArray[np.generic], low: float, high: float) -> NDArray[np.float32]:
    """Map values so that these two become 0 and 1."""
    values = image.astype(np.float64) - low
    span = high - low or 1.0
    reach = span * _FARTHEST
    return (np.clip(values, -reach, reach) / span).astype(np.float32)


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
    ValueError
        If its index lacks columns, or an item cannot be read.
    """
    folder = Path(folder)
    index = folder / "index.csv"
    if not index.is_file():
        raise FileNotFoundError(f"{str(folder)!r} is no data pack: it has no index.csv")
    wanted = None if sources is None else set(sources)
    archives: dict[str, dict[str, NDArray[np.generic]]] = {}
    samples: list[Sample] = []
    for row in _rows(index, split):
        if wanted is not None and row["source"] not in wanted:
            continue
        path = folder / row["file"]
        if path.suffix == ".npz":
            with naming(f"{row['file']}, item {row['id']!r},"):
                if row["file"] not in archives:
                    archives[row["file"]] = np.load(path)
                samples.append(_from_archive(row, archives[row["file"]]))
        elif read_volume is not None:
            with naming(row["file"]):
                samples.extend(_slices(row, *read_volume(path)))
        else:
            logger.warning("left out volume %s: no reader was given", row["id"])
    return samples


def _rows(index: Path, split: str | None) -> list[dict[str, str]]:
    """Read a pack's index: its items, or those of one split."""
    with index.open(newline="", encoding="utf-8") as file:
        table = csv.DictReader(file, restval="")
        needed = ("id", "source", "file", *(() if split is None else ("split",)))
        missing = [name for name in needed if name not in (table.fieldnames or ())]
        if missing:
            raise ValueError(
                f"{str(index)!r} is read as the index of a data pack and lacks the columns: "
                f"{', '.join(missing)}"
            )
        return [row for row in table if split in (None, row.get("split"))]


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
