"""What a volume job tells: events while it runs, a report at its end."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

from napari_sam.segmentation.progress import Progress
from napari_sam.volume.link_doubts import LinkDoubt
from napari_sam.volume.linked_ids import LinkCounts, LinkedIds
from napari_sam.whole_files import write_text


@dataclass(frozen=True, kw_only=True)
class VolumeEvent(Progress):
    """One step of a volume job is done.

    Attributes
    ----------
    done, total : int
        Steps of the stage.
    stage : str
        ``"segment"`` (a step per block), ``"link"`` (per block), ``"write"`` (per shard of the
        label image) or ``"finish"``.
    z : int or None
        The slice that is done, the first of a shard; None at the finish.
    resumed : bool
        Whether an earlier run had done it.
    error : str or None
        Why the block could not be segmented, and is left empty.
    """

    z: int | None = None
    resumed: bool = False
    error: str | None = None


@dataclass(frozen=True, kw_only=True)
class VolumeReport:
    """The result of a volume job.

    Attributes
    ----------
    output : pathlib.Path
        The output group.
    labels_path : pathlib.Path
        The label image in it: a group whose array ``0`` is the full resolution.
    shape : tuple of int
        Shape (Z, Y, X) of the labels.
    scale, translation : tuple of float
        World size of a voxel and world position of the first voxel's centre, (z, y, x).
    units : tuple of str or None
        Units of the world, (z, y, x).
    n_objects : int
        Number of objects in the volume; their ids are 1 to ``n_objects``.
    n_resumed : int
        Number of blocks that an earlier run had segmented.
    objects : ObjectSummary or None
        How large the objects are, and how they were linked; None of a shard.
    doubts : tuple of LinkDoubt
        The links that are most in doubt, worst first.
    failed : mapping of int to str
        Blocks that could not be segmented and are empty, and why.
    """

    output: Path
    labels_path: Path
    shape: tuple[int, int, int]
    scale: tuple[float, float, float]
    translation: tuple[float, float, float]
    units: tuple[str | None, str | None, str | None]
    n_objects: int
    n_resumed: int
    objects: ObjectSummary | None = None
    doubts: tuple[LinkDoubt, ...] = field(default=(), repr=False)
    failed: Mapping[int, str] = field(default_factory=dict)


@dataclass(frozen=True, kw_only=True)
class ObjectSummary:
    """Objects of a volume in a few numbers.

    Attributes
    ----------
    smallest, median, largest : int
        Voxels, before gaps are filled; 0 without objects.
    per_slice : int
        How many objects there would be if none were linked through z or over seams.
    links : LinkCounts
        Links of each kind.
    """

    smallest: int
    median: int
    largest: int
    per_slice: int
    links: LinkCounts

    @classmethod
    def of(cls, linked: LinkedIds) -> ObjectSummary:
        """Sum up linked objects."""
        import numpy as np

        sizes = np.asarray(linked.sizes)
        few = (sizes.min(), np.median(sizes), sizes.max()) if sizes.size else (0, 0, 0)
        return cls(
            smallest=int(few[0]),
            median=int(few[1]),
            largest=int(few[2]),
            per_slice=int(np.count_nonzero(linked.ids)),
            links=linked.counts,
        )


def write_report(path: Path, objects: ObjectSummary, doubts: tuple[LinkDoubt, ...]) -> None:
    """Keep on disk what a finished job tells of itself."""
    text = json.dumps({"objects": asdict(objects), "doubts": [asdict(doubt) for doubt in doubts]})
    write_text(path, text)


def read_report(path: Path) -> tuple[ObjectSummary, tuple[LinkDoubt, ...]]:
    """Read what `write_report` has written."""
    kept: dict[str, Any] = json.loads(path.read_text(encoding="utf-8"))
    objects = dict(kept["objects"])
    links = LinkCounts(**objects.pop("links"))
    doubts = tuple(LinkDoubt.of_entry(entry) for entry in kept["doubts"])
    return ObjectSummary(**objects, links=links), doubts
