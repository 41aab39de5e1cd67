"""Attention between the few tokens of prompts and the many of an image.

A prompt brings T tokens, about 7; an image brings N, thousands. Attention in its usual order
projects all N image tokens to keys and values, for every prompt. The products can be folded, taken
in another order with the same result: the scores of a head are (W_q t) . (W_k n) =
n . (W_k^T W_q t), so the few tokens are projected back to the image's width, and the image is left
as it is. The values are averaged before they are projected; and seen from the image, what each
token adds is projected before it is spread. That costs less as long as heads x tokens are fewer
than the attention's inner width, and an image that many prompts share is one matrix for all.

The image's tokens may be of half precision, and what is computed of them then is, too. The prompts'
tokens are few and decide everything: they stay in float32.
"""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.nn import functional

from napari_sam.model.blocks import in_blocks
from napari_sam.model.layers import linear_like, norm_like


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
        """Attend from query (B, T, dim) to key and value (B, N, dim), as it is written down."""
        keys = self._heads(linear_like(self.k_proj, key))
        attended = functional.scaled_dot_product_attention(
            self._heads(linear_like(self.q_proj, query)).to(keys.dtype),
            keys,
            self._heads(linear_like(self.v_proj, value)).to(keys.dtype),
        )
        attended = attended.transpose(1, 2).flatten(2).to(query.dtype)
        return linear_like(self.out_proj, attended)

    def _heads(self, x: Tensor) -> Tensor:
        split: Tensor = x.unflatten(2, (self.num_heads, -1))
        return split.transpose(1, 2)


def attend_to_image(
    attention: CrossAttention, tokens: Tensor, image: Tensor, positions: Tensor
) -> Tensor:
    """Attend from tokens to an image, folded or not.

    Equals ``attention(tokens, image + positions, image)``.

    Parameters
    ----------
    attention : CrossAttention
        The weights.
    tokens : Tensor
        (B, T, C).
    image, positions : Tensor
        (B or 1, N, C) image tokens, and their positions.

    Returns
    -------
    Tensor
        (B, T, C).
    """
    count, n_tokens, dim = tokens.shape
    if not _folding_pays(attention, n_tokens):
        keys, values = _each(image + positions, count), _each(image, count)
        plain: Tensor = attention(tokens, keys, values)
        return plain
    looks = _folded(attention, attention.q_proj(tokens), attention.k_proj.weight)
    looks = looks.reshape(len(image), -1, dim)
    scores = in_blocks(lambda rows: _scores(looks, image, positions, rows), image, count, axis=2)
    seen = (torch.softmax(scores, -1) @ image).to(tokens.dtype)
    by_head = seen.reshape(count, attention.num_heads, n_tokens, dim).transpose(0, 1).flatten(1, 2)
    weight = attention.v_proj.weight.unflatten(0, (attention.num_heads, -1))
    taken = (by_head @ weight.transpose(1, 2)).unflatten(1, (count, n_tokens))
    joined = taken.permute(1, 2, 0, 3).flatten(2) + attention.v_proj.bias
    attended: Tensor = attention.out_proj(joined)
    return attended


def attend_from_image(
    attention: CrossAttention,
    norm: nn.LayerNorm,
    image: Tensor,
    positions: Tensor,
    keys: Tensor,
    values: Tensor,
) -> Tensor:
    """Attend from an image to tokens, add that to the image, and normalise.

    Equals ``norm(image + attention(image + positions, keys, values))``.

    Parameters
    ----------
    attention, norm : CrossAttention, nn.LayerNorm
        The weights.
    image, positions : Tensor
        (B or 1, N, C) image tokens, and their positions.
    keys, values : Tensor
        (B, T, C) tokens.

    Returns
    -------
    Tensor
        (B, N, C).
    """
    heads, (count, n_tokens, dim) = attention.num_heads, keys.shape
    if not _folding_pays(attention, n_tokens):
        told = attention(_each(image + positions, count), keys, values)
        return norm_like(norm, image + told)
    projected = attention.k_proj(keys)
    looks = _folded(attention, projected, attention.q_proj.weight)
    looks = looks.reshape(len(image), -1, dim)
    bias = (projected * attention.q_proj.bias).unflatten(2, (heads, -1)).sum(-1)
    bias = bias.transpose(1, 2)[..., None] / _root(attention)
    given = attention.v_proj(values).unflatten(2, (heads, -1)).permute(2, 0, 1, 3).flatten(1, 2)
    weight = attention.out_proj.weight.unflatten(1, (heads, -1)).permute(1, 2, 0)
    told = (given @ weight).unflatten(1, (count, n_tokens)).transpose(0, 1).flatten(1, 2)
    told = told + attention.out_proj.bias / heads  # the shares of each head add up to one
    bias, told = bias.to(image.dtype), told.to(image.dtype)

    def told_to(rows: slice) -> Tensor:
        scores = _scores(looks, image, positions, rows).reshape(count, heads, n_tokens, -1)
        shares = torch.softmax(scores + bias, 2).flatten(1, 2)
        return norm_like(norm, (shares.transpose(1, 2) @ told).add_(image[:, rows]))

    return in_blocks(told_to, image, count)


def _folding_pays(attention: CrossAttention, n_tokens: int) -> bool:
    return attention.num_heads * n_tokens < attention.q_proj.out_features


def _each(image: Tensor, count: int) -> Tensor:
    return image.expand(count, -1, -1)


def _folded(attention: CrossAttention, projected: Tensor, weight: Tensor) -> Tensor:
    """Bring projected tokens (B, T, inner) back through the other side's weight.

    Returns (B, heads T, C), whose products with image tokens are the scaled scores.
    """
    heads, (count, n_tokens, _) = attention.num_heads, projected.shape
    by_head = projected.unflatten(2, (heads, -1)).permute(2, 0, 1, 3).flatten(1, 2)
    folded = by_head @ weight.unflatten(0, (heads, -1)) / _root(attention)
    rows: Tensor = folded.unflatten(1, (count, n_tokens)).transpose(0, 1).flatten(1, 2)
    return rows


def _scores(looks: Tensor, image: Tensor, positions: Tensor, rows: slice) -> Tensor:
    """Return looks (B, L, C) times some of the image tokens (B, N, C), placed: (B, L, n)."""
    placed = image[:, rows] + positions[:, rows]
    return looks.to(placed.dtype) @ placed.transpose(1, 2)


def _root(attention: CrossAttention) -> float:
    width: int = attention.q_proj.out_features // attention.num_heads
    return float(width**0.5)
