"""A mask from anywhere as a prompt: the low-resolution logits that a network would have given."""

from __future__ import annotations

import numpy as np
import torch
from numpy.typing import NDArray
from torch.nn import functional

from napari_sam.segmentation.embedding import ImageEmbedding
from napari_sam.segmentation.prediction import NOTHING

SURE = 8.0
"""Logit inside of a mask that somebody drew; outside it is the negative."""


def logits_from_mask(mask: NDArray[np.bool_], embedding: ImageEmbedding) -> NDArray[np.float32]:
    """Shrink a mask to a prompt.

    Parameters
    ----------
    mask : ndarray
        (H, W) bool, of the embedded image's shape.
    embedding : ImageEmbedding
        Of the image that the mask belongs to.

    Returns
    -------
    ndarray
        (h, w) float32 for `Prompts.mask_input`: `SURE` inside, `-SURE` outside, between them where
        a pixel is covered in part; what pads the image is surely outside.

    Raises
    ------
    ValueError
        If the mask has another shape than the image.
    """
    if mask.shape != embedding.image_shape:
        raise ValueError(
            f"mask must have the shape {embedding.image_shape} of the image, got {mask.shape}"
        )
    geometry, low_res = embedding.geometry, embedding.low_res_shape
    inner = [
        max(1, round(low * inside / padded))
        for low, inside, padded in zip(
            low_res, geometry.input_shape, geometry.padded_shape, strict=True
        )
    ]
    whole = torch.from_numpy(np.ascontiguousarray(mask, np.float32))[None, None]
    shrinks = inner[0] <= mask.shape[0] and inner[1] <= mask.shape[1]
    if shrinks:
        covered = functional.interpolate(whole, inner, mode="area")
    else:
        covered = functional.interpolate(whole, inner, mode="bilinear", align_corners=False)
    logits = np.full(low_res, NOTHING, np.float32)
    logits[: inner[0], : inner[1]] = (2 * covered[0, 0].numpy() - 1) * SURE
    return logits
