"""What a small network is told about prompts beyond tokens: where they are, and what lies there.

A light decoder trained on little data finds it hard to learn where a click is from positional
encodings alone. Two inputs help: the image features under each point, added to the point's token,
and maps of the prompts (closeness to positive and negative points, inside of the box), added to the
image tokens. Interactive segmentation networks before SAM used such maps throughout (Sofiiuk et al.
2022).
"""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.nn import functional

from napari_sam.model.prompt_encoder import BACKGROUND, FOREGROUND, PADDING, token_centres

_RADII = (6.0, 24.0)
_MAPS = 2 * len(_RADII) + 2


class LocalPrompts(nn.Module):
    """Features under the points, and maps of points and boxes.

    Parameters
    ----------
    dim : int
        Width of the image embedding, C; skip features have C / 4 and C / 8 channels.
    stride : int
        Pixels along one side of an image token.
    """

    def __init__(self, dim: int, stride: int) -> None:
        super().__init__()
        self.stride = stride
        self.point_features = nn.Linear(dim + dim // 4 + dim // 8, dim)
        self.token_maps = nn.Conv2d(_MAPS, dim, 1)
        self.skip_maps = nn.Conv2d(_MAPS, dim // 4, 1)

    def sample(self, levels: tuple[Tensor, ...], points: Tensor, labels: Tensor) -> Tensor:
        """Project the image features under each point.

        Parameters
        ----------
        levels : tuple of Tensor
            (B, c, h, w) feature maps over the same field of view.
        points, labels : Tensor
            (B, N, 2) pixels (x, y) and (B, N).

        Returns
        -------
        Tensor
            (B, N, C); zero where the label is padding.
        """
        height, width = levels[0].shape[-2:]
        extent = points.new_tensor([width * self.stride, height * self.stride])
        grid = ((points + 0.5) / extent * 2 - 1)[:, :, None]
        sampled = [
            functional.grid_sample(level, grid, padding_mode="border", align_corners=False)
            for level in levels
        ]
        under = torch.cat(sampled, dim=1)[..., 0].transpose(1, 2)
        projected: Tensor = self.point_features(under)
        return projected * (labels != PADDING)[..., None].to(projected.dtype)

    def maps(
        self,
        points: Tensor | None,
        labels: Tensor | None,
        boxes: Tensor | None,
        grid: tuple[int, int],
        stride: int,
        count: int,
    ) -> Tensor:
        """Draw the prompts on a grid.

        Parameters
        ----------
        points, labels, boxes : Tensor or None
            As in `PromptEncoder`.
        grid : (int, int)
            Height and width of the grid, cells.
        stride : int
            Pixels along one side of a cell.
        count : int
            Number of objects, B.

        Returns
        -------
        Tensor
            (B, 6, height, width): closeness to positive, then negative points at two radii, the
            box's inside, and a constant that tells whether there is a box.
        """
        device = self.token_maps.weight.device
        centres = token_centres(*grid, stride, device).reshape(-1, 2)
        drawn = torch.zeros(count, _MAPS, len(centres), device=device)
        if points is not None and labels is not None:
            offset = centres[None, None] - (points + 0.5)[:, :, None]
            squared = (offset**2).sum(-1)
            for row, label in enumerate((FOREGROUND, BACKGROUND)):
                there = (labels == label)[..., None]
                for column, radius in enumerate(_RADII):
                    near = torch.exp(squared / (-2 * radius**2)) * there
                    drawn[:, row * len(_RADII) + column] = near.amax(dim=1)
        if boxes is not None:
            low, high = boxes[:, None, :2], boxes[:, None, 2:] + 1
            depth = torch.minimum(centres - low, high - centres).amin(-1)
            drawn[:, -2] = torch.sigmoid(depth / (stride / 2))
            drawn[:, -1] = 1
        maps: Tensor = drawn.unflatten(2, grid)
        return maps

    def forward(
        self,
        points: Tensor | None,
        labels: Tensor | None,
        boxes: Tensor | None,
        grid: tuple[int, int],
        count: int,
    ) -> tuple[Tensor, Tensor]:
        """Return what is added to image tokens (B, C, h, w) and to skips (B, C / 4, 2 h, 2 w)."""
        coarse = self.maps(points, labels, boxes, grid, self.stride, count)
        fine_grid = (2 * grid[0], 2 * grid[1])
        fine = self.maps(points, labels, boxes, fine_grid, self.stride // 2, count)
        return self.token_maps(coarse), self.skip_maps(fine)
