"""All objects that there may be in an instance decoder's maps, as a tree of what joins what.

Cut along all saddles, the foreground falls into pieces; the two sides of the highest saddle join
first, and so on (single linkage, as in the component trees of Arteta et al. 2012). Every node, a
piece or what two nodes join to, may be one object, and where exactly it ends is one of a few
thresholds. What of all this is an object is for `instance_choice` to say.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray
from scipy import ndimage

from napari_sam.segmentation.instances import (
    Pieces,
    cut_into_pieces,
    label_areas,
    label_boxes,
    root,
)
from napari_sam.segmentation.patches import MaskPatch

THRESHOLDS = (0.4, 0.55, 0.7, 0.85)
"""Of the foreground, rising."""
_RIPPLE = 0.01
"""Peaks that rise less over a saddle to a higher one are no objects of their own."""
_USUAL_PROMINENCE = 0.1
_USUAL_FOREGROUND = 0.7
"""What objects are separated by to learn their usual area."""
_MOST_AREAS = 24
"""Joined pieces that are larger, in usual areas, are not one object."""
_LEAST_AREA = 4
"""Pixels."""


class Node(NamedTuple):
    """A piece, or all that two nodes join to.

    Attributes
    ----------
    pieces : tuple of int
        What it consists of; none where it is too large for one object.
    peak : float
        Its highest peak.
    parting : float
        How far the lower peak of its children rises over the saddle between them; 0 for a piece.
    children : tuple of int
        The nodes that join, or none.
    """

    pieces: tuple[int, ...]
    peak: float
    parting: float = 0.0
    children: tuple[int, ...] = ()


class Tree(NamedTuple):
    """What joins what.

    Attributes
    ----------
    pieces : Pieces
        Of the foreground.
    nodes : list of Node
        The pieces in their order, then what joins, children before parents.
    saddles : list of float
        The height at which each node joins another, 0 where it never does.
    usual_area : float
        Median area of objects, as they are usually separated, pixels.
    """

    pieces: Pieces
    nodes: list[Node]
    saddles: list[float]
    usual_area: float

    @property
    def roots(self) -> list[int]:
        """The nodes that join no other."""
        joining = {child for node in self.nodes for child in node.children}
        return [index for index in range(len(self.nodes)) if index not in joining]


class Hypothesis(NamedTuple):
    """A mask that may be an object.

    Attributes
    ----------
    node : int
        Where in the tree.
    threshold : float
        What its foreground is above.
    patch : MaskPatch
        In one piece, without holes.
    connected, filled : float
        Shares of the foreground above the threshold that is in this one piece, and of the mask
        that were holes.
    """

    node: int
    threshold: float
    patch: MaskPatch
    connected: float
    filled: float


def grow_tree(maps: NDArray[np.float32], *, diameter: float, smoothing: float) -> Tree:
    """Find out what joins what.

    Parameters
    ----------
    maps : ndarray
        (3, H, W) foreground, closeness to the centre, depth, each 0 ... 1.
    diameter : float
        Of typical objects, pixels.
    smoothing : float
        As in `instances_from_maps`.
    """
    pieces = cut_into_pieces(maps, foreground_thresh=THRESHOLDS[0], smoothing=smoothing)
    pieces = pieces.joined(_RIPPLE)
    usual = _usual_area(maps[0], pieces)
    areas = label_areas(pieces.labels, len(pieces.peaks))
    most = _MOST_AREAS * max(usual, np.pi / 4 * diameter**2)
    return Tree(pieces, *_nodes(pieces, areas.tolist(), most), usual)


def _usual_area(foreground: NDArray[np.float32], pieces: Pieces) -> float:
    owners = pieces.owners(_USUAL_PROMINENCE)
    sure = np.where(foreground > _USUAL_FOREGROUND, owners[pieces.labels], 0)
    areas = label_areas(sure)[1:]
    kept = areas[areas >= _LEAST_AREA]
    return float(np.median(kept)) if len(kept) else 1.0


def _nodes(pieces: Pieces, areas: list[int], most: float) -> tuple[list[Node], list[float]]:
    nodes = [Node((piece,), peak) for piece, peak in enumerate(pieces.peaks)][1:]
    saddles, sizes = [0.0] * len(nodes), areas[1 : len(nodes) + 1]
    above = list(range(len(nodes)))
    for first, second, saddle in pieces.saddles:
        pair = root(above, first - 1), root(above, second - 1)
        if pair[0] == pair[1]:
            continue
        one, other = (nodes[index] for index in pair)
        size = sum(sizes[index] for index in pair)
        for index in pair:
            saddles[index], above[index] = saddle, len(nodes)
        low, high = sorted((one.peak, other.peak))
        nodes.append(
            Node(one.pieces + other.pieces if size <= most else (), high, low - saddle, pair)
        )
        saddles.append(0.0)
        sizes.append(size)
        above.append(len(above))
    return nodes, saddles


def hypotheses(tree: Tree, foreground: NDArray[np.float32]) -> Iterator[Hypothesis]:
    """Yield each node cut at each threshold of the foreground (H, W), equal masks only once."""
    boxes = label_boxes(tree.pieces.labels)
    belongs = np.zeros(len(boxes) + 1, bool)
    for index, node in enumerate(tree.nodes):
        if not node.pieces:
            continue
        region = _around(boxes[np.subtract(node.pieces, 1)])
        own = list(node.pieces)
        belongs[own] = True
        whole = belongs[tree.pieces.labels[region]]
        belongs[own] = False
        corner = region[0].start, region[1].start
        last = -1
        for threshold in THRESHOLDS:
            above = whole & (foreground[region] > threshold)
            found = int(above.sum())
            if found < _LEAST_AREA:
                break
            piece, holes = _largest_piece(above)
            patch = MaskPatch.cut(piece, corner)
            if patch.area >= _LEAST_AREA and patch.area != last:
                last = patch.area
                share = (last - holes) / found
                yield Hypothesis(index, threshold, patch, share, holes / last)


def _around(boxes: NDArray[np.int64]) -> tuple[slice, slice]:
    (top, left), (bottom, right) = boxes[:, :2].min(0).tolist(), boxes[:, 2:].max(0).tolist()
    return slice(top, bottom), slice(left, right)


def _largest_piece(mask: NDArray[np.bool_]) -> tuple[NDArray[np.bool_], int]:
    """Return the largest connected piece of a mask (h, w) with holes filled, and their pixels."""
    labels, count = ndimage.label(mask)
    if count > 1:
        sizes = np.bincount(labels.ravel())
        sizes[0] = 0
        mask = labels == sizes.argmax()
    outside, count = ndimage.label(~np.pad(mask, 1))
    if count == 1:
        return mask, 0
    holes = (outside > 1)[1:-1, 1:-1]
    return mask | holes, int(holes.sum())
