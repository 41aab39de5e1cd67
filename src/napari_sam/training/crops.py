"""Random views of samples: scaled, turned and mirrored, drawn on any device."""

from __future__ import annotations

from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor
from torch.nn import functional

from napari_sam.training.samples import GRAYS, Sample

_OVERHANG = 1.5
"""A view may be this much larger than the sample's shorter side."""
_ABOUT = 1.5
"""A view of a whole sample may be this much larger or smaller than one that just holds it."""
_MARGIN = 4
"""Pixels kept around what a view shows of a sample."""
_FINER = 0.75
"""Scale under which several pixels are averaged for one of a view."""


class Look(NamedTuple):
    """Where a view looks at a sample, and how its grays are stretched.

    Attributes
    ----------
    sample : Sample
        What is looked at.
    centre : tuple of float
        Row and column of the sample in the middle of the view.
    down, right : tuple of float
        Rows and columns of the sample along one pixel of the view downwards, and to the right.
    scale : float
        Pixels of the view along one of the sample.
    black, white : float
        Intensities of a gray image that become 0 and 1.
    """

    sample: Sample
    centre: tuple[float, float]
    down: tuple[float, float]
    right: tuple[float, float]
    scale: float
    black: float = 0.0
    white: float = 255.0


@dataclass(frozen=True, kw_only=True, eq=False)
class Crops:
    """What several views show.

    Attributes
    ----------
    images : Tensor
        (B, 3, S, S) float32 in 0 ... 1; gray ones have three equal channels.
    labels : Tensor
        (B, S, S) int32.
    nested : Tensor
        (B, S, S) int32, objects that contain those of `labels`; zero where there are none.
    inside : Tensor
        (B, S, S) bool, where a view shows its sample and not what lies around.
    """

    images: Tensor
    labels: Tensor
    nested: Tensor
    inside: Tensor


def draw_look(
    sample: Sample,
    rng: np.random.Generator,
    *,
    size: int,
    diameter: float | None,
    spread: float = 0.5,
) -> Look:
    """Choose how to look at a sample.

    Parameters
    ----------
    sample : Sample
        Where from.
    rng : Generator
        Decides everything.
    size : int
        Height and width of the view, pixels.
    diameter : float or None
        Typical diameter of an object in the view, pixels; None shows about the whole sample.
    spread : float
        Standard deviation of the logarithm of the scale around it.
    """
    shape = sample.labels.shape
    drawn = float(np.exp(rng.normal(0, spread)))
    scale = _scale(sample, size, diameter, drawn)
    angle = rng.choice([0, 90, 180, 270]) + (rng.uniform(-45, 45) if rng.random() < 0.5 else 0)
    cos, sin = np.cos(np.deg2rad(angle)) / scale, np.sin(np.deg2rad(angle)) / scale
    flip = rng.choice([-1, 1])
    centre = [_along(rng, length, size / scale) for length in shape]
    black, white = 0.0, 255.0
    if sample.image.ndim == 2:
        at = rng.uniform(0, 2), rng.uniform(98.5, 100)
        black, white = map(float, np.interp(at, GRAYS, sample.grays))
    return Look(
        sample=sample,
        centre=(centre[0], centre[1]),
        down=(float(cos), float(sin)),
        right=(float(-sin * flip), float(cos * flip)),
        scale=scale,
        black=black,
        white=white,
    )


def _scale(sample: Sample, size: int, diameter: float | None, drawn: float) -> float:
    """Return the scale that shows objects at a diameter, or the whole sample, times one drawn."""
    shape = sample.labels.shape
    if diameter is None:
        return float(size / max(shape) * min(max(drawn, 1 / _ABOUT), _ABOUT))
    least = size / min(shape) / _OVERHANG
    return float(min(max(diameter / sample.diameter * drawn, 0.25, least), max(4.0, least)))


def _along(rng: np.random.Generator, length: int, span: float) -> float:
    """Choose the centre of a view of `span` pixels on an axis of `length` pixels."""
    if span >= length:
        return length / 2
    return float(rng.uniform(span / 2, length - span / 2))


