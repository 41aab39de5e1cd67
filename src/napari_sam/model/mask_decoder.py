"""Image and prompt embeddings to masks and predicted IoU (Kirillov et al. 2023, appendix A)."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from napari_sam.model.configs import DecoderConfig
from napari_sam.model.layers import MLP, LayerNorm2d
from napari_sam.model.mask_scorer import MaskScorer
from napari_sam.model.two_way_transformer import TwoWayTransformer


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

    def forward(
        self,
        features: Tensor,
        image_pe: Tensor,
        sparse: Tensor,
        skips: tuple[Tensor, Tensor] | None = None,
    ) -> tuple[Tensor, Tensor]:
        """Decode B objects into all their candidates.

        Parameters
        ----------
        features : Tensor
            (B, C, h, w) image embedding plus dense prompts.
        image_pe : Tensor
            (B or 1, C, h, w) positions of the image tokens.
        sparse : Tensor
            (B, T, C) prompt tokens.
        skips : tuple of Tensor, optional
            (B or 1, C / 4, 2 h, 2 w) and (B or 1, C / 8, 4 h, 4 w), added while upscaling.

        Returns
        -------
        logits : Tensor
            (B, 1 + candidates, 4 h, 4 w); the first is the answer to an unambiguous prompt.
        predicted_iou : Tensor
            (B, 1 + candidates).
        """
        output = torch.cat([self.iou_token.weight, self.mask_tokens.weight])
        tokens = torch.cat([output.expand(len(sparse), -1, -1), sparse], dim=1)
        tokens, image = self.transformer(
            tokens, features.flatten(2).transpose(1, 2), image_pe.flatten(2).transpose(1, 2)
        )
        upscaled = self._upscale(image.transpose(1, 2).unflatten(2, features.shape[-2:]), skips)
        weights = torch.stack(
            [mlp(tokens[:, 1 + i]) for i, mlp in enumerate(self.output_hypernetworks_mlps)], dim=1
        )
        logits = (weights @ upscaled.flatten(2)).unflatten(2, upscaled.shape[-2:])
        predicted_iou = self.iou_prediction_head(tokens[:, 0])
        if self.mask_scorer is not None:
            seen = tokens[:, : 1 + self.num_mask_tokens]
            predicted_iou = predicted_iou + self.mask_scorer(seen, logits, upscaled)
        return logits, predicted_iou

    def _upscale(self, image: Tensor, skips: tuple[Tensor, Tensor] | None) -> Tensor:
        first, norm, act, second, last_act = self.output_upscaling
        image = first(image)
        if skips is not None:
            image = image + skips[0]
        image = second(act(norm(image)))
        if skips is not None:
            image = image + skips[1]
        upscaled: Tensor = last_act(image)
        return upscaled
