"""The stages of a claimed volume job: segment blocks, link their objects, write the label image."""

from __future__ import annotations

import errno
import shutil
from collections.abc import Generator, Iterator
from contextlib import closing
from dataclasses import dataclass, replace
from functools import cached_property
from typing import Any

import numpy as np
import zarr

from napari_sam.volume.blocks import BlockTask, Labels, Scratch, VolumePredictor
from napari_sam.volume.config import VolumeConfig
from napari_sam.volume.gaps import fill_gaps
from napari_sam.volume.ledger import DoneBlock, Ledger, checksum
from napari_sam.volume.link import Linker
from napari_sam.volume.linked_ids import LinkedIds
from napari_sam.volume.lock import JobLock
from napari_sam.volume.output import open_levels
from napari_sam.volume.plan import Block, VolumePlan, Window, WriteBlock
from napari_sam.volume.report import VolumeEvent
from napari_sam.volume.run_config import RunConfig
from napari_sam.volume.source import VolumeSource


class VolumeError(RuntimeError):
    """A job stopped at a block; what is done stays.

    Attributes
    ----------
    z : int
        The slice of the block.
    """

    def __init__(self, message: str, z: int) -> None:
        super().__init__(message)
        self.z = z


@dataclass(frozen=True)
class VolumeJob:
    """A job and its open ledger.

    Attributes
    ----------
    predictor, source, plan, config, run, ledger
        What is done, where, how, and the record of it.
    lock : JobLock
        Held; it is looked at before anything is recorded.
    """

    predictor: VolumePredictor
    source: VolumeSource
    plan: VolumePlan
    config: VolumeConfig
    run: RunConfig
    ledger: Ledger
    lock: JobLock

    @property
    def task(self) -> BlockTask:
        """What is needed to do a block, anywhere."""
        limits = self.ledger.header["contrast_limits"]
        return BlockTask.of(
            self.predictor,
            self.source,
            replace(self.plan, output=self.plan.output.absolute()),
            self.config,
            contrast_limits=None if limits is None else (float(limits[0]), float(limits[1])),
            object_diameter=self.ledger.header["object_diameter"],
        )

    def segment(self, blocks: range) -> Generator[VolumeEvent, None, int]:
        """Do every block that is not done; return how many were."""
        todo: list[int] = []
        for number in blocks:
            if self._is_done(number) or self._is_given_up(number):
                yield self._event("segment", number, len(blocks), number - len(todo), resumed=True)
            else:
                todo.append(number)
        n_resumed = len(blocks) - len(todo)
        with closing(self.run.executor.run(self.task, todo)) as outcomes:
            for done, (number, outcome) in enumerate(outcomes, start=n_resumed):
                error = self._record(number, outcome)
                yield self._event("segment", number, len(blocks), done, error=error)
        return n_resumed

    def link(self) -> Generator[VolumeEvent, None, LinkedIds]:
        """Match the objects of neighbouring blocks; return their ids, and keep them on disk."""
        counts = [
            self.ledger.blocks[number].n_objects if number in self.ledger.blocks else 0
            for number in range(self.plan.n_blocks)
        ]
        linked = self._linked(counts)
        if linked is not None:
            return linked
        shutil.rmtree(self.plan.links, ignore_errors=True)
        self.plan.links.mkdir(parents=True)
        n_tiles = len(self.plan.tiles)
        linker = Linker(counts, n_tiles=n_tiles, config=self.config.link, workspace=self.plan.links)
        done = 0
        for z in range(self.plan.shape[0]):
            row: dict[int, Labels] = {}
            for tile in range(n_tiles):
                block = self.plan.block(z * n_tiles + tile)
                row[tile] = self._labels(block)
                self._add(linker, block, row)
                row.pop(tile - self.plan.tile_columns, None)
                yield self._event("link", block.number, self.plan.n_blocks, done)
                done += 1
        linker.finish()
        linked = LinkedIds.open(self.plan.links, counts)
        self.ledger.add_linked(linked.n_objects, _table_checksum(linked))
        return linked

    def write(self, linked: LinkedIds) -> Generator[VolumeEvent, None, None]:
        """Write the label image with final ids, a shard of every level at a time."""
        levels = open_levels(self.plan)
        writes = self.plan.write_blocks
        for done, part in enumerate(writes):
            resumed = self._is_written(levels, part)
            if not resumed:
                self.lock.check()
                labels = self._final_labels(part, linked)
                pieces = [labels[:, :: 2**level, :: 2**level] for level in range(len(levels))]
                for level, (array, piece) in enumerate(zip(levels, pieces, strict=True)):
                    self.plan.shard_file(level, part).unlink(missing_ok=True)
                    array[part.at_level(level)] = piece
                self.ledger.add_written(part.number, checksum(*pieces))
            yield VolumeEvent(
                stage="write",
                done=done + 1,
                total=len(writes),
                z=part.slices.start,
                resumed=resumed,
            )

    @cached_property
    def _scratch(self) -> Scratch:
        return Scratch.make(self.plan)

    def _is_done(self, number: int) -> bool:
        """Tell whether the ledger has a block and its labels are whole."""
        done = self.ledger.blocks.get(number)
        if done is None:
            return False
        return self._scratch.read_whole(self.plan.block(number), done) is not None

    def _is_given_up(self, number: int) -> bool:
        """Tell whether a block stays empty: a call that only finishes segments none again."""
        return number in self.ledger.failed and self.run.only_finish and not self.run.retry_failed

    def _record(self, number: int, outcome: DoneBlock | Exception) -> str | None:
        """Write down what became of a block; returns the error of one that is left empty.

        Raises
        ------
        VolumeError
            If the job stops here.
        """
        self.lock.check()
        if isinstance(outcome, DoneBlock):
            self.ledger.add_block(number, outcome)
            return None
        block, error = self.plan.block(number), f"{type(outcome).__name__}: {outcome}"
        if isinstance(outcome, OSError) and outcome.errno in (errno.ENOSPC, errno.EDQUOT):
            advice = "make room on the disk, then run the same again"
        elif self.run.on_error == "stop":
            advice = "mend it and run the same again, or leave it empty with on_error='skip'"
        else:
            self.ledger.add_failed(number, error)
            return error
        raise VolumeError(
            f"Slice {block.z} stopped the job: {error}; what is done stays: {advice}", block.z
        ) from outcome

    def _labels(self, block: Block) -> Labels:
        """Return the labels of a block's region; an empty one for a block that failed."""
        if block.number in self.ledger.failed:
            return np.zeros(block.shape, np.uint32)
        return self._scratch.read(block)

    def _add(self, linker: Linker, block: Block, row: dict[int, Labels]) -> None:
        """Link a block with the slices below it, and with its neighbours above and to the left."""
        labels = row[block.tile]
        origin = block.region[0].start, block.region[1].start
        linker.add_slice(block.tile, block.z, labels, block.inner, origin)
        columns = self.plan.tile_columns
        neighbours = [(0, block.tile - columns)] if block.tile >= columns else []
        if block.tile % columns:
            neighbours.append((1, block.tile - 1))
        for axis, tile in neighbours:
            before = self.plan.block(block.number - block.tile + tile)
            overlap = _overlap(before.region, block.region)
            linker.add_seam(
                (before.number, block.number),
                (_part(before, row[tile], overlap), _part(block, labels, overlap)),
                axis=axis,
                border=block.core[axis].start - overlap[axis].start,
                origin=(overlap[0].start, overlap[1].start),
            )

    def _linked(self, counts: list[int]) -> LinkedIds | None:
        """Return the ids if the ledger has them and their tables are whole."""
        if self.ledger.linked is None:
            return None
        try:
            linked = LinkedIds.open(self.plan.links, counts)
        except (OSError, ValueError, KeyError, TypeError):
            return None
        return linked if _table_checksum(linked) == self.ledger.linked[1] else None

    def _final_labels(self, part: WriteBlock, linked: LinkedIds) -> Labels:
        """Return the final labels of a shard, (z, y, x)."""
        shape = [len(part.slices), *(cut.stop - cut.start for cut in part.window)]
        labels = np.zeros(shape, np.uint32)
        corner = [cut.start for cut in part.window]  # no shard lies over a border of blocks
        for index, z in enumerate(part.slices):
            block = self.plan.block_at(z, *corner)
            own = linked.relabel(block.number, self._labels(block))
            if self.config.link.smooth:
                own = fill_gaps(own, linked.bridges_of(block.number), self._labels_of)
            labels[index] = _part(block, own, part.window)
        return labels

    def _labels_of(self, number: int) -> Labels:
        return self._labels(self.plan.block(number))

    def _is_written(self, levels: list[zarr.Array[Any]], part: WriteBlock) -> bool:
        """Tell whether the ledger has a shard and all its levels are whole."""
        recorded = self.ledger.written.get(part.number)
        if recorded is None:
            return False
        try:
            pieces = [
                np.asarray(array[part.at_level(level)], np.uint32)
                for level, array in enumerate(levels)
            ]
        except (OSError, ValueError, RuntimeError):
            return False
        return checksum(*pieces) == recorded

    def _event(
        self,
        stage: str,
        number: int,
        total: int,
        before: int,
        *,
        resumed: bool = False,
        error: str | None = None,
    ) -> VolumeEvent:
        return VolumeEvent(
            stage=stage,
            done=before + 1,
            total=total,
            z=self.plan.block(number).z,
            resumed=resumed,
            error=error,
        )


def _overlap(first: Window, second: Window) -> Window:
    rows, cols = (
        slice(max(one.start, other.start), min(one.stop, other.stop))
        for one, other in zip(first, second, strict=True)
    )
    return rows, cols


def _part(block: Block, labels: Labels, window: Window) -> Labels:
    """Return the labels of a window of the plane, given those of a block's region."""
    rows, cols = (
        slice(cut.start - region.start, cut.stop - region.start)
        for cut, region in zip(window, block.region, strict=True)
    )
    return labels[rows, cols]


def _table_checksum(linked: LinkedIds) -> str:
    return checksum(linked.ids, linked.bridges, linked.sizes)


def missing_blocks(ledger: Ledger, blocks: range) -> Iterator[int]:
    """Yield the blocks that are neither done nor given up."""
    return (n for n in blocks if n not in ledger.blocks and n not in ledger.failed)
