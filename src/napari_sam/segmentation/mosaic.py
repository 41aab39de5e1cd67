"""Labels of overlapping tiles put together: objects over a seam become one by overlap alone.

What a tile finds are pieces. Two pieces of neighbouring tiles are one object where each is the
other's best match in the overlap and their intersection over union, by the pixels of the overlap
alone, is high; touching never counts. Of such a pair the piece that lies deeper in its own tile
stays, as it was seen whole and with its surroundings; where both are cut by their tiles' edges, as
an object larger than the overlap is, they are joined. A piece without a match takes pixels from
those that lie less deep; one that loses most of its own to them was a wrong view of what the
neighbour saw better, and goes.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from napari_sam.segmentation.instances import label_areas, label_boxes
from napari_sam.segmentation.matching import DisjointSets, match_labels
from napari_sam.segmentation.tiles import Tile

SAME = 0.5
"""Intersection over union, in the overlap, from which two pieces are one object."""
_KEPT = 0.75
"""A piece without a match that keeps a smaller share of its pixels goes."""
_ROWS = 1024
"""Renumbered at once."""

Labels = NDArray[np.uint32]


class Mosaic:
    """The labels of an image, growing tile by tile.

    Parameters
    ----------
    shape : (int, int)
        Of the image.
    margin : int
        A piece that comes so close to an edge of its tile inside the image is cut by it, pixels.
    """

    def __init__(self, shape: tuple[int, int], *, margin: int) -> None:
        self._shape = shape
        self._margin = margin
        self._canvas = np.zeros(shape, np.uint32)
        self._tiles: list[Tile] = []
        self._joined: list[tuple[int, int]] = []
        # of every piece; number 0 is background
        self._depths = np.zeros(1)
        self._areas = np.zeros(1, np.int64)
        self._stays = np.zeros(1, bool)
        self._matched = np.zeros(1, bool)

    def add(self, tile: Tile, labels: Labels) -> None:
        """Take in a tile.

        Parameters
        ----------
        tile : Tile
            The next one of `plan_tiles`: they come row by row.
        labels : ndarray
            Of the tile, (h, w), ids 1 ... n without gaps, 0 is background.
        """
        first = len(self._areas)
        self._append(tile, labels)
        pieces = np.where(labels > 0, labels + np.uint32(first - 1), 0).astype(np.uint32)
        rows, cols = self._seen(tile)
        view = self._canvas[tile.region]
        self._settle(
            self._matches(view[:rows], pieces[:rows])
            + self._matches(view[:, :cols], pieces[:, :cols])
        )
        nearer = np.zeros(pieces.shape, bool)  # to the middle of this tile than of those before
        nearer[rows // 2 :, cols // 2 :] = True
        won = self._wins(view, pieces, nearer)
        kept = np.bincount(pieces[won], minlength=len(self._areas))[first:]
        self._stays[first:] &= self._matched[first:] | (kept >= _KEPT * self._areas[first:])
        won &= self._stays[pieces]
        view[won] = pieces[won]
        self._tiles.append(tile)

    def labels(self) -> Labels:
        """Return the labels, (H, W) uint32, ids 1 ... n, in the mosaic's own memory: it ends."""
        sets = DisjointSets(len(self._areas))
        for old, new in self._joined:
            sets.union(old, new)
        kept = label_areas(self._canvas, len(self._areas))
        self._stays &= (kept > 0) & (self._matched | (kept >= _KEPT * self._areas))
        numbers = np.zeros(len(self._areas), np.uint32)
        _, order = np.unique(sets.roots()[self._stays], return_inverse=True)
        numbers[self._stays] = order + 1
        for start in range(0, self._shape[0], _ROWS):
            block = self._canvas[start : start + _ROWS]
            block[:] = numbers[block]
        return self._canvas

    def _append(self, tile: Tile, labels: Labels) -> None:
        """Make room for the pieces of a tile."""
        boxes = label_boxes(labels)
        placed = boxes + (tile.top, tile.left) * 2
        depths = tile.depths(placed, self._shape)
        areas = np.bincount(labels.ravel(), minlength=len(boxes) + 1)[1:]
        self._depths = np.append(self._depths, np.where(depths <= self._margin, 0, depths))
        self._areas = np.append(self._areas, areas)
        self._stays = np.append(self._stays, np.ones(len(boxes), bool))
        self._matched = np.append(self._matched, np.zeros(len(boxes), bool))

    def _seen(self, tile: Tile) -> tuple[int, int]:
        """Return how many of a tile's first rows and columns lie in tiles before it."""
        above = [done.bottom for done in self._tiles if done.top < tile.top]
        beside = [done.right for done in self._tiles if done.top == tile.top]
        return max([tile.top, *above]) - tile.top, max([tile.left, *beside]) - tile.left

    def _matches(self, view: Labels, pieces: Labels) -> list[tuple[int, int]]:
        """Match the pieces on the canvas with those of the tile, in a strip that both saw."""
        staying = np.where(self._stays[view], view, 0)
        pairs = match_labels(staying, pieces, iou_thresh=SAME)
        return [(old, new) for old, new in pairs.tolist()]

    def _settle(self, pairs: list[tuple[int, int]]) -> None:
        """Decide which piece of each pair stays, or join them."""
        depths = self._depths
        for old, new in pairs:
            self._matched[[old, new]] = True
            if 0 < depths[old] >= depths[new]:
                self._stays[new] = False
        for old, new in pairs:
            if self._stays[new] and depths[new] > 0:
                self._stays[old] = False
            elif self._stays[new]:
                self._joined.append((old, new))

    def _wins(self, view: Labels, pieces: Labels, nearer: NDArray[np.bool_]) -> NDArray[np.bool_]:
        """Mark the pixels that the tile's pieces get: free ones, and those of less deep pieces."""
        free = ~self._stays[view]
        old, new = self._depths[view], self._depths[pieces]
        won: NDArray[np.bool_] = free | (new > old) | ((new == old) & nearer)
        return won & self._stays[pieces]
