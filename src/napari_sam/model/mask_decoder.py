"""Image and prompt embeddings to masks and predicted IoU (Kirillov et al. 2023, appendix A)."""

from __future__ import annotations

from typing import NamedTuple, cast

import torch
from torch import Tensor, nn
from torch.nn import functional

from napari_sam.model.blocks import in_blocks
from napari_sam.model.configs import DecoderConfig
from napari_sam.model.image_tokens import ImageTokens, as_map
from napari_sam.model.layers import MLP, LayerNorm2d, norm_like
from napari_sam.model.mask_scorer import MaskScorer
from napari_sam.model.two_way_transformer import TwoWayTransformer

_Upscaling = tuple[nn.ConvTranspose2d, LayerNorm2d, nn.Module, nn.ConvTranspose2d, nn.Module]


class MaskDecoder(nn.Module):
    """Predict candidate masks at a quarter of the image tokens' stride.

    Parameters
    ----------
    dim : int
        Width of the embeddings, C.
    config : DecoderConfig
        Transformer, candidates and IoU head.
    """

    def __init__(self, dim: int, config: DecoderConfig) -> None:
        super().__init__()
        self.transformer = TwoWayTransformer(dim, config)
        self.num_mask_tokens = config.num_multimask_outputs + 1
        self.iou_token = nn.Embedding(1, dim)
        self.mask_tokens = nn.Embedding(self.num_mask_tokens, dim)
        self.output_upscaling = nn.Sequential(
            nn.ConvTranspose2d(dim, dim // 4, kernel_size=2, stride=2),
            LayerNorm2d(dim // 4),
            nn.GELU(),
            nn.ConvTranspose2d(dim // 4, dim // 8, kernel_size=2, stride=2),
            nn.GELU(),
        )
        self.output_hypernetworks_mlps = nn.ModuleList(
            MLP(dim, dim, dim // 8, 3) for _ in range(self.num_mask_tokens)
        )
        self.iou_prediction_head = MLP(
            dim, config.iou_head_hidden_dim, self.num_mask_tokens, config.iou_head_depth
        )
        self.mask_scorer = MaskScorer(dim) if config.mask_scorer else None

    def forward(self, image: ImageTokens, sparse: Tensor) -> tuple[Tensor, Tensor]:
        """Decode B objects into all their candidates.

        Parameters
        ----------
        image : ImageTokens
            Of one image for all, or of one for each; dense prompts are added to its features. They
            may be of half precision; answers are float32.
        sparse : Tensor
            (B, T, C) prompt tokens.

        Returns
        -------
        logits : Tensor
            (B, 1 + candidates, 4 h, 4 w); the first is the answer to an unambiguous prompt.
        predicted_iou : Tensor
            (B, 1 + candidates).
        """
        tokens, seen = self.exchange(image, sparse)
        pixels = self.upscale(seen, image)
        weights = self.mask_weights(tokens).to(pixels.dtype)
        logits = (weights @ pixels.flatten(1, -2).transpose(1, 2)).to(tokens.dtype)
        predicted_iou = self.iou_prediction_head(tokens[:, 0])
        if self.mask_scorer is not None:
            predicted_iou = predicted_iou + self.mask_scorer(tokens, logits, pixels.flatten(1, -2))
        return _as_maps(logits, image.grid), predicted_iou

    def above(
        self, image: ImageTokens, sparse: Tensor, least_iou: float
    ) -> tuple[Tensor, Tensor, Tensor, Tensor]:
        """Decode B objects, and draw only the candidates that are expected to be good.

        Parameters
        ----------
        image, sparse
            As in `forward`.
        least_iou : float
            Candidates with a higher predicted IoU are drawn; never the unambiguous answer.

        Returns
        -------
        logits : Tensor
            (K, 4 h, 4 w).
        predicted_iou, objects : Tensor
            (K,) and (K,), the index of the object that each is a candidate of.
        best_iou : Tensor
            (B,) highest predicted IoU of each object's candidates, drawn or not.
        """
        if self.mask_scorer is not None:  # it judges masks that are drawn
            all_logits, scores = self(image, sparse)
            objects, candidates = torch.nonzero(scores[:, 1:] > least_iou, as_tuple=True)
            chosen = (objects, candidates + 1)
            return all_logits[chosen], scores[chosen], objects, scores[:, 1:].amax(1)
        tokens, seen = self.exchange(image, sparse)
        scores = self.iou_prediction_head(tokens[:, 0])
        good = scores[:, 1:] > least_iou
        some = torch.nonzero(good.any(1))[:, 0]
        if len(some) < len(good):
            seen, image = seen[some], image.chosen(some)
        of_some, candidates = torch.nonzero(good[some], as_tuple=True)
        flat = self.draw(seen, image, self.mask_weights(tokens[some])[:, 1:])[of_some, candidates]
        objects = some[of_some]
        logits = _as_maps(flat[:, None], image.grid)[:, 0].to(tokens.dtype)
        return logits, scores[objects, candidates + 1], objects, scores[:, 1:].amax(1)

    def exchange(self, image: ImageTokens, sparse: Tensor) -> tuple[Tensor, Tensor]:
        """Let prompts and image tell each other what they know.

        Parameters
        ----------
        image, sparse
            As in `forward`.

        Returns
        -------
        tokens, seen : Tensor
            (B, 1 + masks, C), of the IoU and of each mask; and the image tokens (B, h w, C).
        """
        output = torch.cat([self.iou_token.weight, self.mask_tokens.weight])
        tokens = torch.cat([output.expand(len(sparse), -1, -1), sparse], dim=1)
        exchanged: tuple[Tensor, Tensor] = self.transformer(
            tokens,
            image.features.flatten(1, 2),
            image.positions.flatten(1, 2),
            1 + self.num_mask_tokens,
        )
        return exchanged

    def mask_weights(self, tokens: Tensor) -> Tensor:
        """Return what each mask weighs the upscaled pixels with, (B, 1 + candidates, C / 8)."""
        mlps = enumerate(self.output_hypernetworks_mlps, start=1)
        return torch.stack([mlp(tokens[:, index]) for index, mlp in mlps], dim=1)

    def draw(self, seen: Tensor, image: ImageTokens, weights: Tensor) -> Tensor:
        """Draw masks, and keep none of the pixels that they are made of.

        Parameters
        ----------
        seen, image
            As in `upscale`.
        weights : Tensor
            (B, M, C / 8), see `mask_weights`.

        Returns
        -------
        Tensor
            (B, M, h w, 2, 2, 2, 2) logits.
        """
        skips, doubled = _by_token(image.skips), self._doublings(seen.dtype)
        weights = weights.to(seen.dtype)

        def drawn(rows: slice) -> Tensor:
            pixels = self._upscaled(seen[:, rows], tuple(skip[:, rows] for skip in skips), doubled)
            logits = weights @ pixels.flatten(1, -2).transpose(1, 2)
            unflattened: Tensor = logits.unflatten(2, pixels.shape[1:-1])
            return unflattened

        return in_blocks(drawn, seen, len(seen), axis=2)

    def upscale(self, seen: Tensor, image: ImageTokens) -> Tensor:
        """Double the resolution of image tokens twice.

        Parameters
        ----------
        seen : Tensor
            (B, h w, C) image tokens after the exchange.
        image : ImageTokens
            Its skips, if there are any, are added on the way.

        Returns
        -------
        Tensor
            (B, h w, 2, 2, 2, 2, C / 8).
        """
        return self._upscaled(seen, _by_token(image.skips), self._doublings(seen.dtype))

    def _doublings(self, dtype: torch.dtype) -> tuple[_Doubling, _Doubling]:
        first, _, _, second, _ = cast("_Upscaling", tuple(self.output_upscaling))
        return _Doubling.of(first, dtype), _Doubling.of(second, dtype)

    def _upscaled(
        self, seen: Tensor, skips: tuple[Tensor, ...], doubled: tuple[_Doubling, _Doubling]
    ) -> Tensor:
        """Upscale some tokens (B, n, C), with their skips (B or 1, n, 2, 2, ...)."""
        _, norm, act, _, last_act = cast("_Upscaling", tuple(self.output_upscaling))
        pixels = doubled[0](seen)
        if skips:
            pixels = pixels + skips[0]
        pixels = doubled[1](act(norm_like(norm, pixels)))
        if skips:
            pixels = pixels + skips[1]
        upscaled: Tensor = last_act(pixels)
        return upscaled


class _Doubling(NamedTuple):
    """A transposed convolution of kernel and stride 2: without overlap, so a matrix product.

    `matrix` is (4 C', C) and `bias` (4 C',).
    """

    matrix: Tensor
    bias: Tensor

    @classmethod
    def of(cls, conv: nn.ConvTranspose2d, dtype: torch.dtype) -> _Doubling:
        """Lay out its weights."""
        bias = cast("Tensor", conv.bias)
        matrix = conv.weight.permute(2, 3, 1, 0).flatten(0, 2)
        return cls(matrix.to(dtype), bias.repeat(4).to(dtype))

    def __call__(self, pixels: Tensor) -> Tensor:
        """Map pixels (..., C) to (..., 2, 2, C')."""
        doubled: Tensor = functional.linear(pixels, *self).unflatten(-1, (2, 2, -1))
        return doubled


def _by_token(skips: tuple[Tensor, ...]) -> tuple[Tensor, ...]:
    """Lay skips (B, h, w, ...) out as the tokens are, (B, h w, ...)."""
    return tuple(skip.flatten(1, 2) for skip in skips)


def _as_maps(logits: Tensor, grid: tuple[int, int]) -> Tensor:
    """Bring (B, M, 16 h w) in the order of tokens into maps (B, M, 4 h, 4 w)."""
    return as_map(logits.flatten(2).transpose(1, 2).unflatten(1, (*grid, 2, 2, 2, 2)))
