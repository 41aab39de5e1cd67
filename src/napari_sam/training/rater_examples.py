"""What raters learn from: masks, what was known of them in use, and how good they were."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

import torch
from torch import Tensor


class RaterExamples(NamedTuple):
    """Masks, what is known of them, and how good they are.

    Attributes
    ----------
    evidence : Tensor
        (M, F), as `napari_sam.model.rater` names it, the rating so far first.
    iou : Tensor
        (M,) with the truth.
    weight : Tensor
        (M,) how much each counts.
    """

    evidence: Tensor
    iou: Tensor
    weight: Tensor

    @classmethod
    def nothing(cls, width: int) -> RaterExamples:
        """Return no masks, of which so much is known."""
        return cls(torch.zeros(0, width), torch.zeros(0), torch.zeros(0))

    @classmethod
    def joined(cls, pieces: Sequence[RaterExamples]) -> RaterExamples:
        """Return all masks of several."""
        return cls(*(torch.cat(column) for column in zip(*pieces, strict=True)))

    @property
    def error(self) -> float:
        """Mean absolute difference of the ratings so far and the IoU."""
        return self.error_of(self.evidence[:, 0])

    def error_of(self, ratings: Tensor) -> float:
        """Mean absolute difference of ratings (M,) and the IoU."""
        return float(((ratings - self.iou).abs() * self.weight).sum() / self.weight.sum())
