"""Masks as prompts: logits, inner points and boxes that describe a mask to a network."""

from __future__ import annotations

import math

import numpy as np
from numpy.typing import NDArray
from scipy import ndimage

from napari_sam.segmentation.embedding import ImageEmbedding
from napari_sam.segmentation.patches import MaskPatch
from napari_sam.segmentation.prompts import Prompts

CERTAIN = 8.0
"""Largest logit of a mask, and how far the network's own are believed."""
_SLOPE = 2.0
"""Logits for each low-resolution pixel of distance from the mask's edge."""
_POINTS = 3
_DEEP = 0.5
"""Further points lie at least so deep, of the depth of the innermost one."""


def logits_from_mask(mask: NDArray[np.bool_], embedding: ImageEmbedding) -> NDArray[np.float32]:
    """Make logits of a mask, for `Prompts.mask_input`.

    Networks are used to a box or points beside a mask; `prompts_from_mask` makes all three.

    Parameters
    ----------
    mask : ndarray
        (H, W) bool, in the image's pixels.
    embedding : ImageEmbedding
        Of the image that is to be prompted.

    Returns
    -------
    ndarray
        (h, w) float32 of the embedding's `low_res_shape`: rising with the distance from the mask's
        edge to 8 inside, falling to -8 outside.

    Raises
    ------
    ValueError
        If the mask is empty, or not of the image's shape.
    """
    return patch_logits(_checked(mask, embedding), embedding)


def prompts_from_mask(mask: NDArray[np.bool_], embedding: ImageEmbedding) -> Prompts:
    """Describe a mask by its logits, its box and up to three points.

    Parameters
    ----------
    mask, embedding
        As in `logits_from_mask`.

    Returns
    -------
    Prompts

    Raises
    ------
    ValueError
        As in `logits_from_mask`.
    """
    patch = _checked(mask, embedding)
    return patch_prompts(patch, patch_logits(patch, embedding))


def patch_prompts(patch: MaskPatch, logits: NDArray[np.float32]) -> Prompts:
    """Describe a patch, whose logits are given, to a network."""
    return Prompts(points=inner_points(patch), box=patch.box, mask_input=logits)


def patch_logits(patch: MaskPatch, embedding: ImageEmbedding) -> NDArray[np.float32]:
    """Make the logits (h, w) of a patch that is not empty; see `logits_from_mask`."""
    per_low = embedding.geometry.pixels_per_logit(embedding.low_res_shape)
    reach = math.ceil(CERTAIN / _SLOPE * max(per_low)) + 1
    start = np.maximum(np.subtract(patch.corner, reach), 0)
    stop = np.minimum(np.add(patch.corner, patch.mask.shape) + reach, embedding.image_shape)
    top, left = start.tolist()
    height, width = (stop - start).tolist()
    depth = _signed_depth(patch.within((top, left), (height, width)))
    spans, positions = [], []
    for axis in (0, 1):
        centres = (np.arange(embedding.low_res_shape[axis]) + 0.5) * per_low[axis] - 0.5
        first, last = np.searchsorted(centres, (start[axis] - 0.5, stop[axis] - 0.5))
        spans.append(slice(int(first), int(last)))
        positions.append(centres[first:last] - start[axis])
    sampled = ndimage.map_coordinates(
        depth, np.meshgrid(*positions, indexing="ij"), order=1, mode="nearest"
    )
    sampled *= _SLOPE * 2 / sum(per_low)
    logits = np.full(embedding.low_res_shape, -CERTAIN, np.float32)
    logits[spans[0], spans[1]] = np.clip(sampled, -CERTAIN, CERTAIN)
    if not (logits > 0).any():  # too thin to meet a low-resolution pixel's centre
        row, col = inner_points(patch)[0]
        logits[int((row + 0.5) / per_low[0]), int((col + 0.5) / per_low[1])] = _SLOPE / 2
    return logits


def point_and_box(patch: MaskPatch) -> Prompts:
    """Return the prompts that ask for a mask again: a point deep inside, and its box."""
    return Prompts(points=inner_points(patch)[:1], box=patch.box)


def inner_points(patch: MaskPatch) -> NDArray[np.float64]:
    """Choose points that lie deep in a patch and far from one another.

    Parameters
    ----------
    patch : MaskPatch
        Not empty.

    Returns
    -------
    ndarray
        (N, 2) pixels (row, col) of the image; N is 1 for round objects and up to 3 for long ones.
    """
    depth = ndimage.distance_transform_edt(np.pad(patch.mask, 1))[1:-1, 1:-1]
    deepest = float(depth.max())
    places = np.argwhere(depth >= _DEEP * deepest)
    chosen = [np.array(np.unravel_index(int(depth.argmax()), depth.shape))]
    distance = np.linalg.norm(places - chosen[0], axis=1)
    while len(chosen) < _POINTS and distance.max() >= 2 * deepest:
        chosen.append(places[int(distance.argmax())])
        distance = np.minimum(distance, np.linalg.norm(places - chosen[-1], axis=1))
    return np.add(chosen, patch.corner).astype(np.float64)


def _signed_depth(mask: NDArray[np.bool_]) -> NDArray[np.float64]:
    """Return each pixel's distance from the mask's edge, positive inside; the image has no edge."""
    if mask.all():
        return np.full(mask.shape, np.inf)
    depth = ndimage.distance_transform_edt(mask) - ndimage.distance_transform_edt(~mask)
    return np.asarray(depth - np.where(mask, 0.5, -0.5))  # the edge lies between pixels


def _checked(mask: NDArray[np.bool_], embedding: ImageEmbedding) -> MaskPatch:
    mask = np.asarray(mask, bool)
    if mask.shape != embedding.image_shape:
        raise ValueError(
            f"A mask must have the image's shape {embedding.image_shape}, got {mask.shape}"
        )
    patch = MaskPatch.cut(mask)
    if not patch.area:
        raise ValueError("The mask is empty; a mask prompt needs at least one pixel")
    return patch
