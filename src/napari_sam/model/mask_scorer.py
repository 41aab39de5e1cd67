"""A second opinion on predicted IoU that looks at the mask itself (Huang et al. 2019).

SAM's IoU head sees one token, and a small decoder puts little about the finished mask into it.
What tells good masks from bad ones lies in the mask: how sharply it is decided, how its inside
differs from its rim, how large it is.
"""

from __future__ import annotations

import torch
from torch import Tensor, nn

from napari_sam.model.layers import correction

_STATISTICS = 4
_OFFSET = 1.0
"""Logits at which a mask's stability is measured, as in the reference mask generator."""


class MaskScorer(nn.Module):
    """Correct the predicted IoU of candidate masks.

    Parameters
    ----------
    dim : int
        Width of the tokens, C; masks are products with C / 8 channels.
    hidden_dim : int
        Width of the perceptron.
    """

    def __init__(self, dim: int, hidden_dim: int = 128) -> None:
        super().__init__()
        width = 2 * dim + 2 * (dim // 8) + _STATISTICS
        self.mlp = correction(width, hidden_dim, nn.ReLU)

    def forward(self, tokens: Tensor, logits: Tensor, pixels: Tensor) -> Tensor:
        """Score.

        Parameters
        ----------
        tokens : Tensor
            (B, 1 + M, C) the IoU token and the mask tokens after the transformer.
        logits : Tensor
            (B, M, P) of P pixels in any order.
        pixels : Tensor
            (B, P, C / 8) features that the masks were made of.

        Returns
        -------
        Tensor
            (B, M) to be added to the predicted IoU. Masks learn nothing from it.
        """
        flat = logits.detach().float()
        values = pixels.detach().float()
        probability = flat.sigmoid()
        doubt = probability * (1 - probability)
        inside = probability @ values / probability.sum(-1, keepdim=True).clamp(min=1)
        rim = doubt @ values / doubt.sum(-1, keepdim=True).clamp(min=1)
        statistics = _statistics(flat, probability, doubt)
        iou_token = tokens[:, :1].expand(-1, logits.shape[1], -1)
        seen = [iou_token, tokens[:, 1:], inside, rim, statistics]
        dtype = tokens.dtype
        scores: Tensor = self.mlp(torch.cat([part.to(dtype) for part in seen], -1))[..., 0]
        return scores


def _statistics(logits: Tensor, probability: Tensor, doubt: Tensor) -> Tensor:
    """Return (B, M, 4): IoU the mask expects of itself, stability, doubt per area, log area."""
    mask = logits > 0
    area = mask.sum(-1).clamp(min=1).float()
    expected = (probability * mask).sum(-1) / (area + (probability * ~mask).sum(-1))
    wide = (logits > -_OFFSET).sum(-1).clamp(min=1)
    stability = (logits > _OFFSET).sum(-1) / wide
    return torch.stack([expected, stability, doubt.sum(-1) / area, area.log() / 8], -1)
