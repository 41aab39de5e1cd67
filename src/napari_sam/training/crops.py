"""Random views of samples: scaled and turned."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray
from torch.nn import functional

from napari_sam.training.samples import GRAYS, Sample

_OVERHANG = 1.5
"""A view may be this much larger than the sample's shorter side."""
_MARGIN = 4
"""Pixels kept around what a view shows of a sample."""


@dataclass(frozen=True, kw_only=True, eq=False)
class Crop:
    """A training view.

    Attributes
    ----------
    image : ndarray
        (1 or 3, S, S) float32 in 0 ... 1, gray or colour.
    labels : ndarray
        (S, S) int32.
    nested : ndarray or None
        (S, S) int32, objects that contain those of `labels`.
    kinds : ndarray
        (n + 1,) int64, what kind of object each label of `labels` is, from 1.
    diameter : float
        Typical diameter of the sample's objects at the view's scale, pixels.
    inside : ndarray
        (S, S) bool, where the view shows the sample and not its surroundings.
    """

    image: NDArray[np.float32]
    labels: NDArray[np.int32]
    nested: NDArray[np.int32] | None
    kinds: NDArray[np.int64]
    diameter: float
    inside: NDArray[np.bool_]


def draw_crop(
    sample: Sample, rng: np.random.Generator, *, size: int, diameter: float, spread: float = 0.5
) -> Crop:
    """Draw a random view of a sample.

    Parameters
    ----------
    sample : Sample
        Where from.
    rng : Generator
        Decides everything.
    size : int
        Height and width of the view, pixels.
    diameter : float
        Typical diameter of an object in the view, pixels.
    spread : float
        Standard deviation of the logarithm of the scale around it.

    Returns
    -------
    Crop
    """
    typical = sample.diameter
    scale = diameter / typical * np.exp(rng.normal(0, spread))
    whole = size / min(sample.labels.shape)
    scale = float(np.clip(scale, max(0.25, whole / _OVERHANG), max(4, whole / _OVERHANG)))
    places = _look(sample.labels.shape, rng, size, scale)
    extent = torch.tensor(sample.labels.shape)
    outside = ((places < 0) | (places > extent)).any(-1).numpy()
    seen = _seen(places, sample.labels.shape)
    grid = _grid(places, seen)
    nested = None
    if sample.nested is not None:
        nested = _resample_labels(sample.nested[seen], grid)
    return Crop(
        image=_resample(_as_float(sample, seen, rng), grid, scale, "bilinear"),
        labels=_resample_labels(sample.labels[seen], grid),
        nested=nested,
        kinds=sample.kinds_of_labels(),
        diameter=typical * scale,
        inside=~outside,
    )


def _as_float(
    sample: Sample, seen: tuple[slice, slice], rng: np.random.Generator
) -> NDArray[np.float32]:
    """Return (h, w, 1 or 3) float32 in 0 ... 1; gray images are stretched, nearly as in use."""
    image = sample.image[seen]
    if image.ndim == 3:
        return np.asarray(image[..., :3], np.float32) / np.float32(255)
    at = rng.uniform(0, 2), rng.uniform(98.5, 100)
    low, high = np.interp(at, GRAYS, sample.grays).astype(np.float32)
    stretched = (image.astype(np.float32) - low) / max(high - low, np.float32(1e-6))
    return np.asarray(np.clip(stretched, 0, 1)[..., None], np.float32)


def _look(
    shape: tuple[int, ...], rng: np.random.Generator, size: int, scale: float
) -> torch.Tensor:
    """Return which place (size, size, 2), row and column, each pixel of a random view shows."""
    height, width = shape
    angle = rng.choice([0, 90, 180, 270]) + (rng.uniform(-45, 45) if rng.random() < 0.5 else 0)
    turn = np.deg2rad(angle)
    flip = rng.choice([-1, 1])
    span = size / scale
    centre = [_along(rng, height, span), _along(rng, width, span)]
    offsets = (torch.arange(size) + 0.5 - size / 2) / scale
    down, right = torch.meshgrid(offsets, offsets * float(flip), indexing="ij")
    cos, sin = float(np.cos(turn)), float(np.sin(turn))
    rows = centre[0] + cos * down - sin * right
    cols = centre[1] + sin * down + cos * right
    return torch.stack([rows, cols], -1)


def _seen(places: torch.Tensor, shape: tuple[int, ...]) -> tuple[slice, slice]:
    """Return the rows and columns of a sample that a view shows, and a margin."""
    low = (places.amin((0, 1)) - _MARGIN).int().tolist()
    high = (places.amax((0, 1)) + _MARGIN).int().tolist()
    rows, cols = (
        slice(max(first, 0), min(last, length))
        for first, last, length in zip(low, high, shape, strict=True)
    )
    return rows, cols


def _grid(places: torch.Tensor, seen: tuple[slice, slice]) -> torch.Tensor:
    """Return a sampling grid (1, size, size, 2), x and y, of what is seen of a sample."""
    starts = torch.tensor([part.start for part in seen])
    lengths = torch.tensor([part.stop - part.start for part in seen])
    return ((places - starts) / lengths * 2 - 1).flip(-1)[None]


def _along(rng: np.random.Generator, length: int, span: float) -> float:
    """Choose the centre of a view of `span` pixels on an axis of `length` pixels."""
    if span >= length:
        return length / 2
    return float(rng.uniform(span / 2, length - span / 2))


def _resample_labels(labels: NDArray[np.integer], grid: torch.Tensor) -> NDArray[np.int32]:
    """Look at labels (h, w) through a grid; returns (size, size). Outside is zero."""
    return np.asarray(_resample(labels[..., None], grid, 1, "nearest")[0], np.int32)


def _resample(
    values: NDArray[np.generic], grid: torch.Tensor, scale: float, mode: str
) -> NDArray[np.float32]:
    """Look at values (H, W, C) through a grid; returns (C, size, size). Outside is zero."""
    tensor = torch.from_numpy(np.ascontiguousarray(values.astype(np.float32))).permute(2, 0, 1)[
        None
    ]
    if scale < 0.75:
        factor = min(max(scale * 1.3, 0.2), 1)
        tensor = functional.interpolate(
            tensor, scale_factor=factor, mode="bilinear", antialias=True
        )
    looked = functional.grid_sample(tensor, grid.to(tensor.dtype), mode=mode, align_corners=False)
    return looked[0].numpy()
