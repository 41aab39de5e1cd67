"""The ids of a volume's objects, for every object of every block."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import asdict, dataclass, replace
from pathlib import Path

import numpy as np
from numpy.typing import ArrayLike, NDArray

from napari_sam.segmentation.matching import DisjointSets
from napari_sam.volume.fragments import Nodes, measure_tracks
from napari_sam.volume.gaps import Bridge
from napari_sam.volume.link_config import LinkConfig
from napari_sam.volume.link_doubts import LinkDoubt
from napari_sam.volume.node_files import NodeFiles, open_nodes, spans
from napari_sam.whole_files import write_text

Ints = NDArray[np.int64]
_SUMMARY = "linked.json"


@dataclass(frozen=True, kw_only=True)
class LinkCounts:
    """How many links there are.

    Attributes
    ----------
    in_z : int
        Between neighbouring slices.
    gaps : int
        Over slices without the object.
    seams : int
        Between tiles.
    fragments : int
        Pieces that joined the object they lie in.
    """

    in_z: int
    gaps: int
    seams: int
    fragments: int


@dataclass(frozen=True, kw_only=True, eq=False)
class IdTable:
    """The id in the volume of every object of every block.

    Attributes
    ----------
    offsets : numpy.ndarray
        (B + 1,) where the objects of each block begin.
    ids : numpy.ndarray
        (N,) uint32: entry ``offsets[b] + i - 1`` is the id of object i of block b; 0 if it is not
        in the output.
    """

    offsets: Ints
    ids: NDArray[np.uint32]

    def ids_of(self, block: int) -> NDArray[np.uint32]:
        """Return the ids in the volume by those in a block, (n + 1,); entry 0 is background."""
        span = slice(int(self.offsets[block]), int(self.offsets[block + 1]))
        return np.concatenate([np.zeros(1, np.uint32), self.ids[span]])

    def relabel(self, block: int, labels: NDArray[np.uint32]) -> NDArray[np.uint32]:
        """Return labels of a block, or of a part of it, with the ids of the volume."""
        return self.ids_of(block)[labels]


@dataclass(frozen=True, kw_only=True, eq=False)
class LinkedIds(IdTable):
    """The ids of a volume's objects, and all that is known of how they were linked.

    Attributes
    ----------
    offsets, ids : numpy.ndarray
        As in `IdTable`.
    n_tiles : int
        Blocks per slice.
    max_gap : int
        Slices that a bridge spans at most.
    bridges : numpy.ndarray
        (N,) for an object that vanishes above and comes again, the number of the entry with which
        it does; 0 for all others.
    sizes : numpy.ndarray
        (n_objects,) voxels of objects 1, 2, ..., before gaps are filled.
    doubts : tuple of LinkDoubt
        The most doubtful decisions, ranked.
    counts : LinkCounts
        How many links there are.
    """

    n_tiles: int
    max_gap: int
    bridges: Ints
    sizes: Ints
    doubts: tuple[LinkDoubt, ...]
    counts: LinkCounts

    @property
    def n_objects(self) -> int:
        """Number of objects in the volume."""
        return int(self.sizes.size)

    def bridges_of(self, block: int) -> list[Bridge]:
        """Return the objects that are missing from a block between two others of its tile.

        In the order of their last blocks below, then of their ids there; see
        `napari_sam.volume.gaps.fill_gaps`.
        """
        found = []
        for gap in range(self.max_gap, 0, -1):
            lower_block = block - gap * self.n_tiles
            if lower_block < 0:
                continue
            start, stop = self.offsets[lower_block], self.offsets[lower_block + 1]
            uppers = self.bridges[start:stop]
            upper_blocks = np.searchsorted(self.offsets, uppers, side="right") - 1
            # offsets of empty blocks coincide; the entry's block is the last that begins there
            over = np.flatnonzero((uppers > 0) & (upper_blocks > block))
            for index in over[self.ids[start + over] > 0].tolist():
                upper_block = int(upper_blocks[index])
                found.append(
                    Bridge(
                        lower_block=lower_block,
                        lower_id=index + 1,
                        upper_block=upper_block,
                        upper_id=int(uppers[index] - self.offsets[upper_block]) + 1,
                        share=(block - lower_block) / (upper_block - lower_block),
                        object_id=int(self.ids[start + index]),
                    )
                )
        return found

    @classmethod
    def open(cls, workspace: Path, counts: ArrayLike | Sequence[int]) -> LinkedIds:
        """Read what a finished `Linker` has left in its workspace.

        Parameters
        ----------
        workspace : pathlib.Path
            The folder.
        counts : sequence of int
            The highest id of each block, as for the linker.

        Raises
        ------
        FileNotFoundError
            If no linker has finished there.
        ValueError
            If the result is one of other counts.
        """
        summary = json.loads((workspace / _SUMMARY).read_text(encoding="utf-8"))
        offsets = block_offsets(counts)
        ids = open_nodes(workspace / "ids.npy")
        if ids.size != offsets[-1]:
            raise ValueError(
                f"{workspace} holds ids of {ids.size} objects, expected {offsets[-1]} by the "
                "counts; link again"
            )
        return cls(
            offsets=offsets,
            n_tiles=summary["n_tiles"],
            max_gap=summary["max_gap"],
            ids=ids,
            bridges=open_nodes(workspace / "bridges.npy"),
            sizes=open_nodes(workspace / "sizes.npy"),
            doubts=tuple(LinkDoubt.of_entry(entry) for entry in summary["doubts"]),
            counts=LinkCounts(**summary["counts"]),
        )

    def keep(self, folder: Path) -> None:
        """Write what is not in arrays; it tells that the arrays are whole."""
        summary = {
            "n_tiles": self.n_tiles,
            "max_gap": self.max_gap,
            "counts": asdict(self.counts),
            "doubts": [asdict(doubt) for doubt in self.doubts],
        }
        write_text(folder / _SUMMARY, json.dumps(summary))


def discard_summary(workspace: Path | None) -> None:
    """Make a workspace one that `LinkedIds.open` does not read until it is finished again."""
    if workspace is not None:
        (workspace / _SUMMARY).unlink(missing_ok=True)


def block_offsets(counts: ArrayLike | Sequence[int]) -> Ints:
    """Return where the objects of each block begin, (B + 1,); the last entry is their number."""
    return np.concatenate([[0], np.cumsum(np.asarray(counts, np.int64))]).astype(np.int64)


def number_objects(
    files: NodeFiles,
    nodes: Nodes,
    sets: DisjointSets,
    *,
    bridges: Ints,
    config: LinkConfig,
    doubts: Sequence[LinkDoubt],
    counts: LinkCounts,
) -> LinkedIds:
    """Give the sets of nodes ids from 1 in the order in which they appear.

    Sets with fewer than ``config.min_voxels`` pixels, and nodes without pixels in the core of their
    block, have id 0.
    """
    voxels = measure_tracks(files, nodes, sets).voxels
    numbers = files.array("numbers", nodes.count, np.uint32)
    ids = files.array("ids", nodes.count, np.uint32, kept=True)
    least, n_objects = max(config.min_voxels, 1), 0
    for span in spans(nodes.count):
        roots = sets.roots(span.start, span.stop)
        shown = (nodes.pixels[span] > 0) & (voxels[roots] >= least)
        fresh, places = np.unique(roots[shown & (numbers[roots] == 0)], return_index=True)
        fresh = fresh[np.argsort(places)]
        numbers[fresh] = np.arange(n_objects + 1, n_objects + 1 + fresh.size)
        n_objects += fresh.size
        ids[span] = np.where(shown, numbers[roots], 0)
    sizes = files.array("sizes", n_objects, np.int64, kept=True)
    for span in spans(nodes.count):
        named = numbers[span] > 0
        sizes[numbers[span][named].astype(np.int64) - 1] = voxels[span][named]
    linked = LinkedIds(
        offsets=nodes.offsets,
        n_tiles=nodes.n_tiles,
        max_gap=config.max_gap,
        ids=ids,
        bridges=bridges,
        sizes=sizes,
        doubts=tuple(_with_ids(doubt, ids) for doubt in doubts),
        counts=counts,
    )
    if files.folder is not None:
        linked.keep(files.folder)
    return linked


def _with_ids(doubt: LinkDoubt, ids: NDArray[np.uint32]) -> LinkDoubt:
    first, second = doubt.nodes
    return replace(doubt, objects=(int(ids[first]), int(ids[second]) if second >= 0 else 0))
