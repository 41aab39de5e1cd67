"""Points, boxes and masks to embeddings (Kirillov et al. 2023, section 3, "Prompt encoder").

Coordinates here are (x, y) in pixels of the network's input, as in the checkpoints.
"""

from __future__ import annotations

import math

import torch
from torch import Tensor, nn

from napari_sam.model.layers import LayerNorm2d

PADDING, BACKGROUND, FOREGROUND = -1, 0, 1
"""Labels of a point that is not there, a negative and a positive point."""


class PositionEmbeddingRandom(nn.Module):
    """Positions by random spatial frequencies (Tancik et al. 2020).

    Parameters
    ----------
    num_pos_feats : int
        Half of the encoding's width.
    """

    positional_encoding_gaussian_matrix: Tensor

    def __init__(self, num_pos_feats: int) -> None:
        super().__init__()
        self.register_buffer("positional_encoding_gaussian_matrix", torch.randn(2, num_pos_feats))

    def forward(self, coords: Tensor) -> Tensor:
        """Encode coords (..., 2), (x, y) with the unit square as range, to (..., 2 * feats)."""
        phases = (2 * coords - 1) @ self.positional_encoding_gaussian_matrix * (2 * math.pi)
        return torch.cat([phases.sin(), phases.cos()], dim=-1)


class PromptEncoder(nn.Module):
    """Encode the prompts of a batch of objects.

    Parameters
    ----------
    embed_dim : int
        Width of the embeddings, C.
    image_size : int
        Pixels that span the unit interval of the positional encoding.
    stride : int
        Pixels along one side of an image token.
    mask_in_chans : int
        Channels inside the encoder of mask prompts.
    """

    def __init__(self, embed_dim: int, image_size: int, stride: int, mask_in_chans: int) -> None:
        super().__init__()
        self.image_size = image_size
        self.stride = stride
        self.pe_layer = PositionEmbeddingRandom(embed_dim // 2)
        self.point_embeddings = nn.ModuleList(nn.Embedding(1, embed_dim) for _ in range(4))
        self.not_a_point_embed = nn.Embedding(1, embed_dim)
        self.mask_downscaling = nn.Sequential(
            nn.Conv2d(1, mask_in_chans // 4, kernel_size=2, stride=2),
            LayerNorm2d(mask_in_chans // 4),
            nn.GELU(),
            nn.Conv2d(mask_in_chans // 4, mask_in_chans, kernel_size=2, stride=2),
            LayerNorm2d(mask_in_chans),
            nn.GELU(),
            nn.Conv2d(mask_in_chans, embed_dim, kernel_size=1),
        )
        self.no_mask_embed = nn.Embedding(1, embed_dim)

    def dense_positions(self, height: int, width: int, origin: Tensor | None = None) -> Tensor:
        """Encode the centres of the image tokens.

        Parameters
        ----------
        height, width : int
            Size of the grid, tokens.
        origin : Tensor, optional
            (B, 2) position (x, y) of each grid's corner, pixels; one grid at (0, 0) by default.

        Returns
        -------
        Tensor
            (B or 1, C, height, width).
        """
        matrix = self.pe_layer.positional_encoding_gaussian_matrix
        centres = token_centres(height, width, self.stride, matrix.device)
        centres = centres[None] if origin is None else centres + origin[:, None, None]
        encoded: Tensor = self.pe_layer(centres / self.image_size)
        return encoded.permute(0, 3, 1, 2)

    def embed_points(self, points: Tensor, labels: Tensor) -> Tensor:
        """Embed points (B, N, 2) in pixels with labels (B, N) of 1, 0 or -1 to (B, N, C)."""
        positions = self.pe_layer((points + 0.5) / self.image_size)
        kinds = torch.cat([self.not_a_point_embed.weight, self._kinds()[:2]])
        there = (labels != PADDING)[..., None].to(positions.dtype)
        embedded: Tensor = positions * there + kinds[labels + 1]
        return embedded

    def embed_boxes(self, boxes: Tensor) -> Tensor:
        """Embed boxes (B, 4), (x_min, y_min, x_max, y_max) in pixels, to corners (B, 2, C)."""
        positions = self.pe_layer((boxes.reshape(-1, 2, 2) + 0.5) / self.image_size)
        embedded: Tensor = positions + self._kinds()[2:]
        return embedded

    def _kinds(self) -> Tensor:
        """Stack the embeddings (4, C): background, foreground, first and last corner of a box."""
        return torch.cat(list(self.point_embeddings.parameters()))

    def forward(
        self,
        points: Tensor | None,
        labels: Tensor | None,
        boxes: Tensor | None,
        masks: Tensor | None,
    ) -> tuple[Tensor, Tensor]:
        """Encode the prompts of B objects.

        Parameters
        ----------
        points, labels : Tensor or None
            (B, N, 2) pixels (x, y) and (B, N) of 1 foreground, 0 background, -1 padding.
        boxes : Tensor or None
            (B, 4) pixels (x_min, y_min, x_max, y_max).
        masks : Tensor or None
            (B, 1, 4 h, 4 w) low-resolution logits.

        Returns
        -------
        sparse : Tensor
            (B, T, C); T = 0 without points and boxes.
        dense : Tensor
            (B, C, h, w), or (1, C, 1, 1) without masks.
        """
        embeddings = []
        if points is not None and labels is not None:
            if boxes is None:
                points = torch.cat([points, points.new_zeros(len(points), 1, 2)], dim=1)
                labels = torch.cat([labels, labels.new_full((len(labels), 1), PADDING)], dim=1)
            embeddings.append(self.embed_points(points, labels))
        if boxes is not None:
            embeddings.append(self.embed_boxes(boxes))
        if embeddings:
            sparse = torch.cat(embeddings, dim=1)
        else:
            count = 1 if masks is None else len(masks)
            sparse = self.no_mask_embed.weight.new_zeros(
                count, 0, self.no_mask_embed.weight.shape[1]
            )
        if masks is not None:
            return sparse, self.mask_downscaling(masks)
        return sparse, self.no_mask_embed.weight[..., None, None]


def token_centres(height: int, width: int, stride: int, device: torch.device) -> Tensor:
    """Return the centres (height, width, 2) of a grid of tokens as (x, y) in pixels."""
    rows = (torch.arange(height, device=device) + 0.5) * stride
    cols = (torch.arange(width, device=device) + 0.5) * stride
    return torch.stack(torch.meshgrid(cols, rows, indexing="xy"), dim=-1)
