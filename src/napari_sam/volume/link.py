"""From ids per block to ids in the volume: mutual-best overlap, merged by union-find.

A block is one tile of one slice, segmented on its own over its read region; its number is
``z * n_tiles + tile``. Each object of each block is a node of a graph, numbered through by
cumulative counts. Three rules join nodes: `napari_sam.volume.slice_links` along z,
`napari_sam.volume.seams` and `napari_sam.volume.seam_votes` between tiles, and
`napari_sam.volume.fragments` for pieces of an object.

All steps are deterministic: ties go to the smaller id, and final ids count up in the order in
which objects first appear (by block, then by id in the block).
"""

from __future__ import annotations

from collections import deque
from collections.abc import Sequence
from pathlib import Path

import numpy as np
from numpy.typing import ArrayLike, NDArray

from napari_sam.segmentation.matching import (
    DisjointSets,
    Overlaps,
    find_overlaps,
    mutual_best,
    runner_up,
)
from napari_sam.volume.fragments import CONTAINED, ROUNDS, Fragments, Nodes, measure_tracks
from napari_sam.volume.link_config import LinkConfig
from napari_sam.volume.link_doubts import DoubtHeap, link_doubts
from napari_sam.volume.linked_ids import (
    LinkCounts,
    LinkedIds,
    block_offsets,
    discard_summary,
    number_objects,
)
from napari_sam.volume.node_files import NodeFiles, RecordLog
from napari_sam.volume.seam_votes import SEAM, elected
from napari_sam.volume.seams import SeamMatches, match_at_seam
from napari_sam.volume.slice_links import Plane, bridged, object_centres, straightened

Labels = NDArray[np.uint32]
Ints = NDArray[np.int64]
Core = tuple[slice, slice]

_DOUBTS = 200
"""How many decisions are kept for a person to look at."""


