"""The instance decoder of micro-sam's models (Archit et al. 2025), with its files' tensor names.

A U-Net's decoder without the encoder's skips: all levels come from the image embedding alone. Facts
of the architecture are those of torch-em's UNETR without skip connections, from which the published
files stem; so is what looks odd, such as the middle channels that joins keep.
"""

from __future__ import annotations

import itertools
from collections.abc import Mapping

from torch import Tensor, cat, nn, tensor
from torch.nn import functional

from napari_sam.model.configs import UnetrConfig

_SIGNS = (1.0, -1.0, -1.0)
"""The files' maps are distances to the centre and from the boundary inwards, which are 0 in the
middle of an object; ours are closeness and depth, which are 1 there."""


class _Upsampler(nn.Module):
    """Twice the side: bilinear, then a mixing of channels."""

    def __init__(self, dim: int, out_dim: int) -> None:
        super().__init__()
        self.conv = nn.Conv2d(dim, out_dim, 1)

    def forward(self, x: Tensor) -> Tensor:
        larger = functional.interpolate(x, scale_factor=2.0, mode="bilinear", align_corners=False)
        mixed: Tensor = self.conv(larger)
        return mixed


class _TransposedUpsampler(nn.Module):
    """Twice the side by a transposed convolution."""

    def __init__(self, dim: int, out_dim: int) -> None:
        super().__init__()
        self.block = nn.ConvTranspose2d(dim, out_dim, 2, stride=2)

    def forward(self, x: Tensor) -> Tensor:
        larger: Tensor = self.block(x)
        return larger


class _NamedConv(nn.Module):
    """A 3 x 3 convolution, one name deeper than usual."""

    def __init__(self, dim: int) -> None:
        super().__init__()
        self.block = nn.Conv2d(dim, dim, 3, padding=1)

    def forward(self, x: Tensor) -> Tensor:
        convolved: Tensor = self.block(x)
        return convolved


class _Block(nn.Module):
    """Modules one after another, under the name ``block``."""

    def __init__(self, *modules: nn.Module) -> None:
        super().__init__()
        self.block = nn.Sequential(*modules)

    def forward(self, x: Tensor) -> Tensor:
        done: Tensor = self.block(x)
        return done


class _Levels(nn.Module):
    """The U-Net's upward path: each level is enlarged, joined with the embedding's, convolved."""

    def __init__(self, widths: tuple[int, ...], sampler: type[nn.Module]) -> None:
        super().__init__()
        pairs = list(itertools.pairwise(widths))
        self.blocks = nn.ModuleList(_conv_block(dim, out_dim) for dim, out_dim in pairs)
        self.samplers = nn.ModuleList(sampler(dim, out_dim) for dim, out_dim in pairs)

    def forward(self, x: Tensor, levels: list[Tensor]) -> Tensor:
        for block, sampler, level in zip(self.blocks, self.samplers, levels, strict=True):
            larger = sampler(x)
            x = block(cat([larger, _middle_channels(level, larger.shape[1])], dim=1))
        return x


class UnetrDecoder(nn.Module):
    """Three maps from the image embedding of an official encoder.

    Parameters
    ----------
    dim : int
        Width of the image embedding, C.
    config : UnetrConfig
        The decoder's shape.
    """

    stride = 1
    """Input pixels along one side of a map's pixel."""

    def __init__(self, dim: int, config: UnetrConfig) -> None:
        super().__init__()
        widths = config.widths
        sampler = _TransposedUpsampler if config.transposed else _Upsampler
        sources = (dim, *widths[:-1])
        for level, (source, width) in enumerate(zip(sources, widths, strict=True), start=1):
            enlarged = _Block(
                sampler(source, width), _NamedConv(width), nn.BatchNorm2d(width), nn.ReLU()
            )
            self.add_module(f"deconv{level}", enlarged)
        self.base = _conv_block(dim, widths[0])
        self.decoder = _Levels(widths, sampler)
        self.deconv_out = sampler(widths[-1], widths[-1])
        self.decoder_head = _conv_block(2 * widths[-1], widths[-1])
        self.out_conv = nn.Conv2d(widths[-1], 3, 1)
        self._n_levels = len(widths)

    def forward(self, features: Tensor, skips: tuple[Tensor, ...] = ()) -> Tensor:  # noqa: ARG002
        """Predict the maps.

        Parameters
        ----------
        features : Tensor
            (B, C, h, w).
        skips : tuple of Tensor
            Not used.

        Returns
        -------
        Tensor
            (B, 3, 16 h, 16 w) logits of foreground, of closeness to the object's centre and of
            depth, as those of `InstanceDecoder`.
        """
        levels = [features]
        for level in range(1, self._n_levels + 1):
            levels.append(self.get_submodule(f"deconv{level}")(levels[-1]))
        x = self.decoder(self.base(features), levels[1:-1])
        x = self.decoder_head(cat([self.deconv_out(x), levels[-1]], dim=1))
        maps: Tensor = self.out_conv(x)
        return maps * tensor(_SIGNS, device=maps.device, dtype=maps.dtype)[:, None, None]


def unetr_config(tensors: Mapping[str, Tensor]) -> UnetrConfig:
    """Read a decoder's shape off its tensors, named as in `UnetrDecoder`.

    Raises
    ------
    KeyError
        If a tensor that tells the shape is missing.
    """
    widths: list[int] = []
    while f"deconv{len(widths) + 1}.block.1.block.weight" in tensors:
        widths.append(tensors[f"deconv{len(widths) + 1}.block.1.block.weight"].shape[0])
    if not widths:
        raise KeyError("deconv1.block.1.block.weight")
    return UnetrConfig(widths=tuple(widths), transposed="deconv_out.block.weight" in tensors)


def _conv_block(dim: int, out_dim: int) -> _Block:
    return _Block(
        nn.InstanceNorm2d(dim),
        nn.Conv2d(dim, out_dim, 3, padding=1),
        nn.ReLU(),
        nn.InstanceNorm2d(out_dim),
        nn.Conv2d(out_dim, out_dim, 3, padding=1),
        nn.ReLU(),
    )


def _middle_channels(x: Tensor, count: int) -> Tensor:
    first = (x.shape[1] - count) // 2
    return x[:, first : first + count]
