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
from napari_sam.segmentation.scale import diameter_of_instances
from napari_sam.segmentation.sizes import estimate_diameter

_SEED_SMOOTHING = 2.0
"""Pixels of the scaled part."""

Look = Callable[[NDArray[np.float32], float], ImageEmbedding]
"""Embeds a part of a displayed image (H, W, 3) at a scale."""


def object_size(
    model: Sam, displayed: NDArray[np.float32], known_diameter: float, look: Look
) -> float:
    """Estimate the diameter of an image's objects, pixels.

    The instances that are seen at several scales are measured; where few are, the size decoder is
    asked, if the network has one.

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

    @torch.inference_mode()
    def instances_at(part: NDArray[np.float32], scale: float) -> NDArray[np.uint32]:
        seen = look(part, scale)
        height, width = seen.geometry.input_shape
        maps = model.instance_maps(seen.image)[0].sigmoid()[:, :height, :width]
        return instances_from_maps(maps.cpu().numpy(), smoothing=_SEED_SMOOTHING)

    @torch.inference_mode()
    def votes_at(part: NDArray[np.float32], scale: float) -> NDArray[np.float64]:
        seen = look(part, scale)
        votes = model.size_votes(seen.image, seen.geometry.input_shape)[0]
        log_probabilities: NDArray[np.float64] = votes.double().cpu().numpy()
        return log_probabilities

    if model.instance_decoder is not None:
        found = diameter_of_instances(displayed, instances_at, known_diameter)
        if found is not None:
            return found
    if model.size_decoder is None:
        return known_diameter
    octaves = bin_octaves().double().numpy()
    return estimate_diameter(displayed, votes_at, octaves, known_diameter)
