"""What a mask's IoU with the truth is, given all that was seen of it in use.

The decoder rates its masks by what it sees at that moment. It does not know how often it has
looked, at which scale, whether the clicks lie inside the mask, or how tightly a box is filled; and
what it learned on varied views is too low for images as they are. A small perceptron corrects its
rating.
"""

from __future__ import annotations

import torch
from torch import Tensor, nn

from napari_sam.model.layers import correction

EVIDENCE = (
    "rating",
    "predicted_iou",
    "rating_behind_best",
    "octaves_from_usual",
    "in_another_way",
    "from_hint",
    "is_hint",
    "stability",
    "wide_stability",
    "sureness_inside",
    "octaves_from_looked_for",
    "box_fit",
    "share_of_box",
    "clicks_obeyed",
    "clicks",
    "background_clicks",
    "boxed",
    "continued",
)
"""What is known of a mask; `napari_sam.segmentation.evidence` measures it."""
INSTANCE_EVIDENCE = (
    "foreground",
    "rim_foreground",
    "depth_error",
    "closeness_error",
    "depth_excess",
    "closeness_excess",
    "peak_depth",
    "peak_closeness",
    "threshold",
    "peak",
    "prominence",
    "parting",
    "connected_share",
    "filled_share",
    "octaves_from_looked_for",
    "octaves_from_usual",
    "ellipse_share",
    "elongation",
    "at_edge",
)
"""What is known of an instance; `napari_sam.segmentation.instance_evidence` measures it."""
_HIDDEN = 32
_FARTHEST = 4.0
"""Deviations from the mean, beyond which evidence counts no more."""
_LOWEST = 0.02


class Rater(nn.Module):
    """Correct the rating of masks; before it is trained, ratings stay as they are.

    Parameters
    ----------
    width : int
        How much is known of a mask, F.
    """

    mean: Tensor
    spread: Tensor

    def __init__(self, width: int = len(EVIDENCE)) -> None:
        super().__init__()
        self.register_buffer("mean", torch.zeros(width))
        self.register_buffer("spread", torch.ones(width))
        self.mlp = correction(width, _HIDDEN, nn.GELU)

    def forward(self, evidence: Tensor) -> Tensor:
        """Rate masks.

        Parameters
        ----------
        evidence : Tensor
            (M, F) as `EVIDENCE` or `INSTANCE_EVIDENCE` names it; the first is the rating so far.

        Returns
        -------
        Tensor
            (M,) IoU to be expected, between 0 and 1.
        """
        known = ((evidence - self.mean) / self.spread).clamp(-_FARTHEST, _FARTHEST)
        own = evidence[:, 0].clamp(_LOWEST, 1 - _LOWEST).logit()
        rated: Tensor = (own + self.mlp(known)[:, 0]).sigmoid()
        return rated
