"""What is known of a mask that may be an object, as numbers to rate it by.

The instance decoder draws, at each pixel, how close the object's centre and how deep below its
boundary it is. A mask has a centre and a boundary of its own; where these agree with what was
drawn, it is the object that the decoder saw, and not two of them or a part.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray
from scipy import ndimage

from napari_sam.model.rater import INSTANCE_EVIDENCE
from napari_sam.segmentation.instance_tree import Hypothesis, Tree
from napari_sam.segmentation.patches import MaskPatch

_ENOUGH = 600
"""Pixels of a mask that are enough to compare it with the maps by."""
_LEAST_LEFT = 4
"""Pixels; where fewer remain, all of the mask is looked at."""
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
        seen = _thinned(one.patch)
        shape = _shape(one, seen, tree, maps.shape[1:], diameter)
        rows.append([*_agreement(one, seen, maps), *_place(one, tree), *shape])
    return np.array(rows, np.float32).reshape(len(rows), len(INSTANCE_EVIDENCE))


class _Thinned(NamedTuple):
    """A mask of which only every `step`-th row and column is looked at.

    Attributes
    ----------
    step : int
        Pixels.
    mask : ndarray
        (h, w) bool.
    pixels : ndarray
        (K, 2) rows and columns of what it holds.
    """

    step: int
    mask: NDArray[np.bool_]
    pixels: NDArray[np.intp]


def _thinned(patch: MaskPatch) -> _Thinned:
    for step in (max(1, math.isqrt(patch.area // _ENOUGH)), 1):
        mask = patch.mask[::step, ::step]
        pixels = np.argwhere(mask)
        if len(pixels) >= _LEAST_LEFT:
            break
    return _Thinned(step, mask, pixels)


def _own_maps(seen: _Thinned) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Return closeness and depth (K,) as they are for a mask's own K pixels."""
    depth = ndimage.distance_transform_edt(np.pad(seen.mask, 1))[1:-1, 1:-1][seen.mask]
    away = np.hypot(*(seen.pixels - seen.pixels[depth.argmax()]).T)
    return 1 - away / max(away.max(), 1), depth / depth.max()


def _agreement(one: Hypothesis, seen: _Thinned, maps: NDArray[np.float32]) -> list[float]:
    """Compare the maps (3, H, W) with those of the mask."""
    own_closeness, own_depth = _own_maps(seen)
    within = maps[(slice(None), *one.patch.slices)]
    foreground, closeness, depth = within[:, :: seen.step, :: seen.step][:, seen.mask]
    nearer, deeper = closeness - own_closeness, depth - own_depth
    return [
        foreground.mean(),
        within[0][_rim(one.patch.mask)].mean(),
        np.abs(deeper).mean(),
        np.abs(nearer).mean(),
        deeper.mean(),
        nearer.mean(),
        depth.max(),
        closeness.max(),
    ]


def _rim(mask: NDArray[np.bool_]) -> NDArray[np.bool_]:
    """Return the pixels of a mask (h, w) that touch what is outside, at a corner at least."""
    wide = np.pad(mask, 1)
    tall = wide[:-2] & wide[1:-1] & wide[2:]
    return mask & ~(tall[:, :-2] & tall[:, 1:-1] & tall[:, 2:])


def _place(one: Hypothesis, tree: Tree) -> list[float]:
    """Say where in the tree it is."""
    node = tree.nodes[one.node]
    prominence = node.peak - tree.saddles[one.node]
    return [one.threshold, node.peak, prominence, node.parting, one.connected, one.filled]


def _shape(
    one: Hypothesis, seen: _Thinned, tree: Tree, shape: tuple[int, ...], diameter: float
) -> list[float]:
    """Measure size and outline of a mask; `shape` is that of the image."""
    area = one.patch.area
    narrow, wide = _spread(seen)
    return [
        np.log2(area / diameter**2),
        np.log2(area / tree.usual_area),
        area / (4 * np.pi * np.sqrt(narrow * wide)),
        np.sqrt(wide / narrow),
        _at_edge(one.patch.mask, one.patch.corner, shape) / np.sqrt(area),
    ]


def _spread(seen: _Thinned) -> tuple[float, float]:
    """Return the variance of a mask's places along its short and long axis, pixels squared."""
    away = seen.pixels - seen.pixels.mean(0)
    (down, both), (_, right) = (away.T @ away * (seen.step**2 / len(away))).tolist()
    half, apart = (down + right) / 2 + _SQUARE, math.hypot((down - right) / 2, both)
    return half - apart, half + apart


def _at_edge(mask: NDArray[np.bool_], corner: tuple[int, int], shape: tuple[int, ...]) -> int:
    """Count the pixels of a mask that lie at the edge of the image."""
    inner = tuple(
        slice(max(1 - first, 0), max(length - 1 - first, 0))
        for first, length in zip(corner, shape, strict=True)
    )
    return int(mask.sum() - mask[inner].sum())
