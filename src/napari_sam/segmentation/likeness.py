"""How alike the places of an image, and masks in it, are to some examples."""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy import ndimage
from torch.nn import functional

from napari_sam.segmentation.embedding import ImageEmbedding
from napari_sam.segmentation.geometry import Geometry
from napari_sam.segmentation.patches import MaskPatch

_SAMPLES = 64
"""Pixels of a mask at which its vector is looked up."""
_DEEP = 0.5
"""They lie at least so deep, of the depth of the innermost one: tokens at a rim show both sides."""
_NEAR, _FAR = 0.15, 1.0
"""What is around an example lies so far from it, in its diameters."""
_RING = 512
_UNLIKE = 0.1
"""Quantile of the similarity around the examples that counts as not alike: a part of what is
around them may be others of their kind."""
_LEAST_CONTRAST = 0.02
_OFF = 1.25
"""An embedding for objects so many times larger or smaller does not suit an example."""
_FINER = 4
"""Places along a side of a square that are looked at for its most alike pixel."""


@dataclass(frozen=True, kw_only=True, eq=False)
class TokenVectors:
    """The unit vectors of an image's tokens, by the image's pixels.

    Attributes
    ----------
    vectors : ndarray
        (C, h, w) float32.
    geometry : Geometry
        How the image lies in the network's input.
    """

    vectors: NDArray[np.float32]
    geometry: Geometry

    @classmethod
    def of_image(cls, embedding: ImageEmbedding) -> TokenVectors:
        """Return the features of an image."""
        features = functional.normalize(embedding.features[0].float(), dim=0)
        return cls(vectors=features.cpu().numpy(), geometry=embedding.geometry)

    @property
    def pixels_per_token(self) -> tuple[float, float]:
        """Pixels of the image that one token spans, along rows and columns."""
        height, width = self.vectors.shape[1:]
        (tall, wide), (rows, cols) = self.geometry.padded_shape, self.geometry.scale
        return tall / height / rows, wide / width / cols

    def at(self, pixels: NDArray[np.floating]) -> NDArray[np.float32]:
        """Return the vectors (N, C) at pixels (N, 2), between tokens by their distance."""
        places = (pixels + 0.5) / self.pixels_per_token - 0.5
        limit = np.array(self.vectors.shape[1:]) - 1
        places = places.clip(0, limit)
        low = np.floor(places).astype(int)
        high, share = np.minimum(low + 1, limit), (places - low)
        mixed = np.zeros((len(pixels), len(self.vectors)), np.float32)
        for rows, row_share in ((low[:, 0], 1 - share[:, 0]), (high[:, 0], share[:, 0])):
            for cols, col_share in ((low[:, 1], 1 - share[:, 1]), (high[:, 1], share[:, 1])):
                mixed += (self.vectors[:, rows, cols] * row_share * col_share).T
        return mixed

    def of(self, patch: MaskPatch) -> NDArray[np.float32]:
        """Return the mean vector (C,) of the inside of a patch that is not empty, a unit vector."""
        depth = ndimage.distance_transform_edt(np.pad(patch.mask, 1))[1:-1, 1:-1]
        inside = np.argwhere(depth >= _DEEP * depth.max()) + patch.corner
        return _unit(self.at(_thinned(inside, _SAMPLES)).mean(0))


