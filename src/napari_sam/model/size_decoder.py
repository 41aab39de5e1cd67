"""How large are the objects of a picture? A distribution over diameters, seen from every place.

Cellpose (Stringer et al. 2021) regresses one diameter from an image's style; here every coarse
cell votes over bins, so that a few cells of a look suffice and looks at several scales add up.
"""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.nn import functional

from napari_sam.model.layers import ConvNorm

OCTAVES = 4
"""Diameters from 1/16 to 16 times the one that the network knows best are told apart."""
BINS_PER_OCTAVE = 4
N_BINS = 2 * OCTAVES * BINS_PER_OCTAVE + 1
_POOL = 4
CELL = 32
"""Pixels along one side of what one vote is about."""


class SizeDecoder(nn.Module):
    """Predict the typical diameter of a picture's objects.

    Parameters
    ----------
    dim : int
        Width of the image embedding, C.
    """

    def __init__(self, dim: int) -> None:
        super().__init__()
        self.context = nn.Sequential(ConvNorm(dim, dim), ConvNorm(dim, dim // 2))
        self.head = nn.Conv2d(dim // 2, N_BINS, 1)

    def forward(self, features: Tensor) -> Tensor:
        """Vote.

        Parameters
        ----------
        features : Tensor
            (B, C, H / 8, W / 8).

        Returns
        -------
        Tensor
            (B, bins, H / 32, W / 32) logits; bin k stands for
            ``2 ** (k / BINS_PER_OCTAVE - OCTAVES)`` times the network's own object diameter.
        """
        votes: Tensor = self.head(self.context(functional.avg_pool2d(features, _POOL)))
        return votes


def bin_octaves(device: torch.device | str = "cpu") -> Tensor:
    """Return what each bin stands for, (bins,) binary logarithms over the network's diameter."""
    return torch.arange(N_BINS, device=device) / BINS_PER_OCTAVE - OCTAVES


def mean_votes(votes: Tensor, shape: tuple[int, int]) -> Tensor:
    """Average what the cells inside images vote for.

    Parameters
    ----------
    votes : Tensor
        (B, bins, h, w) logits.
    shape : (int, int)
        Height and width of the images without padding, pixels.

    Returns
    -------
    Tensor
        (B, bins) mean log probabilities.
    """
    height, width = (max(1, round(length / CELL)) for length in shape)
    return votes[..., :height, :width].float().log_softmax(1).mean((2, 3))
