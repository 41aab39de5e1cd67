"""The labels of a job that runs, as an array to look at before they are linked and written."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, replace
from typing import Any, SupportsIndex, TypeAlias

import numpy as np
from numpy.typing import NDArray

from napari_sam.volume.blocks import Labels, Scratch
from napari_sam.volume.ledger import read_header
from napari_sam.volume.plan import Block, Shape, VolumePlan
from napari_sam.volume.segment import halo_of

_Cut: TypeAlias = SupportsIndex | slice


@dataclass(frozen=True, kw_only=True, eq=False)
class BlockView:
    """Labels (Z, Y, X) of a job's blocks, read from its scratch when they are asked for.

    Labels count from 1 in every block. Blocks that are not done are zeros. Nothing is kept in
    memory, and no more than one block is read at a time.

    Attributes
    ----------
    plan : VolumePlan
        The job's blocks, with the halo that they have.
    scratch : Scratch
        Where they are.
    level : int
        Level of the pyramid: every 2 ** level-th row and column.
    """

    plan: VolumePlan
    scratch: Scratch
    level: int = 0

    dtype = np.dtype(np.uint32)
    ndim = 3

    @property
    def shape(self) -> Shape:
        """The shape (Z, Y, X) at this level."""
        return self.plan.level_shapes[self.level]

    @property
    def size(self) -> int:
        """Number of pixels."""
        depth, height, width = self.shape
        return depth * height * width

    def __getitem__(self, selection: Any) -> Labels:
        """Return a part: integers and slices of positive steps, as in numpy."""
        cuts = _whole(selection)
        ranges = [_range(cut, length) for cut, length in zip(cuts, self.shape, strict=True)]
        labels = np.zeros([len(part) for part in ranges], np.uint32)
        rows, cols = (np.array(part, np.int64) << self.level for part in ranges[1:])
        for index, z in enumerate(ranges[0]):
            for block in self._blocks(z, rows, cols):
                self._read(block, rows, cols, labels[index])
        kept = tuple(slice(None) if isinstance(cut, slice) else 0 for cut in cuts)
        return np.asarray(labels[kept], np.uint32)

    def __array__(self, dtype: Any = None, copy: Any = None) -> NDArray[Any]:
        """Return all of it; small volumes only."""
        return np.array(self[:], dtype, copy=copy)

    def _blocks(self, z: int, rows: NDArray[np.int64], cols: NDArray[np.int64]) -> Iterator[Block]:
        """Yield the blocks of a slice that hold any of these rows and columns."""
        side = self.plan.block_size
        for row in np.unique(rows // side):
            for col in np.unique(cols // side):
                yield self.plan.block_at(z, int(row) * side, int(col) * side)

    def _read(
        self, block: Block, rows: NDArray[np.int64], cols: NDArray[np.int64], into: Labels
    ) -> None:
        """Read what a block answers for of these rows and columns of the plane."""
        source, target = [], []
        for wanted, core, region in zip((rows, cols), block.core, block.region, strict=True):
            first, end = np.searchsorted(wanted, (core.start, core.stop))
            step = int(wanted[1] - wanted[0]) if len(wanted) > 1 else 1
            low, high = int(wanted[first]), int(wanted[end - 1])
            source.append(slice(low - region.start, high + 1 - region.start, step))
            target.append(slice(int(first), int(end)))
        part = self.scratch.array[block.z, block.tile, source[0], source[1]]
        into[target[0], target[1]] = np.asarray(part, np.uint32)


def view_blocks(plan: VolumePlan) -> tuple[BlockView, ...]:
    """Open what a job has segmented so far; reads the disk.

    Parameters
    ----------
    plan : VolumePlan
        The job's layout; its halo is read from the job's record.

    Returns
    -------
    tuple of BlockView
        One for each level of the pyramid, the finest first.

    Raises
    ------
    FileNotFoundError
        If the job has not begun, or has tidied up already.
    """
    header = read_header(plan.ledger)
    plan = replace(plan, halo=halo_of(header["object_diameter"]))
    scratch = Scratch.open(plan.scratch)
    return tuple(
        BlockView(plan=plan, scratch=scratch, level=level)
        for level in range(len(plan.level_shapes))
    )


def _whole(selection: Any) -> list[_Cut]:
    """Return one integer or slice for each of three axes."""
    given = list(selection) if isinstance(selection, tuple) else [selection]
    if Ellipsis in given:
        at = given.index(Ellipsis)
        given[at : at + 1] = [slice(None)] * (4 - len(given))
    return given + [slice(None)] * (3 - len(given))


def _range(cut: _Cut, length: int) -> range:
    """Return the indices that an integer or a slice stands for."""
    if isinstance(cut, slice):
        start, stop, step = cut.indices(length)
        if step < 1:
            raise IndexError(f"steps must be positive, got {step}")
        return range(start, stop, step)
    index = cut.__index__()
    if not -length <= index < length:
        raise IndexError(f"index must be from 0 to {length - 1}, got {index}")
    return range(index % length, index % length + 1)
