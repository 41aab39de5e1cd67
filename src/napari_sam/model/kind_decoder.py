"""Embeddings in which objects of one kind lie together: the ground of finding alike objects."""

from __future__ import annotations

from torch import Tensor, nn
from torch.nn import functional

KIND_CHANNELS = 32


class KindDecoder(nn.Module):
    """Project the image embedding to vectors that tell kinds of objects apart.

    Parameters
    ----------
    dim : int
        Width of the image embedding, C.
    """

    def __init__(self, dim: int) -> None:
        super().__init__()
        self.project = nn.Sequential(
            nn.Conv2d(dim, dim, 1), nn.ReLU(), nn.Conv2d(dim, KIND_CHANNELS, 1)
        )

    def forward(self, features: Tensor) -> Tensor:
        """Map features (B, C, h, w) to unit vectors (B, 32, h, w)."""
        return functional.normalize(self.project(features), dim=1)
