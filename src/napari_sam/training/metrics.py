"""How well masks and label images agree with ground truth."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray
from scipy import ndimage
from scipy.optimize import linear_sum_assignment

IOU_THRESHOLDS = tuple(round(0.5 + 0.05 * step, 2) for step in range(10))
"""0.5, 0.55, ... 0.95."""


def mask_iou(mask: NDArray[np.bool_], truth: NDArray[np.bool_]) -> float:
    """Return the IoU of two masks of one shape; 1 where both are empty."""
    union = int((mask | truth).sum())
    return int((mask & truth).sum()) / union if union else 1.0


def iou_matrix(truth: NDArray[np.integer], predicted: NDArray[np.integer]) -> NDArray[np.float64]:
    """Return the IoU of every true with every predicted object.

    Parameters
    ----------
    truth, predicted : ndarray
        Label images of one shape, any number of dimensions; 0 is background.

    Returns
    -------
    ndarray
        (n_true, n_predicted), in rising order of the labels that occur.
    """
    (truth_index, rows), (predicted_index, cols) = _compact(truth), _compact(predicted)
    pairs = truth_index * cols + predicted_index
    overlap = np.bincount(pairs, minlength=rows * cols).reshape(rows, cols).astype(np.float64)
    union = overlap.sum(1, keepdims=True) + overlap.sum(0, keepdims=True) - overlap
    iou: NDArray[np.float64] = (overlap / np.maximum(union, 1))[1:, 1:]
    return iou


def _compact(labels: NDArray[np.integer]) -> tuple[NDArray[np.int64], int]:
    """Return labels (N,) renumbered without gaps, background stays 0, and how many there are."""
    flat = labels.ravel()
    if flat.min(initial=0) >= 0 and flat.max(initial=0) <= flat.size:
        present = np.bincount(flat, minlength=1) > 0
        present[0] = True
        return (present.cumsum() - 1)[flat], int(present.sum())
    values, index = np.unique(np.append(flat, 0), return_inverse=True)
    return index[:-1].astype(np.int64), values.size


def count_matches(iou: NDArray[np.float64], threshold: float) -> int:
    """Return how many objects match one to one at an IoU of at least `threshold`."""
    good = iou >= threshold
    if threshold > 0.5:
        return int(good.any(1).sum())
    rows, cols = linear_sum_assignment(-np.where(good, 1 + iou, 0))
    return int(good[rows, cols].sum())


def average_precision(
    truth: NDArray[np.integer], predicted: NDArray[np.integer]
) -> dict[float, float]:
    """Return TP / (TP + FP + FN) at each of `IOU_THRESHOLDS` (Caicedo et al. 2019).

    Parameters
    ----------
    truth, predicted : ndarray
        Label images of one shape, any number of dimensions.

    Returns
    -------
    dict of float to float
        By IoU threshold; 1 where neither has an object.
    """
    return matched_precisions(iou_matrix(truth, predicted))


def matched_precisions(iou: NDArray[np.float64]) -> dict[float, float]:
    """Return what `average_precision` does, by the IoU (n_true, n_predicted) of all objects."""
    n_true, n_predicted = iou.shape
    if n_true + n_predicted == 0:
        return dict.fromkeys(IOU_THRESHOLDS, 1.0)
    result = {}
    for threshold in IOU_THRESHOLDS:
        matched = count_matches(iou, threshold) if iou.size else 0
        result[threshold] = matched / (n_true + n_predicted - matched)
    return result


def innermost_pixel(mask: NDArray[np.bool_]) -> tuple[int, int]:
    """Return the pixel (row, col) of a mask (H, W) that lies farthest from its boundary."""
    found = ndimage.find_objects(mask.astype(np.uint8))
    if not found:
        raise ValueError("An empty mask has no innermost pixel")
    rows, cols = found[0]
    depth = ndimage.distance_transform_edt(np.pad(mask[rows, cols], 1))[1:-1, 1:-1]
    row, col = np.unravel_index(int(depth.argmax()), depth.shape)
    return int(rows.start + row), int(cols.start + col)


def correcting_click(
    mask: NDArray[np.bool_], truth: NDArray[np.bool_]
) -> tuple[tuple[int, int], int] | None:
    """Return where a person would correct a mask.

    Parameters
    ----------
    mask, truth : ndarray
        (H, W) bool.

    Returns
    -------
    ((row, col), label) or None
        The innermost pixel of the largest region that is wrong, and 1 if it belongs to the object
        or 0 if not; None where the mask is right.
    """
    regions, count = ndimage.label(mask ^ truth)
    if not count:
        return None
    largest = 1 + int(np.bincount(regions.ravel())[1:].argmax())
    click = innermost_pixel(regions == largest)
    return click, int(truth[click])
