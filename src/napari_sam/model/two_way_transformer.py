"""The light transformer between prompt tokens and image tokens.

Kirillov et al. 2023, figure 14: self-attention of the tokens, tokens to image, perceptron, image to
tokens; twice, then tokens to image once more.
"""

from __future__ import annotations

from torch import Tensor, nn

from napari_sam.model.configs import DecoderConfig
from napari_sam.model.cross_attention import CrossAttention, attend_from_image, attend_to_image
from napari_sam.model.layers import MLPBlock


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
        """Update tokens (B, T, C) and image (B or 1, N, C), given the positions of both."""
        if self.first:
            tokens = self.self_attn(tokens, tokens, tokens)
        else:
            placed = tokens + token_pe
            tokens = tokens + self.self_attn(placed, placed, tokens)
        tokens = self.norm1(tokens)
        tokens = tokens + attend_to_image(
            self.cross_attn_token_to_image, tokens + token_pe, image, image_pe
        )
        tokens = self.norm2(tokens)
        tokens = self.norm3(tokens + self.mlp(tokens))
        image = attend_from_image(
            self.cross_attn_image_to_token, self.norm4, image, image_pe, tokens + token_pe, tokens
        )
        return tokens, image


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

    def forward(
        self, tokens: Tensor, image: Tensor, image_pe: Tensor, n_answers: int
    ) -> tuple[Tensor, Tensor]:
        """Exchange between prompts and image.

        Parameters
        ----------
        tokens : Tensor
            (B, T, C) output and prompt tokens.
        image, image_pe : Tensor
            (B or 1, N, C) image tokens, and their positions. One image for all B objects is
            cheaper than B copies of it.
        n_answers : int
            How many of the tokens, the first ones, are looked at afterwards.

        Returns
        -------
        tokens, image : Tensor
            Updated, (B, n_answers, C) and (B, N, C).
        """
        token_pe = tokens
        for layer in self.layers:
            tokens, image = layer(tokens, image, token_pe, image_pe)
        tokens, placed = tokens[:, :n_answers], (tokens + token_pe)[:, :n_answers]
        attended = attend_to_image(self.final_attn_token_to_image, placed, image, image_pe)
        return self.norm_final_attn(tokens + attended), image
