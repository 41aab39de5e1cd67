"""What a volume job computes and writes: its blocks, and paths, shapes and shards on disk."""

from __future__ import annotations

import itertools
import os
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from napari_sam.volume.ome import OmeLevel

JOBS_FOLDER = ".napari_sam"
CHUNK_SIZE = 512
SHARD_SIZE = 2048
SHARD_DEPTH = 8
SMALLEST_LEVEL = 256
SCRATCH_CHUNK = 1024

Window = tuple[slice, slice]
Shape = tuple[int, int, int]


@dataclass(frozen=True, kw_only=True)
class Block:
    """A tile of a slice, which is segmented on its own.

    Attributes
    ----------
    number : int
        From 0, slice by slice and row by row.
    z, tile : int
        Its slice, and its place among the slice's tiles.
    core : tuple of slice
        Rows and columns of the plane that the block answers for; cores do not overlap.
    region : tuple of slice
        Rows and columns that the block sees: its core and what surrounds it.
    """

    number: int
    z: int
    tile: int
    core: Window
    region: Window

    @property
    def inner(self) -> Window:
        """The core in the coordinates of the region."""
        (rows, cols), (top, left) = self.core, (part.start for part in self.region)
        return slice(rows.start - top, rows.stop - top), slice(cols.start - left, cols.stop - left)

    @property
    def shape(self) -> tuple[int, int]:
        """Height and width of the region."""
        rows, cols = self.region
        return rows.stop - rows.start, cols.stop - cols.start


@dataclass(frozen=True, kw_only=True)
class WriteBlock:
    """A shard of the label image, which is written at once: no two writers share a file.

    Attributes
    ----------
    number : int
        From 0.
    slices : range
        Its slices.
    window : tuple of slice
        Its rows and columns at full resolution.
    """

    number: int
    slices: range
    window: Window

    def at_level(self, level: int) -> tuple[slice, slice, slice]:
        """Return where the shard lies in a level of the pyramid."""
        step = 2**level
        rows, cols = (slice(part.start // step, -(-part.stop // step)) for part in self.window)
        return slice(self.slices.start, self.slices.stop), rows, cols


@dataclass(frozen=True, kw_only=True)
class VolumePlan:
    """Layout of a job's work and files.

    ::

        output                       OME-Zarr 0.5 group
          labels/<name>              the label image
            0, 1, ...                its levels, in shards of 8 slices
          .napari_sam/<name>         the job's own folder
            ledger.jsonl             what is done; shard-*.jsonl: by each part of a shared job
            report.json              what the links were in doubt about
            scratch.zarr, links      labels per block, and their ids in the volume; gone at the end

    Attributes
    ----------
    output : pathlib.Path
        The output group.
    name : str
        Name of the label image.
    shape : tuple of int
        Shape (Z, Y, X) of the volume.
    block_size : int
        Longest side of a block's core, pixels; a multiple of a shard's side.
    halo : int
        How far a block sees beyond its core, pixels.
    """

    output: Path
    name: str
    shape: Shape
    block_size: int = 2 * SHARD_SIZE
    halo: int = 64

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
    def report(self) -> Path:
        """What the finished job tells of itself."""
        return self.job / "report.json"

    @property
    def lock(self) -> Path:
        """Held by who works on the job."""
        return self.job / "job.lock"

    @property
    def scratch(self) -> Path:
        """The array of labels that count from 1 in every block."""
        return self.job / "scratch.zarr"

    @property
    def links(self) -> Path:
        """The folder of the tables that map them to ids in the volume."""
        return self.job / "links"

    @property
    def tiles(self) -> tuple[Window, ...]:
        """Cores of the tiles of a slice, row by row."""
        return tuple(_grid(self.shape[1:], self.block_size))

    @property
    def tile_columns(self) -> int:
        """How many tiles lie side by side."""
        return -(-self.shape[2] // self.block_size)

    @property
    def n_blocks(self) -> int:
        """Number of blocks."""
        return self.shape[0] * len(self.tiles)

    def block(self, number: int) -> Block:
        """Return a block by its number."""
        z, tile = divmod(number, len(self.tiles))
        core = self.tiles[tile]
        rows, cols = (
            slice(max(0, part.start - self.halo), min(length, part.stop + self.halo))
            for part, length in zip(core, self.shape[1:], strict=True)
        )
        return Block(number=number, z=z, tile=tile, core=core, region=(rows, cols))

    def block_at(self, z: int, row: int, col: int) -> Block:
        """Return the block of a slice whose core has a pixel."""
        down, right = row // self.block_size, col // self.block_size
        return self.block(z * len(self.tiles) + down * self.tile_columns + right)

    @property
    def scratch_shape(self) -> tuple[int, int, int, int]:
        """Shape (Z, tiles, height, width) of the scratch, in which every block has its region."""
        shapes = [self.block(tile).shape for tile in range(len(self.tiles))]
        height, width = (max(lengths) for lengths in zip(*shapes, strict=True))
        return self.shape[0], len(self.tiles), height, width

    @property
    def write_blocks(self) -> tuple[WriteBlock, ...]:
        """The shards of the label image, from the first slices on."""
        depth = self.shape[0]
        places = itertools.product(range(0, depth, SHARD_DEPTH), _grid(self.shape[1:], SHARD_SIZE))
        return tuple(
            WriteBlock(number=number, slices=range(z, min(z + SHARD_DEPTH, depth)), window=window)
            for number, (z, window) in enumerate(places)
        )

    @property
    def level_shapes(self) -> tuple[Shape, ...]:
        """Shapes of the levels: y and x halve until both are at most 256; z stays."""
        shapes = [self.shape]
        while max(shapes[-1][1:]) > SMALLEST_LEVEL:
            depth, height, width = shapes[-1]
            shapes.append((depth, (height + 1) // 2, (width + 1) // 2))
        return tuple(shapes)

    def shards(self, level: int) -> tuple[Shape, Shape]:
        """Return the shapes of a level's shards and of the chunks in them: single slices."""
        side = max(SHARD_SIZE >> level, 1)
        chunk = min(side, CHUNK_SIZE)
        lengths = [
            min(side, -(-length // chunk) * chunk) for length in self.level_shapes[level][1:]
        ]
        return (SHARD_DEPTH, lengths[0], lengths[1]), (1, chunk, chunk)

    def shard_file(self, level: int, part: WriteBlock) -> Path:
        """Return the only file of a level that a write block goes into."""
        rows, cols = (cut.start // SHARD_SIZE for cut in part.window)
        place = (part.slices.start // SHARD_DEPTH, rows, cols)
        return self.image.joinpath(str(level), "c", *map(str, place))

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


def _grid(lengths: tuple[int, int], side: int) -> Iterator[Window]:
    """Cut a plane into squares, row by row."""
    rows, cols = (
        [slice(start, min(start + side, length)) for start in range(0, length, side)]
        for length in lengths
    )
    return itertools.product(rows, cols)


def plan_volume(
    output: str | os.PathLike[str],
    name: str,
    shape: Shape,
    *,
    block_size: int = 2 * SHARD_SIZE,
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
    block_size : int
        See `VolumePlan`; the halo follows once objects are measured.

    Raises
    ------
    ValueError
        If the output is not a local path.
    """
    text = os.fspath(output)
    if "://" in text:
        raise ValueError(f"output must be a local path, got {text!r}; copy the result there later")
    return VolumePlan(output=Path(text).expanduser(), name=name, shape=shape, block_size=block_size)