@dataclass(frozen=True, kw_only=True, eq=False)
class Likeness:
    """Compares with examples: 1 is as alike as the examples' own inside, 0 as what is around them.

    What is compared is by how much a vector is nearer to the nearest example's (cosine) than to the
    mean of what is around the examples: much of a vector tells of the image, not of the object.

    Attributes
    ----------
    tokens : TokenVectors
        Of the image.
    prototypes : ndarray
        (E, C) unit vectors, one for each example.
    around : ndarray
        (C,) unit vector of what is around them.
    inside, outside : float
        What stands for 1 and 0.
    """

    tokens: TokenVectors
    prototypes: NDArray[np.float32]
    around: NDArray[np.float32]
    inside: float
    outside: float

    @classmethod
    def to(cls, examples: Sequence[MaskPatch], tokens: TokenVectors) -> Likeness:
        """Compare with examples, at least one, none of them empty."""
        prototypes = np.stack([tokens.of(example) for example in examples])
        own = np.concatenate([_inside(example, tokens) for example in examples])
        ring = tokens.at(_around(examples, tokens.geometry.image_shape))
        around = _unit(ring.mean(0)) if len(ring) else np.zeros_like(prototypes[0])
        raw = cls(tokens=tokens, prototypes=prototypes, around=around, inside=1, outside=0)
        inside = float(np.median(raw.of_vectors(own)))
        outside = float(np.quantile(raw.of_vectors(ring), _UNLIKE)) if len(ring) else -np.inf
        outside = max(min(outside, inside - _LEAST_CONTRAST), -1.0)
        return dataclasses.replace(raw, inside=inside, outside=outside)

    def peaks(self, spacing: float, least: float) -> NDArray[np.intp]:
        """Return the most alike pixel of each square of a grid over the image.

        Parameters
        ----------
        spacing : float
            Side of the squares, pixels.
        least : float
            Squares whose best pixel is less alike have none.

        Returns
        -------
        ndarray
            (N, 2) pixels (row, col), the most alike first.
        """
        shape = self.tokens.geometry.image_shape
        counts = [max(1, round(length / spacing)) for length in shape]
        rows, cols = (
            (np.arange(count * _FINER) + 0.5) * (length / count / _FINER) - 0.5
            for count, length in zip(counts, shape, strict=True)
        )
        pixels = np.stack(np.meshgrid(rows, cols, indexing="ij"), -1)
        alike = self._sampled(pixels)
        cells = (counts[0], _FINER, counts[1], _FINER)
        alike = alike.reshape(cells).swapaxes(1, 2).reshape(-1, _FINER**2)
        places = pixels.reshape(*cells, 2).swapaxes(1, 2).reshape(-1, _FINER**2, 2)
        best, highest = alike.argmax(1), alike.max(1)
        order = np.argsort(-highest, kind="stable")
        order = order[highest[order] >= least]
        chosen = places[order, best[order]].round()
        return np.asarray(chosen.clip(0, np.array(shape) - 1), np.intp)

    def map(self) -> NDArray[np.float64]:
        """Return how alike each token (h, w) is."""
        channels = self.tokens.vectors
        return self.of_vectors(channels.reshape(len(channels), -1).T).reshape(channels.shape[1:])

    def of(self, patch: MaskPatch) -> float:
        """Return how alike a patch that is not empty is."""
        return float(self.of_vectors(self.tokens.of(patch)[None])[0])

    def of_vectors(self, vectors: NDArray[np.floating]) -> NDArray[np.float64]:
        """Return how alike vectors (N, C) are."""
        nearer = (vectors @ self.prototypes.T).max(1) - vectors @ self.around
        return np.asarray((nearer - self.outside) / (self.inside - self.outside), np.float64)

    def _sampled(self, pixels: NDArray[np.floating]) -> NDArray[np.float64]:
        """Return how alike pixels (n, m, 2) are, between tokens by their distance."""
        places = (pixels + 0.5) / self.tokens.pixels_per_token - 0.5
        sampled = ndimage.map_coordinates(
            self.map(), np.moveaxis(places, -1, 0), order=1, mode="nearest"
        )
        return np.asarray(sampled)


def better_scale(examples: Sequence[MaskPatch], object_diameter: float | None) -> float | None:
    """Return what object diameter an image should be embedded for, to find what is like examples.

    Parameters
    ----------
    examples : sequence of MaskPatch
        At least one.
    object_diameter : float or None
        What it is embedded for, pixels; None where the network sees all images at one scale.

    Returns
    -------
    float or None
        The examples' median diameter, pixels; None where the embedding suits one of them, or they
        lie on both sides of it.
    """
    sizes = [example.diameter for example in examples]
    if object_diameter is None or min(sizes) / _OFF < object_diameter < max(sizes) * _OFF:
        return None
    return float(np.median(sizes))


def _inside(patch: MaskPatch, tokens: TokenVectors) -> NDArray[np.float32]:
    return tokens.at(_thinned(np.argwhere(patch.mask) + patch.corner, _SAMPLES))


def _around(examples: Sequence[MaskPatch], shape: tuple[int, int]) -> NDArray[np.float64]:
    """Return pixels (N, 2) around the examples, and in none of them."""
    found = []
    for example in examples:
        size = example.diameter
        reach = int(np.ceil(_FAR * size)) + 1
        low = np.maximum(np.subtract(example.corner, reach), 0)
        high = np.minimum(np.add(example.corner, example.mask.shape) + reach, shape)
        corner, window = (int(low[0]), int(low[1])), (int(high[0] - low[0]), int(high[1] - low[1]))
        away = ndimage.distance_transform_edt(~example.within(corner, window))
        ring = (away > _NEAR * size) & (away <= _FAR * size)
        for other in examples:
            ring &= ~other.within(corner, window)
        found.append(_thinned(np.argwhere(ring) + corner, _RING))
    return np.concatenate(found)


def _thinned(pixels: NDArray[np.intp], count: int) -> NDArray[np.float64]:
    """Return at most so many of pixels (N, 2), evenly."""
    kept = np.linspace(0, len(pixels) - 1, min(count, len(pixels))).round().astype(int)
    return np.asarray(pixels[kept], np.float64)


def _unit(vector: NDArray[np.float32]) -> NDArray[np.float32]:
    unit: NDArray[np.float32] = vector / max(float(np.linalg.norm(vector)), 1e-9)
    return unit
