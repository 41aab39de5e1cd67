"""Building blocks shared by the encoders and the decoders."""

from __future__ import annotations

import itertools
from collections.abc import Callable

import torch
from torch import Tensor, nn
from torch.nn import functional


class LayerNorm2d(nn.Module):
    """Layer normalisation over the channels of a (B, C, H, W) map.

    Parameters
    ----------
    channels : int
        C.
    eps : float
        Added to the variance.
    """

    def __init__(self, channels: int, eps: float = 1e-6) -> None:
        super().__init__()
        self.weight = nn.Parameter(torch.ones(channels))
        self.bias = nn.Parameter(torch.zeros(channels))
        self.eps = eps

    def forward(self, x: Tensor) -> Tensor:
        """Normalise x (B, C, H, W) over C at every pixel."""
        return norm_like(self, x.permute(0, 2, 3, 1)).permute(0, 3, 1, 2)


class MLPBlock(nn.Module):
    """The two-layer perceptron of a transformer block.

    Parameters
    ----------
    dim, hidden_dim : int
        Width outside and inside.
    activation : nn.Module
        Between the two linear maps.
    """

    def __init__(self, dim: int, hidden_dim: int, activation: nn.Module) -> None:
        super().__init__()
        self.lin1 = nn.Linear(dim, hidden_dim)
        self.lin2 = nn.Linear(hidden_dim, dim)
        self.act = activation

    def forward(self, x: Tensor) -> Tensor:
        """Map x (..., dim) to the same shape."""
        mapped: Tensor = self.lin2(self.act(self.lin1(x)))
        return mapped


class MLP(nn.Module):
    """A perceptron with ReLU between its layers (hypernetworks, IoU head).

    Parameters
    ----------
    input_dim, hidden_dim, output_dim : int
        Widths.
    num_layers : int
        Number of linear maps.
    """

    def __init__(self, input_dim: int, hidden_dim: int, output_dim: int, num_layers: int) -> None:
        super().__init__()
        widths = [input_dim, *[hidden_dim] * (num_layers - 1), output_dim]
        self.layers = nn.ModuleList(
            nn.Linear(before, after) for before, after in itertools.pairwise(widths)
        )

    def forward(self, x: Tensor) -> Tensor:
        """Map x (..., input_dim) to (..., output_dim)."""
        *hidden, last = self.layers
        for layer in hidden:
            x = functional.relu(layer(x))
        mapped: Tensor = last(x)
        return mapped


class ConvNorm(nn.Sequential):
    """3x3 (or 1x1) convolution without bias, batch norm, and optionally ReLU."""

    def __init__(
        self,
        in_channels: int,
        out_channels: int,
        *,
        kernel: int = 3,
        stride: int = 1,
        relu: bool = True,
    ) -> None:
        layers: list[nn.Module] = [
            nn.Conv2d(in_channels, out_channels, kernel, stride, kernel // 2, bias=False),
            nn.BatchNorm2d(out_channels),
        ]
        if relu:
            layers.append(nn.ReLU(inplace=True))
        super().__init__(*layers)


class ResidualBlock(nn.Module):
    """Two 3x3 convolutions beside a shortcut (He et al. 2016)."""

    def __init__(self, in_channels: int, out_channels: int, *, stride: int = 1) -> None:
        super().__init__()
        self.conv1 = ConvNorm(in_channels, out_channels, stride=stride)
        self.conv2 = ConvNorm(out_channels, out_channels, relu=False)
        same = stride == 1 and in_channels == out_channels
        self.shortcut = (
            nn.Identity()
            if same
            else ConvNorm(in_channels, out_channels, kernel=1, stride=stride, relu=False)
        )

    def forward(self, x: Tensor) -> Tensor:
        """Map x (B, in_channels, H, W) to (B, out_channels, H / stride, W / stride)."""
        return functional.relu(self.conv2(self.conv1(x)) + self.shortcut(x))


def linear_like(layer: nn.Linear, x: Tensor) -> Tensor:
    """Apply a linear layer in the precision of x (..., C)."""
    return functional.linear(x, layer.weight.to(x.dtype), layer.bias.to(x.dtype))


def norm_like(norm: nn.LayerNorm | LayerNorm2d, x: Tensor) -> Tensor:
    """Normalise x (..., C) over C, in its precision; autocast has its own way."""
    weight: Tensor = norm.weight
    bias: Tensor = norm.bias
    if not torch.is_autocast_enabled(x.device.type):
        weight, bias = weight.to(x.dtype), bias.to(x.dtype)
    return functional.layer_norm(x, weight.shape, weight, bias, norm.eps)


def upsample_like(x: Tensor, other: Tensor) -> Tensor:
    """Resize x (B, C, h, w) bilinearly to the height and width of `other`."""
    return functional.interpolate(x, size=other.shape[-2:], mode="bilinear", align_corners=False)


def correction(width: int, hidden: int, activation: Callable[[], nn.Module]) -> nn.Sequential:
    """Build a perceptron of two hidden layers to one number, which is zero before training."""
    first, second, last = nn.Linear(width, hidden), nn.Linear(hidden, hidden), nn.Linear(hidden, 1)
    nn.init.zeros_(last.weight)
    nn.init.zeros_(last.bias)
    return nn.Sequential(first, activation(), second, activation(), last)
