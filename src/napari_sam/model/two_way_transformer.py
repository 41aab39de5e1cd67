"""The light transformer between prompt tokens and image tokens.

Kirillov et al. 2023, figure 14: self-attention of the tokens, tokens to image, perceptron, image to
tokens; twice, then tokens to image once more.
"""

from __future__ import annotations

from torch import Tensor, nn
from torch.nn import functional

from napari_sam.model.configs import DecoderConfig
from napari_sam.model.layers import MLPBlock


class CrossAttention(nn.Module):
    """Attention whose inner width may be smaller than the model's.

    Parameters
    ----------
    dim, inner_dim : int
        Width outside and inside.
    num_heads : int
        Heads that share the inner width.
    """

    def __init__(self, dim: int, inner_dim: int, num_heads: int) -> None:
        super().__init__()
        self.num_heads = num_heads
        self.q_proj = nn.Linear(dim, inner_dim)
        self.k_proj = nn.Linear(dim, inner_dim)
        self.v_proj = nn.Linear(dim, inner_dim)
        self.out_proj = nn.Linear(inner_dim, dim)

    def forward(self, query: Tensor, key: Tensor, value: Tensor) -> Tensor:
        """Attend from query (B, T, dim) to key and value (B, N, dim)."""
        attended = functional.scaled_dot_product_attention(
            self._heads(self.q_proj(query)),
            self._heads(self.k_proj(key)),
            self._heads(self.v_proj(value)),
        )
        projected: Tensor = self.out_proj(attended.transpose(1, 2).flatten(2))
        return projected

    def _heads(self, x: Tensor) -> Tensor:
        split: Tensor = x.unflatten(2, (self.num_heads, -1))
        return split.transpose(1, 2)


class TwoWayAttentionBlock(nn.Module):
    """One round of exchange between tokens and image."""

    def __init__(self, dim: int, config: DecoderConfig, *, first: bool) -> None:
        super().__init__()
        heads, inner = config.num_heads, config.attention_dim
        self.first = first
        self.self_attn = CrossAttention(dim, dim, heads)
        self.norm1 = nn.LayerNorm(dim)
        self.cross_attn_token_to_image = CrossAttention(dim, inner, heads)
        self.norm2 = nn.LayerNorm(dim)
        self.mlp = MLPBlock(dim, config.mlp_dim, nn.ReLU())
        self.norm3 = nn.LayerNorm(dim)
        self.norm4 = nn.LayerNorm(dim)
        self.cross_attn_image_to_token = CrossAttention(dim, inner, heads)

    def forward(
        self, tokens: Tensor, image: Tensor, token_pe: Tensor, image_pe: Tensor
    ) -> tuple[Tensor, Tensor]:
        """Update tokens (B, T, C) and image (B, N, C), given the positions of both."""
        if self.first:
            tokens = self.self_attn(tokens, tokens, tokens)
        else:
            placed = tokens + token_pe
            tokens = tokens + self.self_attn(placed, placed, tokens)
        tokens = self.norm1(tokens)
        placed_image = image + image_pe
        tokens = tokens + self.cross_attn_token_to_image(tokens + token_pe, placed_image, image)
        tokens = self.norm2(tokens)
        tokens = self.norm3(tokens + self.mlp(tokens))
        image = image + self.cross_attn_image_to_token(placed_image, tokens + token_pe, tokens)
        return tokens, self.norm4(image)


class TwoWayTransformer(nn.Module):
    """Blocks of two-way attention and a last look from the tokens at the image.

    Parameters
    ----------
    dim : int
        Width of tokens and image, C.
    config : DecoderConfig
        Depth, heads and inner widths.
    """

    def __init__(self, dim: int, config: DecoderConfig) -> None:
        super().__init__()
        self.layers = nn.ModuleList(
            TwoWayAttentionBlock(dim, config, first=index == 0) for index in range(config.depth)
        )
        self.final_attn_token_to_image = CrossAttention(dim, config.attention_dim, config.num_heads)
        self.norm_final_attn = nn.LayerNorm(dim)

    def forward(self, tokens: Tensor, image: Tensor, image_pe: Tensor) -> tuple[Tensor, Tensor]:
        """Exchange between prompts and image.

        Parameters
        ----------
        tokens : Tensor
            (B, T, C) output and prompt tokens.
        image, image_pe : Tensor
            (B, N, C) image tokens, and (B or 1, N, C) their positions.

        Returns
        -------
        tokens, image : Tensor
            Updated, same shapes.
        """
        token_pe = tokens
        for layer in self.layers:
            tokens, image = layer(tokens, image, token_pe, image_pe)
        attended = self.final_attn_token_to_image(tokens + token_pe, image + image_pe, image)
        return self.norm_final_attn(tokens + attended), image
