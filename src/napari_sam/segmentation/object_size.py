"""How large an image's objects are: what the network's instances and its size decoder say."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import torch
from numpy.typing import NDArray

from napari_sam.model.sam import Sam
from napari_sam.model.size_decoder import bin_octaves
from napari_sam.segmentation.embedding import ImageEmbedding
from napari_sam.segmentation.instances import instances_from_maps
from napari_sam.segmentation.scale import Segmented, diameter_of_instances
from napari_sam.segmentation.sizes import estimate_diameter

_SEED_PROMINENCE = 0.2
_SEED_SMOOTHING = 1.0
"""Pixels of the scaled part."""

Look = Callable[[NDArray[np.float32], float], ImageEmbedding]
"""Embeds a part of a displayed image (H, W, 3) at a scale."""


def object_size(
    model: Sam, displayed: NDArray[np.float32], known_diameter: float, look: Look
) -> float:
    """Estimate the diameter of an image's objects, pixels.

    The instances that are seen at several scales are measured, and the size decoder is asked: the
    geometric mean of both, or what there is.

    Parameters
    ----------
    model : Sam
        A network whose input may have any size.
    displayed : ndarray
        (H, W, 3) in 0 ... 1.
    known_diameter : float
        The diameter that the network knows best, and the answer where nothing is seen.
    look : callable
        Embeds a part of the image at a scale.
    """
    seen: dict[float, ImageEmbedding] = {}

    def at(part: NDArray[np.float32], scale: float) -> ImageEmbedding:
        if scale not in seen:
            seen[scale] = look(part, scale)
        return seen[scale]

    @torch.inference_mode()
    def instances_at(part: NDArray[np.float32], scale: float) -> Segmented:
        embedding = at(part, scale)
        height, width = embedding.geometry.input_shape
        maps = model.instance_maps(embedding.image)[0].sigmoid()[:, :height, :width].cpu().numpy()
        labels = instances_from_maps(
            maps, seed_prominence=_SEED_PROMINENCE, smoothing=_SEED_SMOOTHING
        )
        return labels, maps[0]

    @torch.inference_mode()
    def votes_at(part: NDArray[np.float32], scale: float) -> NDArray[np.float64]:
        embedding = at(part, scale)
        votes = model.size_votes(embedding.image, embedding.geometry.input_shape)[0]
        log_probabilities: NDArray[np.float64] = votes.double().cpu().numpy()
        return log_probabilities

    judged = []
    if model.instance_decoder is not None:
        judged.append(diameter_of_instances(displayed, instances_at, known_diameter))
    if model.size_decoder is not None:
        octaves = bin_octaves().double().numpy()
        judged.append(estimate_diameter(displayed, votes_at, octaves, known_diameter))
    known = [diameter for diameter in judged if diameter is not None]
    return float(np.exp(np.mean(np.log(known)))) if known else known_diameter
