"""Volumes cut into 2 x 2 tiles that are seen each on its own, for tests of linking."""

from typing import NamedTuple

import numpy as np

from napari_sam.volume.link import Linker
from napari_sam.volume.link_config import LinkConfig


class CutTile(NamedTuple):
    """Where a tile lies in the plane, and its core in what it reads."""

    read: tuple[slice, slice]
    core: tuple[slice, slice]
    target: tuple[slice, slice]

    @property
    def origin(self):
        return self.read[0].start, self.read[1].start


def cut(shape, halo):
    """Cut a plane into 2 x 2 tiles whose read regions reach over the cores by a halo."""
    axes = []
    for length in shape:
        half = length // 2
        axes.append(
            [
                (slice(0, half + halo), slice(0, half), slice(0, half)),
                (slice(half - halo, length), slice(halo, None), slice(half, length)),
            ]
        )
    return [
        CutTile(*((row, col) for row, col in zip(rows, cols, strict=True)))
        for rows in axes[0]
        for cols in axes[1]
    ]


def components(mask_ids):
    """Number the objects of a plane as a segmenter would that knows them: ids 1 ... n, shuffled."""
    ids = np.unique(mask_ids[mask_ids > 0])
    table = np.zeros(int(ids.max(initial=0)) + 1, np.uint32)
    table[ids] = np.roll(np.arange(1, len(ids) + 1), 1)
    return table[mask_ids]


def add_seams(linker, tiles, z, blocks):
    """Add the four seams of a slice."""
    for one, other, axis in ((0, 1, 1), (2, 3, 1), (0, 2, 0), (1, 3, 0)):
        first, second = tiles[one].read, tiles[other].read
        spans = [
            slice(max(a.start, b.start), min(a.stop, b.stop))
            for a, b in zip(first, second, strict=True)
        ]
        parts = [
            block[
                tuple(
                    slice(s.start - r.start, s.stop - r.start)
                    for s, r in zip(spans, read, strict=True)
                )
            ]
            for block, read in ((blocks[one], first), (blocks[other], second))
        ]
        linker.add_seam(
            (4 * z + one, 4 * z + other),
            tuple(parts),
            axis=axis,
            border=tiles[other].target[axis].start - spans[axis].start,
            origin=(spans[0].start, spans[1].start),
        )


def link_tiled(volume, *, halo, segment=components, workspace=None, **settings):
    """Segment every block on its own and link; return the labels (Z, Y, X) and the ids."""
    tiles = cut(volume.shape[1:], halo)
    blocks = [[segment(plane[tile.read]) for tile in tiles] for plane in volume]
    counts = [int(block.max()) for slices in blocks for block in slices]
    linker = Linker(counts, n_tiles=4, config=LinkConfig(**settings), workspace=workspace)
    for z, slices in enumerate(blocks):
        for tile, block in enumerate(slices):
            linker.add_slice(tile, z, block, tiles[tile].core, tiles[tile].origin)
        add_seams(linker, tiles, z, slices)
    linked = linker.finish()
    labels = np.zeros(volume.shape, np.uint32)
    for z, slices in enumerate(blocks):
        for tile, block in enumerate(slices):
            labels[z][tiles[tile].target] = linked.relabel(4 * z + tile, block)[tiles[tile].core]
    return labels, linked
