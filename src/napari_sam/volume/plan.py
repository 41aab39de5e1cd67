"""What a volume job writes, and where: paths, shapes, chunks and levels."""

from __future__ import annotations

import os
from dataclasses import dataclass
from pathlib import Path

from napari_sam.volume.ome import OmeLevel

JOBS_FOLDER = ".napari_sam"
CHUNK_SIZE = 1024
SMALLEST_LEVEL = 256


@dataclass(frozen=True, kw_only=True)
class VolumePlan:
    """Layout of a job's files.

    ::

        output                       OME-Zarr 0.5 group
          labels/<name>              the label image
            0, 1, ...                its levels, one slice per chunk
          .napari_sam/<name>         the job's own folder
            ledger.jsonl             what is done
            scratch.zarr, ids.npy    labels per slice and their ids in the volume; gone at the end

    A chunk never spans two slices, so that whatever writes different slices never shares a chunk.

    Attributes
    ----------
    output : pathlib.Path
        The output group.
    name : str
        Name of the label image.
    shape : tuple of int
        Shape (Z, Y, X) of the volume.
    """

    output: Path
    name: str
    shape: tuple[int, int, int]

    @property
    def labels_group(self) -> Path:
        """The group that lists the label images."""
        return self.output / "labels"

    @property
    def image(self) -> Path:
        """The group of the label image."""
        return self.labels_group / self.name

    @property
    def jobs(self) -> Path:
        """The folder of all jobs on this output; an output that has one is ours."""
        return self.output / JOBS_FOLDER

    @property
    def job(self) -> Path:
        """The job's own folder."""
        return self.jobs / self.name

    @property
    def ledger(self) -> Path:
        """The job's record."""
        return self.job / "ledger.jsonl"

    @property
    def scratch(self) -> Path:
        """The array of labels that count from 1 in every slice."""
        return self.job / "scratch.zarr"

    @property
    def id_table(self) -> Path:
        """The table that maps them to ids in the volume."""
        return self.job / "ids.npy"

    @property
    def chunks(self) -> tuple[int, int, int]:
        """Chunk shape of the scratch and of every level."""
        return self.chunks_of(self.shape)

    @staticmethod
    def chunks_of(shape: tuple[int, int, int]) -> tuple[int, int, int]:
        """Return the chunk shape of an array: one slice, at most 1024 x 1024."""
        return 1, min(CHUNK_SIZE, shape[1]), min(CHUNK_SIZE, shape[2])

    @property
    def level_shapes(self) -> tuple[tuple[int, int, int], ...]:
        """Shapes of the levels: y and x halve until both are at most 256; z stays."""
        shapes = [self.shape]
        while max(shapes[-1][1:]) > SMALLEST_LEVEL:
            depth, height, width = shapes[-1]
            shapes.append((depth, (height + 1) // 2, (width + 1) // 2))
        return tuple(shapes)

    def levels(
        self, scale: tuple[float, float, float], translation: tuple[float, float, float]
    ) -> tuple[OmeLevel, ...]:
        """Return where each level lies in the world.

        Levels take every second pixel, beginning with the first, so the first pixel's centre and
        with it the translation is that of the full resolution.
        """
        depth, height, width = scale
        return tuple(
            OmeLevel(
                path=str(index),
                scale=(depth, height * 2**index, width * 2**index),
                translation=translation,
            )
            for index in range(len(self.level_shapes))
        )


def plan_volume(
    output: str | os.PathLike[str], name: str, shape: tuple[int, int, int]
) -> VolumePlan:
    """Lay out a job without touching the disk.

    Parameters
    ----------
    output : path
        The output group, existing or not.
    name : str
        Name of the label image.
    shape : tuple of int
        Shape (Z, Y, X) of the volume.

    Raises
    ------
    ValueError
        If the output is not a local path.
    """
    text = os.fspath(output)
    if "://" in text:
        raise ValueError(f"output must be a local path, got {text!r}; copy the result there later")
    return VolumePlan(output=Path(text).expanduser(), name=name, shape=shape)