class Linker:
    """Collects matches between blocks and turns them into ids.

    Give it every block by `add_slice`, the slices of each tile in rising z, and every pair of
    neighbouring tiles by `add_seam`, in any order; then call `finish`. Of each tile under way it
    holds ``max_gap + 1`` planes, so going through one tile after the other needs least memory.

    With a workspace all that grows with the nodes lies in files that are mapped into memory, so the
    system may drop their pages: per node 8 bytes for the sets, 4 for pixels, 8 for bridges, 4 for
    ids, and 85 more while finishing. In memory remain 8 bytes per block, and parts of the files of
    about a million entries at a time.

    Parameters
    ----------
    counts : sequence of int
        The highest id of each block, in the order of their numbers.
    n_tiles : int
        Blocks per slice.
    config : LinkConfig, optional
        Settings; the defaults if left out.
    workspace : pathlib.Path, optional
        A folder for the files; `LinkedIds.open` reads the result again from there, and it is the
        caller's to remove. Left out, all is in memory.
    """

    def __init__(
        self,
        counts: ArrayLike | Sequence[int],
        *,
        n_tiles: int = 1,
        config: LinkConfig | None = None,
        workspace: Path | None = None,
    ) -> None:
        self.config = config or LinkConfig()
        self.offsets = block_offsets(counts)
        self._depth, rest = divmod(self.offsets.size - 1, n_tiles)
        if rest:
            raise ValueError(
                f"counts must hold {n_tiles} blocks for every slice, got {self.offsets.size - 1}; "
                "give 0 for a block without objects"
            )
        self._n_tiles = n_tiles
        self._files = NodeFiles(workspace)
        discard_summary(workspace)
        size = int(self.offsets[-1])
        if size > np.iinfo(np.uint32).max:
            raise ValueError(
                f"A volume may have at most {np.iinfo(np.uint32).max} objects in all blocks, "
                f"got {size}; link parts of it on their own"
            )
        self._sets = DisjointSets(size, self._files.path("parents", 8 * size))
        self._pixels = self._files.array("pixels", size, np.uint32)
        self._bridges = self._files.array("bridges", size, np.int64, kept=True)
        self._contained = self._files.log("contained", CONTAINED)
        self._seams = self._files.log("seams", SEAM)
        self._doubts = DoubtHeap(_DOUBTS)
        self._windows: dict[int, deque[Plane]] = {}
        self._next_z = np.zeros(n_tiles, np.int64)
        self._counted = dict.fromkeys(("in_z", "gaps", "seams", "fragments"), 0)

    def add_slice(
        self, tile: int, z: int, labels: Labels, core: Core, origin: tuple[int, int] = (0, 0)
    ) -> None:
        """Take in a block, and match it with those below it.

        Parameters
        ----------
        tile, z : int
            The tile, and the slice: the one after its last.
        labels : ndarray
            (h, w) uint32 of the read region, with the block's own ids.
        core : (slice, slice)
            The block's part of the output, within `labels`.
        origin : (int, int)
            (row, col) of the first pixel of `labels` in the full plane.
        """
        if z != self._next_z[tile]:
            raise ValueError(
                f"Slices of a tile come in rising z: expected {self._next_z[tile]} of tile {tile}, "
                f"got {z}"
            )
        self._next_z[tile] += 1
        block = z * self._n_tiles + tile
        count = self._checked_count(block, labels)
        plane = Plane(block=block, labels=labels, count=count, origin=origin)
        pixels = np.bincount(labels[core].ravel(), minlength=count + 1)
        self._pixels[self.offsets[block] : self.offsets[block + 1]] = pixels[1:]
        window = self._windows.setdefault(tile, deque(maxlen=self.config.max_gap + 1))
        if window:
            self._link(window[-2] if len(window) > 1 else None, window[-1], plane)
        for gap, lower in enumerate(list(window)[-2::-1], start=1):
            self._bridge(lower, plane, window[-1] if gap == 1 else None)
        window.append(plane)
        if z == self._depth - 1:
            del self._windows[tile]

    def add_seam(
        self,
        blocks: tuple[int, int],
        labels: tuple[Labels, Labels],
        *,
        axis: int,
        border: int,
        origin: tuple[int, int] = (0, 0),
    ) -> None:
        """Match two neighbouring tiles of a slice by what both see.

        Parameters
        ----------
        blocks : (int, int)
            Numbers of the blocks: above and below, or left and right.
        labels : tuple of ndarray
            What each has in the overlap of their read regions, (h, w) uint32.
        axis : int
            0 if the second tile lies below the first, 1 if it lies to the right.
        border : int
            The first row (axis 0) or column (axis 1) of the overlap in the second tile's core.
        origin : (int, int)
            (row, col) of the first pixel of the overlap in the full plane.
        """
        if labels[0].shape != labels[1].shape:
            raise ValueError(
                "Two tiles meet in labels of the same pixels, got shapes "
                f"{labels[0].shape} and {labels[1].shape}; cut both to the overlap"
            )
        turned = [part.T if axis == 1 else part for part in labels]
        found = match_at_seam(turned[0], turned[1], border, iou_thresh=self.config.iou_thresh)
        first, second = (self.offsets[block] - 1 for block in blocks)
        pairs = np.stack([found.first + first, found.second + second], axis=1)
        records = np.zeros(len(pairs), SEAM)
        records["first"], records["second"] = pairs.T
        records["crossing"] = found.crossing
        self._seams.append(records)
        self._doubt_seam(found, blocks, labels, origin)

    def finish(self) -> LinkedIds:
        """Join fragments, and number the objects from 1 in the order of their appearance."""
        if (self._next_z != self._depth).any():
            tile = int(np.argmax(self._next_z != self._depth))
            raise ValueError(
                f"Tile {tile} has {self._next_z[tile]} of {self._depth} slices; add them all"
            )
        held = elected(self._files, int(self.offsets[-1]), self._sets, self._seams)
        self._counted["seams"] = held.size
        for records in held.chunks():
            self._sets.union_pairs(np.stack([records["first"], records["second"]], axis=1))
        nodes = Nodes(offsets=self.offsets, n_tiles=self._n_tiles, pixels=self._pixels)
        for _ in range(ROUNDS):
            for records in self._fragments(nodes).chunks():
                self._join(nodes, records)
        return number_objects(
            self._files,
            nodes,
            self._sets,
            bridges=self._bridges,
            config=self.config,
            doubts=self._doubts.ranked(),
            counts=LinkCounts(**self._counted),
        )

    def _count(self, block: int) -> int:
        return int(self.offsets[block + 1] - self.offsets[block])

    def _checked_count(self, block: int, labels: Labels) -> int:
        """Return how many objects a block may have; raise if its labels hold more."""
        count, highest = self._count(block), int(labels.max(initial=0))
        if highest > count:
            raise ValueError(
                f"Block {block} was said to have ids up to {count}, got {highest}; "
                "counts must hold the highest id of every block"
            )
        return count

    def _link(self, lower: Plane | None, middle: Plane, upper: Plane) -> None:
        """Match a plane with the one below it; `lower` is the next one below."""
        thresh = self.config.iou_thresh
        overlaps = find_overlaps(middle.labels, upper.labels)
        ious = overlaps.ious
        best = np.flatnonzero(mutual_best(overlaps.first, overlaps.second, ious))
        chosen = best[ious[best] >= thresh]
        if lower is not None:
            chosen = straightened(overlaps, chosen, (lower, middle, upper), config=self.config)
        ones, others = overlaps.first[chosen], overlaps.second[chosen]
        upper.below[others] = ones
        middle.above[ones] = others
        upper.open_below[others] = False
        middle.open_above[ones] = False
        self._sets.union_pairs(self._nodes(middle, ones, upper, others))
        self._counted["in_z"] += len(chosen)
        self._keep_contained(overlaps, middle, upper)
        judged = np.union1d(chosen, best)
        seconds = runner_up(overlaps.first, overlaps.second, ious)[judged]
        kinds, doubts = link_doubts(ious[judged], seconds, thresh)
        ones, others = overlaps.first[judged], overlaps.second[judged]
        self._doubt(kinds, doubts, middle, upper, ones, others, ious[judged])

    def _bridge(self, lower: Plane, upper: Plane, middle: Plane | None) -> None:
        """Match what ends in one plane with what begins in another, over planes between."""
        ones, others, ious = bridged(lower, upper, middle, iou_thresh=self.config.iou_thresh)
        missing = lower.open_above[ones] & upper.open_below[others]
        lower.open_above[ones] = False
        upper.open_below[others] = False
        pairs = self._nodes(lower, ones, upper, others)
        self._sets.union_pairs(pairs)
        self._bridges[pairs[missing, 0]] = pairs[missing, 1]
        self._counted["gaps"] += len(pairs)
        _, doubts = link_doubts(ious, np.zeros(len(ious)), self.config.iou_thresh)
        self._doubt(_same("gap", doubts), doubts, lower, upper, ones, others, ious)

    def _keep_contained(self, overlaps: Overlaps, lower: Plane, upper: Plane) -> None:
        """Note the objects without a partner that lie inside an object of the other plane."""
        sides = (
            (lower, upper, overlaps.first, overlaps.second, overlaps.first_areas, True),
            (upper, lower, overlaps.second, overlaps.first, overlaps.second_areas, False),
        )
        for plane, other, pieces, hosts, areas, above in sides:
            inside = overlaps.shared / areas[pieces]
            is_open = plane.open_above if above else plane.open_below
            held = is_open[pieces] & (inside >= self.config.containment_thresh)
            if not held.any():
                continue
            records = np.zeros(int(held.sum()), CONTAINED)
            records["piece"] = pieces[held] + self.offsets[plane.block] - 1
            records["host"] = hosts[held] + self.offsets[other.block] - 1
            records["inside"], records["above"] = inside[held], above
            records["centre"] = plane.centres[pieces[held]]
            self._contained.append(records)

    def _doubt_seam(
        self,
        found: SeamMatches,
        blocks: tuple[int, int],
        labels: tuple[Labels, Labels],
        origin: tuple[int, int],
    ) -> None:
        """Keep what is doubtful at a seam: what was matched over it, and what ends there."""
        thresh, z = self.config.iou_thresh, blocks[0] // self._n_tiles
        over, ious = found.crossing, found.ious[found.crossing]
        _, linked = link_doubts(ious, found.seconds[over], thresh)
        ends = found.first_cut, found.second_cut
        cut = [np.flatnonzero(pixels) for pixels in ends]
        nobody = [np.full(ids.size, -1) for ids in cut]
        bases = [int(self.offsets[block]) - 1 for block in blocks]
        decisions = (
            ("seam", 0, found.first[over], found.second[over] + bases[1], linked, ious),
            *(
                ("cut", side, cut[side], nobody[side], 1 - 1 / (1 + ends[side][cut[side]]), None)
                for side in (0, 1)
            ),
        )
        for kind, side, ids, others, doubts, measured in decisions:
            if not ids.size:
                continue
            nodes = np.stack([ids + bases[side], others], axis=1)
            centres = object_centres(labels[side], self._count(blocks[side]), origin)[ids]
            known = np.zeros(ids.size) if measured is None else measured
            self._doubts.add(_same(kind, doubts), doubts, z, nodes, known, centres.__getitem__)

    def _fragments(self, nodes: Nodes) -> RecordLog:
        """Return the pieces that join their hosts by what is linked so far."""
        fragments = Fragments(
            files=self._files,
            nodes=nodes,
            sets=self._sets,
            tracks=measure_tracks(self._files, nodes, self._sets),
            contained=self._contained,
            containment_thresh=self.config.containment_thresh,
        )
        joined = self._files.log("joined", CONTAINED)
        for records in fragments.joining():
            joined.append(records)
        return joined

    def _join(self, nodes: Nodes, records: NDArray[np.void]) -> None:
        """Join pieces with their hosts."""
        pairs = np.stack([records["piece"], records["host"]], axis=1).astype(np.int64)
        self._sets.union_pairs(pairs)
        self._counted["fragments"] += len(pairs)
        inside, slices = records["inside"].astype(np.float64), nodes.slices_of(pairs[:, 0])
        doubts = np.minimum(self.config.containment_thresh / inside, 1.0)
        for z in np.unique(slices):
            there = slices == z
            centres = records["centre"][there].astype(np.float64)
            kinds = _same("contained", doubts[there])
            self._doubts.add(
                kinds, doubts[there], int(z), pairs[there], inside[there], centres.__getitem__
            )

    def _nodes(self, lower: Plane, ones: Ints, upper: Plane, others: Ints) -> Ints:
        """Return pairs of nodes (K, 2) for ids of two planes."""
        first, second = self.offsets[lower.block] - 1, self.offsets[upper.block] - 1
        return np.stack([ones + first, others + second], axis=1)

    def _doubt(
        self,
        kinds: NDArray[np.str_],
        doubts: NDArray[np.float64],
        lower: Plane,
        upper: Plane,
        ones: Ints,
        others: Ints,
        ious: NDArray[np.float64],
    ) -> None:
        """Keep what is doubtful of decisions about pairs of two planes."""
        nodes = self._nodes(lower, ones, upper, others)
        z = lower.block // self._n_tiles
        self._doubts.add(kinds, doubts, z, nodes, ious, lambda index: lower.centres[ones[index]])


def _same(kind: str, like: NDArray[np.float64]) -> NDArray[np.str_]:
    """Return one kind for all of some decisions, (K,)."""
    return np.full(like.shape, kind)
