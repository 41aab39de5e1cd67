"""The ViT image encoder of Segment Anything: windowed and global attention, convolutional neck.

Kirillov et al. 2023, section 3 and appendix A; the backbone is that of ViTDet (Li et al. 2022) with
the decomposed relative positions of MViTv2. Parameter names are those of the official checkpoints.
"""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.nn import functional

from napari_sam.model.configs import ViTConfig
from napari_sam.model.layers import LayerNorm2d, MLPBlock


class PatchEmbed(nn.Module):
    """Cut the picture into patches and project each to a token."""

    def __init__(self, patch_size: int, embed_dim: int) -> None:
        super().__init__()
        self.proj = nn.Conv2d(3, embed_dim, kernel_size=patch_size, stride=patch_size)

    def forward(self, x: Tensor) -> Tensor:
        """Map x (B, 3, H, W) to tokens (B, H / patch, W / patch, C)."""
        tokens: Tensor = self.proj(x)
        return tokens.permute(0, 2, 3, 1)


def relative_positions(table: Tensor, size: int) -> Tensor:
    """Look up the embedding of every query-key offset along one axis.

    Parameters
    ----------
    table : Tensor
        (L, C) embeddings of the offsets -(L - 1) / 2 ... (L - 1) / 2; interpolated linearly where
        L is not 2 * size - 1.
    size : int
        Number of positions along the axis.

    Returns
    -------
    Tensor
        (size, size, C), indexed by query, then key.
    """
    length = 2 * size - 1
    if table.shape[0] != length:
        table = functional.interpolate(table.T[None], size=length, mode="linear")[0].T
    positions = torch.arange(size, device=table.device)
    return table[positions[:, None] - positions[None, :] + size - 1]


class Attention(nn.Module):
    """Multi-head self-attention over a 2D grid with decomposed relative positions."""

    def __init__(self, dim: int, num_heads: int, grid_size: int) -> None:
        super().__init__()
        head_dim = dim // num_heads
        self.num_heads = num_heads
        self.qkv = nn.Linear(dim, 3 * dim)
        self.proj = nn.Linear(dim, dim)
        self.rel_pos_h = nn.Parameter(torch.zeros(2 * grid_size - 1, head_dim))
        self.rel_pos_w = nn.Parameter(torch.zeros(2 * grid_size - 1, head_dim))

    def forward(self, x: Tensor) -> Tensor:
        """Attend within x (B, H, W, C)."""
        batch, height, width, dim = x.shape
        qkv = self.qkv(x).reshape(batch, height * width, 3, self.num_heads, -1)
        query, key, value = qkv.permute(2, 0, 3, 1, 4)
        bias = self._position_bias(query, height, width)
        attended = functional.scaled_dot_product_attention(query, key, value, attn_mask=bias)
        merged = attended.transpose(1, 2).reshape(batch, height, width, dim)
        projected: Tensor = self.proj(merged)
        return projected

    def _position_bias(self, query: Tensor, height: int, width: int) -> Tensor:
        """Additive attention bias (B, heads, H * W, H * W); the queries enter it unscaled."""
        grid = query.unflatten(2, (height, width))
        rows = relative_positions(self.rel_pos_h, height).to(query.dtype)
        cols = relative_positions(self.rel_pos_w, width).to(query.dtype)
        by_row = torch.einsum("bnhwc,hkc->bnhwk", grid, rows)
        by_col = torch.einsum("bnhwc,wkc->bnhwk", grid, cols)
        bias = by_row[..., :, None] + by_col[..., None, :]
        return bias.reshape(*query.shape[:3], height * width)


def into_windows(x: Tensor, size: int) -> Tensor:
    """Cut x (B, H, W, C) into windows (B * n, size, size, C), padded at the ends with zeros."""
    batch, height, width, dim = x.shape
    x = functional.pad(x, (0, 0, 0, -width % size, 0, -height % size))
    rows, cols = x.shape[1] // size, x.shape[2] // size
    tiles = x.reshape(batch, rows, size, cols, size, dim).transpose(2, 3)
    return tiles.reshape(-1, size, size, dim)


def from_windows(windows: Tensor, shape: tuple[int, int]) -> Tensor:
    """Undo `into_windows`: (B * n, size, size, C) to (B, H, W, C) with (H, W) = shape."""
    height, width = shape
    size, dim = windows.shape[1], windows.shape[3]
    rows, cols = -(-height // size), -(-width // size)
    tiles = windows.reshape(-1, rows, cols, size, size, dim).transpose(2, 3)
    return tiles.reshape(-1, rows * size, cols * size, dim)[:, :height, :width]


class Block(nn.Module):
    """A transformer block; `window_size` 0 means attention over the whole grid."""

    def __init__(self, config: ViTConfig, window_size: int) -> None:
        super().__init__()
        dim = config.embed_dim
        self.window_size = window_size
        self.norm1 = nn.LayerNorm(dim, eps=1e-6)
        self.attn = Attention(dim, config.num_heads, window_size or config.grid_size)
        self.norm2 = nn.LayerNorm(dim, eps=1e-6)
        self.mlp = MLPBlock(dim, config.mlp_dim, nn.GELU())

    def forward(self, x: Tensor) -> Tensor:
        """Map x (B, H, W, C) to the same shape."""
        height, width = x.shape[1:3]
        normed = self.norm1(x)
        if self.window_size:
            windows = self.attn(into_windows(normed, self.window_size))
            x = x + from_windows(windows, (height, width))
        else:
            x = x + self.attn(normed)
        mapped: Tensor = x + self.mlp(self.norm2(x))
        return mapped


class ImageEncoderViT(nn.Module):
    """The official image encoder.

    Parameters
    ----------
    config : ViTConfig
        Widths, depth, and which blocks attend globally.
    """

    def __init__(self, config: ViTConfig) -> None:
        super().__init__()
        grid = config.grid_size
        self.patch_embed = PatchEmbed(config.patch_size, config.embed_dim)
        self.pos_embed = nn.Parameter(torch.zeros(1, grid, grid, config.embed_dim))
        self.blocks = nn.ModuleList(
            Block(config, 0 if index in config.global_attn_indexes else config.window_size)
            for index in range(config.depth)
        )
        self.neck = nn.Sequential(
            nn.Conv2d(config.embed_dim, config.out_channels, kernel_size=1, bias=False),
            LayerNorm2d(config.out_channels),
            nn.Conv2d(config.out_channels, config.out_channels, 3, padding=1, bias=False),
            LayerNorm2d(config.out_channels),
        )

    def forward(self, x: Tensor) -> tuple[Tensor, tuple[Tensor, ...]]:
        """Encode normalised pixels.

        Parameters
        ----------
        x : Tensor
            (B, 3, image_size, image_size).

        Returns
        -------
        features : Tensor
            (B, out_channels, grid_size, grid_size).
        high_res_features : tuple of Tensor
            Empty: this encoder has no skip connections.
        """
        x = self.patch_embed(x) + self.pos_embed
        for block in self.blocks:
            x = block(x)
        features: Tensor = self.neck(x.permute(0, 3, 1, 2))
        return features, ()
