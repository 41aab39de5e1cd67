"""The image encoder of `nano`: a residual network with a feature pyramid, for CPUs.

Plain 3x3 convolutions (He et al. 2016) and top-down fusion (Lin et al. 2017). Stride 8 carries the
embedding; strides 4 and 2 go to the mask decoder as skip features, as in SAM 2 (Ravi et al. 2024).
"""

from __future__ import annotations

from torch import Tensor, nn

from napari_sam.model.configs import ConvEncoderConfig
from napari_sam.model.layers import ConvNorm, ResidualBlock, upsample_like


class ConvImageEncoder(nn.Module):
    """A pyramid of features from pixels of any size.

    Parameters
    ----------
    config : ConvEncoderConfig
        Widths and depths.
    """

    def __init__(self, config: ConvEncoderConfig) -> None:
        super().__init__()
        widths, dim = config.channels, config.out_channels
        self.stem = ConvNorm(3, widths[0], stride=2)
        self.stages = nn.ModuleList(
            _stage(before, after, count, stride=2 if index else 1)
            for index, (before, after, count) in enumerate(
                zip((widths[0], *widths[:-1]), widths, config.blocks, strict=True)
            )
        )
        self.laterals = nn.ModuleList(nn.Conv2d(width, dim, 1) for width in widths[2:])
        self.smooth = nn.ModuleList(ConvNorm(dim, dim) for _ in widths[2:-1])
        self.neck = nn.Conv2d(dim, dim, 1)
        self.skip_4 = _Skip(dim, widths[1], dim // 4)
        self.skip_2 = _Skip(dim // 4, widths[0], dim // 8)

    def forward(self, x: Tensor) -> tuple[Tensor, tuple[Tensor, ...]]:
        """Encode normalised pixels.

        Parameters
        ----------
        x : Tensor
            (B, 3, H, W), H and W multiples of 32.

        Returns
        -------
        features : Tensor
            (B, out_channels, H / 8, W / 8).
        high_res_features : tuple of Tensor
            (B, out_channels / 4, H / 4, W / 4) and (B, out_channels / 8, H / 2, W / 2).
        """
        x = self.stem(x)
        pyramid = []
        for stage in self.stages:
            x = stage(x)
            pyramid.append(x)
        stride_2, stride_4, *deep = pyramid
        top = self.laterals[-1](deep[-1])
        for level in reversed(range(len(deep) - 1)):
            lateral = self.laterals[level](deep[level])
            top = self.smooth[level](lateral + upsample_like(top, lateral))
        features = self.neck(top)
        skip_4 = self.skip_4(top, stride_4)
        skip_2 = self.skip_2(skip_4, stride_2)
        return features, (skip_4, skip_2)


def _stage(before: int, after: int, count: int, *, stride: int) -> nn.Sequential:
    first = ResidualBlock(before, after, stride=stride)
    return nn.Sequential(first, *(ResidualBlock(after, after) for _ in range(count - 1)))


class _Skip(nn.Module):
    """Fuse a coarse map into the finer one below it."""

    def __init__(self, coarse_channels: int, fine_channels: int, out_channels: int) -> None:
        super().__init__()
        self.from_coarse = nn.Conv2d(coarse_channels, out_channels, 1)
        self.from_fine = nn.Conv2d(fine_channels, out_channels, 1, bias=False)
        self.smooth = ConvNorm(out_channels, out_channels)

    def forward(self, coarse: Tensor, fine: Tensor) -> Tensor:
        """Map (B, c, h / 2, w / 2) and (B, d, h, w) to (B, out_channels, h, w)."""
        detail = self.from_fine(fine)
        fused: Tensor = detail + upsample_like(self.from_coarse(coarse), detail)
        smoothed: Tensor = fused + self.smooth(fused)
        return smoothed
