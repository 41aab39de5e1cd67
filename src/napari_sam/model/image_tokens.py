"""An image as the mask decoder reads it: what no prompt changes, laid out token by token.

The decoder doubles the image's resolution twice. Its pixels stay together with the token that they
came from: (h, w) tokens, then (2, 2) quarters of a token, then (2, 2) quarters of those. Maps that
are stored channels last are views in this order, not copies.
"""

from __future__ import annotations

from typing import NamedTuple

import torch
from torch import Tensor


class ImageTokens(NamedTuple):
    """Image tokens, their positions, and finer features.

    Attributes
    ----------
    features : Tensor
        (B, h, w, C).
    positions : Tensor
        (B or 1, h, w, C), encoded.
    skips : tuple of Tensor
        (B, h, w, 2, 2, C / 4) and (B, h, w, 2, 2, 2, 2, C / 8), or empty.
    """

    features: Tensor
    positions: Tensor
    skips: tuple[Tensor, ...] = ()

    @property
    def grid(self) -> tuple[int, int]:
        """Height and width, tokens."""
        return self.features.shape[1], self.features.shape[2]

    @property
    def dtype(self) -> torch.dtype:
        """Their precision."""
        return self.features.dtype

    def to(self, dtype: torch.dtype) -> ImageTokens:
        """Return them in another precision."""
        skips = tuple(skip.to(dtype) for skip in self.skips)
        return ImageTokens(self.features.to(dtype), self.positions.to(dtype), skips)

    def chosen(self, images: Tensor) -> ImageTokens:
        """Return some of the images (K,); the one image there is where all objects share it."""
        parts = (self.features, self.positions, *self.skips)
        features, positions, *skips = (part if len(part) == 1 else part[images] for part in parts)
        return ImageTokens(features, positions, tuple(skips))

    def windows(self, corners: Tensor, size: tuple[int, int]) -> ImageTokens:
        """Cut K windows out of one image.

        Parameters
        ----------
        corners : Tensor
            (K, 2) their first (row, col), tokens.
        size : (int, int)
            Their height and width, tokens.
        """
        height, width = size
        places = [(slice(r, r + height), slice(c, c + width)) for r, c in corners.tolist()]

        def cut(level: Tensor) -> Tensor:
            if len(places) == 1:
                return level[:, places[0][0], places[0][1]]
            return torch.stack([level[0, rows, cols] for rows, cols in places])

        skips = tuple(cut(skip) for skip in self.skips)
        return ImageTokens(cut(self.features), cut(self.positions), skips)


def by_token(level: Tensor, doublings: int) -> Tensor:
    """View a map (B, c, 2**n h, 2**n w) as (B, h, w, 2, 2, ..., c), n pairs of quarters."""
    twos = (2,) * doublings
    split: Tensor = level.permute(0, 2, 3, 1).unflatten(2, (-1, *twos)).unflatten(1, (-1, *twos))
    rows, cols = 1, 2 + doublings
    quarters = [axis for step in range(1, doublings + 1) for axis in (rows + step, cols + step)]
    return split.permute(0, rows, cols, *quarters, -1)


def as_map(pixels: Tensor) -> Tensor:
    """Bring (B, h, w, 2, 2, ..., c) back into a map (B, c, 2**n h, 2**n w)."""
    doublings = (pixels.ndim - 4) // 2
    pairs = range(doublings + 1)
    rows, cols = [1 + 2 * pair for pair in pairs], [2 + 2 * pair for pair in pairs]
    placed = pixels.permute(0, -1, *rows, *cols)
    return placed.flatten(3 + doublings).flatten(2, 2 + doublings)


def sample(level: Tensor, points: Tensor, stride: int) -> Tensor:
    """Interpolate features bilinearly at points; beyond the border lies the border.

    Parameters
    ----------
    level : Tensor
        (B or 1, h, w, 2, 2, ..., c).
    points : Tensor
        (B, N, 2) pixels (x, y).
    stride : int
        Pixels along one side of an image token.

    Returns
    -------
    Tensor
        (B, N, c).
    """
    doublings = (level.ndim - 4) // 2
    finer = 2**doublings
    last = points.new_tensor([level.shape[2] * finer - 1, level.shape[1] * finer - 1])
    place = ((points + 0.5) * (finer / stride) - 0.5).clamp(min=0).minimum(last)
    low = place.floor()
    share = place - low
    high = torch.minimum(low + 1, last)
    (left, top), (right, bottom) = low.long().unbind(-1), high.long().unbind(-1)
    to_right, to_bottom = share[..., :1], share[..., 1:]
    above = torch.lerp(_at(level, top, left), _at(level, top, right), to_right)
    below = torch.lerp(_at(level, bottom, left), _at(level, bottom, right), to_right)
    return torch.lerp(above, below, to_bottom)


def _at(level: Tensor, rows: Tensor, cols: Tensor) -> Tensor:
    """Look up pixels (B, N) of a level, of each object's image or of the one that all share."""
    doublings = (level.ndim - 4) // 2
    images = torch.arange(len(level), device=rows.device)[:, None]
    index = [images, rows >> doublings, cols >> doublings]
    for shift in reversed(range(doublings)):
        index += [(rows >> shift) & 1, (cols >> shift) & 1]
    return level[tuple(index)].float()
