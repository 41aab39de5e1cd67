"""Boxes, stability, overlaps and small regions of masks (the paper's appendix B)."""

from __future__ import annotations

import numpy as np
import torch
from numpy.typing import NDArray
from scipy import ndimage
from torch import Tensor


def stability_score(logits: Tensor, offset: float) -> Tensor:
    """Return how little a mask depends on its threshold.

    The IoU of the masks at thresholds +offset and -offset.

    Parameters
    ----------
    logits : Tensor
        (..., H, W).
    offset : float
        In logits.

    Returns
    -------
    Tensor
        (...) float32; 0 for an empty mask.
    """
    inner = (logits > offset).sum((-2, -1))
    outer = (logits > -offset).sum((-2, -1))
    return inner / outer.clamp(min=1)


def mask_boxes(masks: Tensor) -> Tensor:
    """Return the boxes of masks.

    Parameters
    ----------
    masks : Tensor
        (N, H, W) bool.

    Returns
    -------
    Tensor
        (N, 4) int64 (row_min, col_min, row_max, col_max), the last two one past the mask; zeros for
        an empty mask.
    """
    rows, cols = masks.any(2), masks.any(1)
    (top, bottom), (left, right) = true_spans(rows), true_spans(cols)
    boxes = torch.stack([top, left, bottom, right], 1)
    return boxes * rows.any(1)[:, None]


def true_spans(flags: Tensor) -> tuple[Tensor, Tensor]:
    """Return the first true place, and one past the last, of each row (K,) of flags (K, N) bool."""
    return flags.int().argmax(1), flags.shape[1] - flags.flip(1).int().argmax(1)


def box_area(box: tuple[int, int, int, int]) -> int:
    """Return the pixels of a box (row_min, col_min, row_max, col_max), the last two one past."""
    return (box[2] - box[0]) * (box[3] - box[1])


def box_iou(box: NDArray[np.floating], boxes: NDArray[np.floating]) -> NDArray[np.float64]:
    """Return the IoU of a box (4,) with boxes (N, 4), all (row_min, col_min, row_max, col_max)."""
    low = np.maximum(box[:2], boxes[:, :2])
    high = np.minimum(box[2:], boxes[:, 2:])
    sides = np.maximum(high - low, 0)
    overlap = sides[:, 0] * sides[:, 1]
    areas = (boxes[:, 2] - boxes[:, 0]) * (boxes[:, 3] - boxes[:, 1])
    union = (box[2] - box[0]) * (box[3] - box[1]) + areas - overlap
    return np.asarray(overlap / np.maximum(union, 1e-9), np.float64)


def box_fits(box: NDArray[np.floating], bounds: NDArray[np.integer]) -> NDArray[np.float64]:
    """Return the IoU of a box that a person drew (4,) with bounds (N, 4) of masks.

    The box's last row and column belong to it; bounds end one past theirs.
    """
    return box_iou(box + np.array([0, 0, 1, 1]), bounds.astype(np.float64))


def non_maximum_suppression(
    boxes: NDArray[np.floating], scores: NDArray[np.floating], iou_thresh: float
) -> NDArray[np.intp]:
    """Keep the best of boxes that overlap.

    Parameters
    ----------
    boxes : ndarray
        (N, 4).
    scores : ndarray
        (N,); of equal scores the earlier box is kept.
    iou_thresh : float
        A box that overlaps a better one by more is dropped.

    Returns
    -------
    ndarray
        Indices of the kept boxes, best first.
    """
    boxes = np.asarray(boxes, np.float64)
    order = np.argsort(-np.asarray(scores, np.float64), kind="stable")
    kept = []
    while len(order):
        best, rest = order[0], order[1:]
        kept.append(best)
        order = rest[box_iou(boxes[best], boxes[rest]) <= iou_thresh]
    return np.array(kept, np.intp)


def clean_mask(
    mask: NDArray[np.bool_], min_area: int, *, framed: bool = False
) -> tuple[NDArray[np.bool_], bool]:
    """Fill small holes and drop small islands of a mask (H, W).

    Parameters
    ----------
    mask : ndarray
        (H, W) bool.
    min_area : int
        Holes and islands of fewer pixels go; the largest island always stays.
    framed : bool
        Whether the mask has a frame of background: what is around the object is then no hole,
        however small.

    Returns
    -------
    mask : ndarray
        (H, W) bool.
    changed : bool
        Whether anything went.
    """
    holes, hole_areas = _regions(~mask)
    small_holes = _small(hole_areas, min_area)
    if framed:
        small_holes = small_holes[small_holes != holes[0, 0]]
    filled = mask | np.isin(holes, small_holes)
    islands, island_areas = _regions(filled)
    small_islands = _small(island_areas, min_area)
    if len(small_islands) and len(small_islands) == len(island_areas) - 1:
        largest = 1 + int(island_areas[1:].argmax())
        small_islands = small_islands[small_islands != largest]
    cleaned = filled & ~np.isin(islands, small_islands)
    return cleaned, bool(len(small_holes) or len(small_islands))


def _regions(mask: NDArray[np.bool_]) -> tuple[NDArray[np.int32], NDArray[np.intp]]:
    """Connected regions (diagonal neighbours touch), and the area of each."""
    regions, _ = ndimage.label(mask, np.ones((3, 3)))
    return regions, np.bincount(regions.ravel())


def _small(areas: NDArray[np.intp], min_area: int) -> NDArray[np.intp]:
    return 1 + np.flatnonzero(areas[1:] < min_area)
