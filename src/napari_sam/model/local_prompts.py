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

from napari_sam.model.image_tokens import ImageTokens, by_token, sample
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

    def sample(self, image: ImageTokens, points: Tensor, labels: Tensor) -> Tensor:
        """Project the image features under each point.

        Parameters
        ----------
        image : ImageTokens
            Of one image for all objects, or of one for each.
        points, labels : Tensor
            (B, N, 2) pixels (x, y) and (B, N).

        Returns
        -------
        Tensor
            (B, N, C); zero where the label is padding.
        """
        levels = (image.features, *image.skips)
        under = torch.cat([sample(level, points, self.stride) for level in levels], dim=-1)
        projected: Tensor = self.point_features(under)
        return projected * (labels != PADDING)[..., None].to(projected.dtype)

    def maps(
        self, points: Tensor | None, labels: Tensor | None, boxes: Tensor | None, cells: Tensor
    ) -> Tensor:
        """Draw the prompts on the cells of a grid.

        Parameters
        ----------
        points, labels, boxes : Tensor or None
            As in `PromptEncoder`, of B objects.
        cells : Tensor
            (..., 2) centres (x, y) of the cells, pixels; the first dimensions are height and width
            in tokens.

        Returns
        -------
        Tensor
            (B, ..., 6): closeness to positive, then negative points at two radii, the box's inside,
            and a constant that tells whether there is a box.
        """
        count = next((len(given) for given in (points, boxes) if given is not None), 1)
        centres = cells.reshape(-1, 2)
        drawn = centres.new_zeros(count, _MAPS, len(centres))
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
            side = self.stride / (cells.ndim - 2)
            drawn[:, -2] = torch.sigmoid(depth / (side / 2))
            drawn[:, -1] = 1
        maps: Tensor = drawn.transpose(1, 2).unflatten(1, cells.shape[:-1])
        return maps

    def forward(
        self,
        image: ImageTokens,
        points: Tensor | None,
        labels: Tensor | None,
        boxes: Tensor | None,
    ) -> ImageTokens:
        """Return the image with maps of the prompts added to its features and finer features."""
        device, (height, width) = image.features.device, image.grid
        coarse = token_centres(height, width, self.stride, device)
        fine = token_centres(2 * height, 2 * width, self.stride // 2, device)
        fine = by_token(fine.permute(2, 0, 1)[None], 1)[0]
        on_tokens = _weighed(self.maps(points, labels, boxes, coarse), self.token_maps)
        on_skips = _weighed(self.maps(points, labels, boxes, fine), self.skip_maps)
        return image._replace(
            features=image.features + on_tokens.to(image.dtype),
            skips=(image.skips[0] + on_skips.to(image.dtype), image.skips[1]),
        )


def _weighed(maps: Tensor, conv: nn.Conv2d) -> Tensor:
    """Apply a convolution of kernel 1 to (..., c)."""
    return functional.linear(maps, conv.weight.flatten(1), conv.bias)
