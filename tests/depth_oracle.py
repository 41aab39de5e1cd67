"""A predictor that parts touching objects: the pixels of its images say how deep they lie in one.

Whatever it answers depends on the near surroundings alone, as with a network: an object that is cut
by the edge of what it sees is a fragment, or falls to a neighbour that it touches.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from napari_sam.segmentation.instances import instances_from_maps
from tests.oracle import OracleEmbedding, OraclePredictor


@dataclass(frozen=True, kw_only=True, eq=False)
class DepthEmbedding(OracleEmbedding):
    """The objects (H, W) of an image, and its pixels."""

    depth: NDArray[np.float32]


class DepthOracle(OraclePredictor):
    """Sees objects whose pixels rise from 0 at the boundary to 1 in the middle."""

    def embed(self, image, *, contrast_limits=None, object_diameter=None) -> DepthEmbedding:
        self.n_embed += 1
        depth = np.asarray(image, np.float32)
        return DepthEmbedding(components=instances_from_maps(_maps(depth)), depth=depth)

    def instance_maps(self, embedding) -> NDArray[np.float32]:
        return _maps(embedding.depth)


def draw_ellipse(depth, labels, centre, radii):
    """Draw an object into the depth and the labels (H, W) that the oracle is to see and to say.

    Where two objects overlap, pixels belong to the one in which they lie deeper, so that the two
    touch.
    """
    rows, cols = (
        slice(max(0, int(middle - radius)), min(length, int(middle + radius) + 2))
        for middle, radius, length in zip(centre, radii, depth.shape, strict=True)
    )
    row, col = np.mgrid[rows, cols]
    own = 1 - np.hypot((row - centre[0]) / radii[0], (col - centre[1]) / radii[1])
    inside = (own > 0) & (own > depth[rows, cols])
    depth[rows, cols][inside] = own[inside]
    labels[rows, cols][inside] = labels.max() + 1


def _maps(depth: NDArray[np.float32]) -> NDArray[np.float32]:
    return np.stack([(depth > 0).astype(np.float32), depth, depth])
