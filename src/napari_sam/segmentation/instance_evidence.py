"""What is known of a mask that may be an object, as numbers to rate it by.

The instance decoder draws, at each pixel, how close the object's centre and how deep below its
boundary it is. A mask has a centre and a boundary of its own; where these agree with what was
drawn, it is the object that the decoder saw, and not two of them or a part.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray
from scipy import ndimage

from napari_sam.model.rater import INSTANCE_EVIDENCE
from napari_sam.segmentation.instance_tree import Hypothesis, Tree

_RIM = 1.5
"""Depth of the pixels at the boundary."""
_SQUARE = 1 / 12
"""Variance of places within a pixel."""


def measure_instances(
    found: Sequence[Hypothesis], tree: Tree, maps: NDArray[np.float32], diameter: float
) -> NDArray[np.float32]:
    """Measure what is known of each mask.

    Parameters
    ----------
    found, tree : sequence of Hypothesis, Tree
        Of the maps.
    maps : ndarray
        (3, H, W), as in `grow_tree`.
    diameter : float
        Of typical objects, pixels.

    Returns
    -------
    ndarray
        (N, F) float32 in the order of `INSTANCE_EVIDENCE`.
    """
    rows = []
    for one in found:
        pixels = np.argwhere(one.patch.mask)
        shape = _shape(one, pixels, tree, maps.shape[1:], diameter)
        rows.append([*_agreement(one, pixels, maps), *_place(one, tree), *shape])
    return np.array(rows, np.float32).reshape(len(rows), len(INSTANCE_EVIDENCE))


class _Own(NamedTuple):
    """Closeness and depth (K,) as they are for a mask's own K pixels, and which are its rim."""

    closeness: NDArray[np.float64]
    depth: NDArray[np.float64]
    rim: NDArray[np.bool_]


def _own_maps(mask: NDArray[np.bool_], pixels: NDArray[np.intp]) -> _Own:
    depth = ndimage.distance_transform_edt(np.pad(mask, 1))[1:-1, 1:-1][mask]
    away = np.hypot(*(pixels - pixels[depth.argmax()]).T)
    return _Own(1 - away / max(away.max(), 1), depth / depth.max(), depth <= _RIM)


def _agreement(one: Hypothesis, pixels: NDArray[np.intp], maps: NDArray[np.float32]) -> list[float]:
    """Compare the maps (3, H, W) with those of the mask, whose `pixels` (K, 2) are given."""
    own = _own_maps(one.patch.mask, pixels)
    foreground, closeness, depth = maps[(slice(None), *one.patch.slices)][:, one.patch.mask]
    nearer, deeper = closeness - own.closeness, depth - own.depth
    return [
        foreground.mean(),
        foreground[own.rim].mean(),
        np.abs(deeper).mean(),
        np.abs(nearer).mean(),
        deeper.mean(),
        nearer.mean(),
        depth.max(),
        closeness.max(),
    ]


def _place(one: Hypothesis, tree: Tree) -> list[float]:
    """Say where in the tree it is."""
    node = tree.nodes[one.node]
    prominence = node.peak - tree.saddles[one.node]
    return [one.threshold, node.peak, prominence, node.parting, one.connected, one.filled]


def _shape(
    one: Hypothesis,
    pixels: NDArray[np.intp],
    tree: Tree,
    shape: tuple[int, ...],
    diameter: float,
) -> list[float]:
    """Measure size and outline of a mask's `pixels` (K, 2); `shape` is that of the image."""
    area = len(pixels)
    spread = np.cov(pixels.T) + np.eye(2) * _SQUARE
    narrow, wide = np.linalg.eigvalsh(spread)
    return [
        np.log2(area / diameter**2),
        np.log2(area / tree.usual_area),
        area / (4 * np.pi * np.sqrt(narrow * wide)),
        np.sqrt(wide / narrow),
        _at_edge(one.patch.mask, one.patch.corner, shape) / np.sqrt(area),
    ]


def _at_edge(mask: NDArray[np.bool_], corner: tuple[int, int], shape: tuple[int, ...]) -> int:
    """Count the pixels of a mask that lie at the edge of the image."""
    inner = tuple(
        slice(max(1 - first, 0), max(length - 1 - first, 0))
        for first, length in zip(corner, shape, strict=True)
    )
    return int(mask.sum() - mask[inner].sum())
