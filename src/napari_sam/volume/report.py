"""What a volume job tells: events while it runs, a report at its end."""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from napari_sam.segmentation.progress import Progress


@dataclass(frozen=True, kw_only=True)
class VolumeEvent(Progress):
    """One step of a volume job is done.

    Attributes
    ----------
    done, total : int
        Steps of the stage.
    stage : str
        ``"segment"``, ``"link"``, ``"write"`` (one step per slice each) or ``"finish"``.
    z : int or None
        The slice that is done; None at the finish.
    labels : numpy.ndarray or None
        The labels of that slice, (Y, X) uint32: in ``"segment"`` ids count from 1 in every slice,
        in ``"write"`` they are the final ones; None in the other stages.
    """

    z: int | None = None
    labels: NDArray[np.uint32] | None = field(default=None, repr=False, compare=False)


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
        Number of slices that an earlier run had segmented.
    """

    output: Path
    labels_path: Path
    shape: tuple[int, int, int]
    scale: tuple[float, float, float]
    translation: tuple[float, float, float]
    units: tuple[str | None, str | None, str | None]
    n_objects: int
    n_resumed: int