class Shelf:
    """Samples on a device, kept there while there is room.

    Parameters
    ----------
    device : torch.device
        Where views are drawn.
    """

    def __init__(self, device: torch.device) -> None:
        self.device = device
        self._room = 0
        if device.type == "cuda":
            self._room = torch.cuda.mem_get_info(device)[0] // 4
        self._kept: dict[Sample, tuple[Tensor, Tensor, Tensor | None]] = {}

    def layers(self, sample: Sample) -> tuple[Tensor, Tensor, Tensor | None]:
        """Return image (H, W, 1 or 3), labels (H, W) and nested objects on the device."""
        if sample in self._kept:
            return self._kept[sample]
        image = sample.shown[..., None] if sample.image.ndim == 2 else sample.shown
        nested = None if sample.nested is None else _tensor(sample.nested).to(self.device)
        layers = _tensor(image).to(self.device), _tensor(sample.labels).to(self.device), nested
        needed = sum(layer.nbytes for layer in layers if layer is not None)
        if needed <= self._room:
            self._room -= needed
            self._kept[sample] = layers
        return layers


def _tensor(values: NDArray[np.generic]) -> Tensor:
    """Return an array as a tensor; torch does little with wide unsigned integers."""
    if values.dtype.kind == "u" and values.dtype.itemsize > 1:
        values = values.astype(np.int32)
    return torch.from_numpy(np.ascontiguousarray(values))


def draw_crops(looks: list[Look], size: int, shelf: Shelf) -> Crops:
    """Look at samples.

    Parameters
    ----------
    looks : list of Look
        Where.
    size : int
        Height and width of the views, pixels.
    shelf : Shelf
        Holds the samples, and says on which device the views are drawn.
    """
    places = _places(looks, size).to(shelf.device)
    extents = torch.tensor([look.sample.labels.shape for look in looks]).to(shelf.device)
    inside = ((places >= 0) & (places < extents[:, None, None])).all(-1)
    nearest = places.long().clamp(min=0).minimum(extents[:, None, None] - 1)
    shown = [_parts_shown(look, size) for look in looks]
    starts, lengths = torch.tensor(shown).to(shelf.device)[:, None, None].unbind(-1)
    grids = ((places - starts) / lengths * 2 - 1).flip(-1)
    images, labels, nested = [], [], []
    for look, part, grid, pixels in zip(looks, shown, grids, nearest.unbind(), strict=True):
        image, objects, wholes = shelf.layers(look.sample)
        images.append(_image(image, part, look.scale, grid))
        rows, cols = pixels.unbind(-1)
        labels.append(objects[rows, cols].int())
        nested.append(None if wholes is None else wholes[rows, cols].int())
    nothing = torch.zeros_like(labels[0])
    grays = torch.tensor([(look.black, look.white) for look in looks]).to(shelf.device)
    black, white = grays.T[:, :, None, None, None]
    stretched = (torch.stack(images) - black) / (white - black).clamp(min=1e-6)
    return Crops(
        images=stretched.clamp(0, 1) * inside[:, None],
        labels=torch.stack(labels) * inside,
        nested=torch.stack([nothing if there is None else there for there in nested]) * inside,
        inside=inside,
    )


def _places(looks: list[Look], size: int) -> Tensor:
    """Return which place, row and column of its sample, each pixel shows, (B, size, size, 2)."""
    away = torch.arange(size) + 0.5 - size / 2
    ways = torch.tensor([(look.centre, look.down, look.right) for look in looks])
    centre, down, right = ways[:, None, None].unbind(-2)
    return centre + away[:, None, None] * down + away[None, :, None] * right


def _parts_shown(look: Look, size: int) -> tuple[tuple[int, int], tuple[int, int]]:
    """Return first row and number of rows that a view shows of a sample, and a margin; columns."""
    reach = (np.abs(look.down) + np.abs(look.right)) * size / 2 + _MARGIN
    first = np.floor(np.subtract(look.centre, reach)).clip(0).astype(int)
    last = np.ceil(np.add(look.centre, reach)).clip(max=look.sample.labels.shape).astype(int)
    (top, left), (height, width) = first.tolist(), (last - first).tolist()
    return (top, height), (left, width)


def _image(
    image: Tensor, part: tuple[tuple[int, int], tuple[int, int]], scale: float, grid: Tensor
) -> Tensor:
    """Look at part of an image (H, W, 1 or 3) through a grid (S, S, 2); returns (3, S, S)."""
    (top, height), (left, width) = part
    pixels = image[top : top + height, left : left + width].permute(2, 0, 1)[None].float()
    if scale < _FINER:
        factor = min(max(scale * 1.3, 0.2), 1)
        pixels = functional.interpolate(
            pixels, scale_factor=factor, mode="bilinear", antialias=True
        )
    shown = functional.grid_sample(pixels, grid[None], mode="bilinear", align_corners=False)
    return shown[0].expand(3, -1, -1)
