"""Which objects were found, split or merged, in an image or a volume."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from napari_sam.training.metrics import count_matches, iou_matrix, matched_precisions

_SHARE = 0.25
"""A part of an object counts if it is at least so much of the object, or of what it is part of."""


@dataclass(frozen=True, kw_only=True)
class Detection:
    """How predicted objects agree with true ones.

    Attributes
    ----------
    n_true, n_predicted : int
        Objects.
    n_matched : int
        Matched one to one at an IoU of 0.5.
    ap50, mean_ap : float
        TP / (TP + FP + FN) at an IoU of 0.5, and its mean from 0.5 to 0.95.
    n_split : int
        True objects of which two or more predicted ones hold at least a quarter each.
    n_merged : int
        Predicted objects that hold at least a quarter each, and most, of two or more true ones.
    """

    n_true: int
    n_predicted: int
    n_matched: int
    ap50: float
    mean_ap: float
    n_split: int
    n_merged: int

    @property
    def precision(self) -> float:
        """Share of predicted objects that are matched; 1 where there is none."""
        return self.n_matched / self.n_predicted if self.n_predicted else 1.0

    @property
    def recall(self) -> float:
        """Share of true objects that are matched; 1 where there is none."""
        return self.n_matched / self.n_true if self.n_true else 1.0

    @property
    def f1(self) -> float:
        """2 TP / (2 TP + FP + FN); 1 where there is no object at all."""
        total = self.n_true + self.n_predicted
        return 2 * self.n_matched / total if total else 1.0


def detection(truth: NDArray[np.integer], predicted: NDArray[np.integer]) -> Detection:
    """Compare predicted with true objects.

    Parameters
    ----------
    truth, predicted : ndarray
        Label images of one shape, any number of dimensions; 0 is background.
    """
    iou = iou_matrix(truth, predicted)
    true_sizes, predicted_sizes = (_sizes(labels) for labels in (truth, predicted))
    # of intersection over union u and sizes a and b, the intersection is u (a + b) / (1 + u)
    shared = iou * (true_sizes[:, None] + predicted_sizes) / (1 + iou)
    of_true, of_predicted = shared / true_sizes[:, None], shared / predicted_sizes
    precisions = matched_precisions(iou)
    return Detection(
        n_true=iou.shape[0],
        n_predicted=iou.shape[1],
        n_matched=count_matches(iou, 0.5) if iou.size else 0,
        ap50=precisions[0.5],
        mean_ap=float(np.mean(list(precisions.values()))),
        n_split=int(((of_true >= _SHARE).sum(1) > 1).sum()),
        n_merged=int((((of_predicted >= _SHARE) | (of_true > 0.5)).sum(0) > 1).sum()),
    )


def _sizes(labels: NDArray[np.integer]) -> NDArray[np.int64]:
    """Return the pixels of every object, in rising order of the labels that occur."""
    values, counts = np.unique(labels, return_counts=True)
    return np.asarray(counts[values > 0], np.int64)
