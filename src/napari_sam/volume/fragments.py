"""Which pieces join the object that they lie in, and which stay objects of their own.

Where one slice sees an object whole and the next one sees two pieces, the better match goes on and
the other piece begins a track of its own: a piece of the object, or a second cell over a blob. Only
its track tells which, so this is decided when all tracks are known:

- Both ends: a track whose lowest slice lies inside an object below it and whose highest slice lies
  inside the same object above it was cut out of that object; it joins, if it is not longer than
  `LONGEST` slices. A longer one was seen apart too often to be a mistake.
- One end: a track that lies inside an object at one end joins if it is a crumb of that object: not
  longer than `SHORTEST` slices, and not more than `CRUMB` of the object's voxels.

Everything else stays apart, so a cell that goes on beyond a blob, or ends outside it, is never
taken. A track joins one object at most, that which holds more of it (the smaller number, if both
hold the same), and never brings two objects together.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from napari_sam.segmentation.matching import DisjointSets
from napari_sam.volume.node_files import NodeFiles, RecordLog, spans

Ints = NDArray[np.int64]

LONGEST = 4
"""Slices of a track that joins the object it lies in at both ends."""
SHORTEST = 2
"""Slices of a crumb."""
CRUMB = 0.1
"""Voxels of a crumb, as a share of those of the object."""
ROUNDS = 3
"""How often this is asked: the tip of an object may be a crumb of a crumb."""

CONTAINED = np.dtype(
    [("piece", "<i8"), ("host", "<i8"), ("inside", "<f4"), ("above", "?"), ("centre", "<f4", (2,))]
)
"""A piece without a partner on one side: the object of the next slice on that side that holds most
of it, the share that lies in it, whether that slice is the one above, and the centre (row, col)."""
_NONE = np.iinfo(np.int64).max
_ROUNDING = 1e-6


@dataclass(frozen=True, kw_only=True, eq=False)
class Nodes:
    """What is known of every node.

    Attributes
    ----------
    offsets : numpy.ndarray
        (B + 1,) where the nodes of each block begin.
    n_tiles : int
        Blocks per slice.
    pixels : numpy.ndarray
        (N,) pixels in the core of the block; nodes without any are not in the output.
    """

    offsets: Ints
    n_tiles: int
    pixels: NDArray[np.uint32]

    @property
    def count(self) -> int:
        """N."""
        return int(self.offsets[-1])

    def slices_of(self, nodes: Ints) -> Ints:
        """Return the slice of each node, (K,)."""
        blocks = np.searchsorted(self.offsets, nodes, side="right") - 1
        slices: Ints = blocks // self.n_tiles
        return slices


@dataclass(frozen=True, kw_only=True, eq=False)
class Tracks:
    """What is known of every set of nodes; entry r of an array (N,) is of the set named r.

    Attributes
    ----------
    voxels : numpy.ndarray
        Pixels of all nodes in their cores.
    bottom, top : numpy.ndarray
        The lowest and the highest slice with such pixels.
    """

    voxels: Ints
    bottom: NDArray[np.int32]
    top: NDArray[np.int32]


def measure_tracks(files: NodeFiles, nodes: Nodes, sets: DisjointSets) -> Tracks:
    """Measure every set of nodes."""
    tracks = Tracks(
        voxels=files.array("voxels", nodes.count, np.int64),
        bottom=files.array("bottom", nodes.count, np.int32, fill=np.iinfo(np.int32).max),
        top=files.array("top", nodes.count, np.int32, fill=-1),
    )
    for span in spans(nodes.count):
        roots, pixels = sets.roots(span.start, span.stop), nodes.pixels[span]
        slices = nodes.slices_of(np.arange(span.start, span.stop)).astype(np.int32)
        shown = pixels > 0
        np.add.at(tracks.voxels, roots[shown], pixels[shown])
        np.minimum.at(tracks.bottom, roots[shown], slices[shown])
        np.maximum.at(tracks.top, roots[shown], slices[shown])
    return tracks


@dataclass(frozen=True, kw_only=True, eq=False)
class _End:
    """The lowest or the highest slices of all tracks; entry r of an array (N,) is of track r."""

    pixels: Ints  # of the track in its end slice
    host: Ints  # the track of the next slice that holds it, or _NONE
    held: NDArray[np.float64]  # pixels of the end slice inside the host


@dataclass(frozen=True, kw_only=True, eq=False)
class Fragments:
    """Finds the tracks that join the object they lie in.

    Attributes
    ----------
    files : NodeFiles
        Where what grows with the nodes is kept.
    nodes, sets, tracks : Nodes, DisjointSets, Tracks
        The graph.
    contained : RecordLog
        Records `CONTAINED`, at most one for a node and side.
    containment_thresh : float
        As in `LinkConfig`.
    """

    files: NodeFiles
    nodes: Nodes
    sets: DisjointSets
    tracks: Tracks
    contained: RecordLog
    containment_thresh: float

    def joining(self) -> Iterator[NDArray[Any]]:
        """Yield the records of pieces whose track joins its host; merge sets only afterwards."""
        host = self.files.array("joined", self.nodes.count, np.int64)
        upwards = self.files.array("upwards", self.nodes.count, bool)
        below, above = self._end(above=False), self._end(above=True)
        for span in spans(self.nodes.count):
            host[span], upwards[span] = self._decide(span, below, above)
        for records in self.contained.chunks():
            roots = self.sets.find_all(records["piece"].astype(np.int64))
            hosts = self.sets.find_all(records["host"].astype(np.int64))
            yield records[(host[roots] == hosts) & (upwards[roots] == records["above"])]

    def _end(self, *, above: bool) -> _End:
        """Measure one end of all tracks."""
        name, count = "above" if above else "below", self.nodes.count
        end = _End(
            pixels=self.files.array(f"{name}_pixels", count, np.int64),
            host=self.files.array(f"{name}_host", count, np.int64, fill=_NONE),
            held=self.files.array(f"{name}_held", count, np.float64),
        )
        for span in spans(count):
            numbers = np.arange(span.start, span.stop)
            roots, there = (
                self.sets.roots(span.start, span.stop),
                self._at_end(numbers, above=above),
            )
            np.add.at(end.pixels, roots[there], self.nodes.pixels[span][there])
        for _, roots, hosts in self._held(above=above):
            np.minimum.at(end.host, roots, hosts)
        for records, roots, hosts in self._held(above=above):
            pixels = self.nodes.pixels[records["piece"]] * records["inside"].astype(np.float64)
            pixels[end.host[roots] != hosts] = 0
            np.add.at(end.held, roots, pixels)
        return end

    def _held(self, *, above: bool) -> Iterator[tuple[NDArray[Any], Ints, Ints]]:
        """Yield records of pieces at one end of their tracks, those tracks, and their hosts'."""
        for records in self.contained.chunks():
            kept = records[
                (records["above"] == above) & self._at_end(records["piece"], above=above)
            ]
            roots = self.sets.find_all(kept["piece"].astype(np.int64))
            hosts = self.sets.find_all(kept["host"].astype(np.int64))
            apart = roots != hosts
            yield kept[apart], roots[apart], hosts[apart]

    def _at_end(self, nodes: Ints, *, above: bool) -> NDArray[np.bool_]:
        """Tell which nodes (K,) are in the output and in the end slice of their track, (K,)."""
        ends = self.tracks.top if above else self.tracks.bottom
        there: NDArray[np.bool_] = ends[self.sets.find_all(nodes)] == self.nodes.slices_of(nodes)
        return there & (self.nodes.pixels[nodes] > 0)

    def _decide(self, span: slice, below: _End, above: _End) -> tuple[Ints, NDArray[np.bool_]]:
        """Return the hosts of some tracks, -1 for those that stay, and at which end they join."""
        tracks, voxels = self.tracks, self.tracks.voxels
        length = tracks.top[span].astype(np.int64) - tracks.bottom[span] + 1
        (low, low_held), (high, high_held) = self._hosts(span, below), self._hosts(span, above)
        both = (low >= 0) & (low == high) & (length <= LONGEST)
        upwards = (high_held > low_held) | ((high_held == low_held) & (high < low))
        host: Ints = np.where(upwards, high, low)
        crumb = (host >= 0) & (length <= SHORTEST) & (voxels[span] <= CRUMB * voxels[host])
        return np.where(both | crumb, host, -1), upwards

    def _hosts(self, span: slice, end: _End) -> tuple[Ints, NDArray[np.float64]]:
        """Return what holds one end of some tracks, -1 for nothing, and how many pixels of it."""
        least = self.containment_thresh * end.pixels[span] * (1 - _ROUNDING)
        inside = (end.host[span] != _NONE) & (end.held[span] >= least)
        return np.where(inside, end.host[span], -1), np.where(inside, end.held[span], 0.0)
