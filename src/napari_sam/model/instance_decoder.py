"""Dense maps from which all instances follow without prompts.

Foreground, distance to the object's centre and distance to its boundary, as in the automatic
instance segmentation of micro-sam (Archit et al. 2025); seeds and watershed live in
`napari_sam.segmentation.instances`.
"""

from __future__ import annotations

from torch import Tensor, cat, nn

from napari_sam.model.layers import ConvNorm, upsample_like


class InstanceDecoder(nn.Module):
    """Three maps from the embedding and its skip features.

    Parameters
    ----------
    dim : int
        Width of the image embedding, C; skips have C / 4 and C / 8 channels.
    stride : int
        Input pixels along one side of a map's pixel, s: 1 or 2.
    """

    def __init__(self, dim: int, stride: int = 1) -> None:
        super().__init__()
        self.stride = stride
        self.reduce = ConvNorm(dim, dim // 2, kernel=1)
        self.fuse_4 = ConvNorm(dim // 2 + dim // 4, dim // 2)
        self.narrow = ConvNorm(dim // 2, dim // 4, kernel=1)
        self.fuse_2 = ConvNorm(dim // 4 + dim // 8, dim // 4)
        finer = 2 // stride
        self.head = nn.Conv2d(dim // 4, 3 * finer**2, 1)
        self.unfold = nn.PixelShuffle(finer)

    def forward(self, features: Tensor, skips: tuple[Tensor, ...]) -> Tensor:
        """Predict the maps.

        Parameters
        ----------
        features : Tensor
            (B, C, H / 8, W / 8).
        skips : tuple of Tensor
            (B, C / 4, H / 4, W / 4) and (B, C / 8, H / 2, W / 2).

        Returns
        -------
        Tensor
            (B, 3, H / s, W / s) logits of foreground, of closeness to the object's centre (1 there,
            0 at its farthest pixel) and of depth (0 at the boundary, 1 at the innermost pixel).
        """
        skip_4, skip_2 = skips
        x = self.reduce(features)
        x = self.fuse_4(cat([upsample_like(x, skip_4), skip_4], dim=1))
        x = self.narrow(x)
        x = self.fuse_2(cat([upsample_like(x, skip_2), skip_2], dim=1))
        maps: Tensor = self.unfold(self.head(x))
        return maps
