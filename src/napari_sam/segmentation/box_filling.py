"""Masks that fill the box that they were asked for with.

A person draws a box around an object, close to it. A mask in one piece, cut from its logits at the
height at which its bounds agree best with the box, is closer to what was meant than all pixels
above zero: bits that lie apart are dropped, a timid mask grows and a bold one shrinks.
"""

from __future__ import annotations

import dataclasses

import numpy as np
import torch
from numpy.typing import ArrayLike, NDArray
from scipy import ndimage

from napari_sam.segmentation.decoding import inside_image
from napari_sam.segmentation.geometry import Geometry
from napari_sam.segmentation.masks import box_fits
from napari_sam.segmentation.prediction import MaskPrediction
from napari_sam.segmentation.upscaling import upscale_window

_HEIGHTS = (0.0, -0.5, 0.5, -1.0, 1.0, -2.0, 2.0)
_PULL = 0.02
"""Share of the agreement that a height has to gain for each unit that it is away from zero."""
_AROUND = 0.5
"""What is further from the box than so many of its sides is not of the object."""


def fill_box(answer: MaskPrediction, box: ArrayLike, geometry: Geometry) -> MaskPrediction:
    """Cut each candidate anew from its logits, in one piece that fills a box best.

    Parameters
    ----------
    answer : MaskPrediction
        To a box without points.
    box : array-like
        (row_min, col_min, row_max, col_max), pixels.
    geometry : Geometry
        Of the embedding that the answer is from.

    Returns
    -------
    MaskPrediction
        With other `patches`, and `box_fit` of these.
    """
    if not answer.window_logits.size or not answer.patches.size:
        return answer
    patch = upscale_window(
        torch.from_numpy(answer.window_logits),
        answer.window_corner,
        answer.low_res_shape,
        geometry,
    )
    wanted = inside_image(box, geometry) - np.tile(patch.corner, 2)
    region = _around(wanted, answer.patches.shape[1:])
    patches = np.zeros_like(answer.patches)
    fits = []
    for filled, heights in zip(patches, patch.values.numpy(), strict=True):
        start = [side.start for side in region]
        filled[region], fit = _best_piece(heights[region], wanted - np.tile(start, 2))
        fits.append(fit)
    return dataclasses.replace(answer, patches=patches, box_fit=np.asarray(fits, np.float32))


def _around(box: NDArray[np.float64], shape: tuple[int, ...]) -> tuple[slice, slice]:
    """Return the rows and columns of a plane that a box and what is around it cover."""
    sides = box[2:] - box[:2] + 1
    low = np.floor(box[:2] - _AROUND * sides).astype(int)
    high = np.ceil(box[2:] + _AROUND * sides).astype(int) + 1
    rows, cols = (
        slice(int(np.clip(first, 0, length)), int(np.clip(last, 0, length)))
        for first, last, length in zip(low, high, shape, strict=True)
    )
    return rows, cols


def _best_piece(
    logits: NDArray[np.float32], box: NDArray[np.float64]
) -> tuple[NDArray[np.bool_], float]:
    """Return the piece (h, w) whose bounds agree best with a box, and their IoU with it."""
    best, best_fit, best_score = np.zeros(logits.shape, bool), 0.0, 0.0
    for height in _HEIGHTS:
        labels, _ = ndimage.label(logits > height)
        sizes = np.bincount(labels.ravel())
        sizes[0] = 0
        largest = int(sizes.argmax())
        if not largest:
            continue
        fit = _agreement(ndimage.find_objects(labels)[largest - 1], box)
        score = fit * (1 - _PULL * abs(height))
        if score > best_score:
            best, best_fit, best_score = labels == largest, fit, score
    return best, best_fit


def _agreement(bounds: tuple[slice, slice], box: NDArray[np.float64]) -> float:
    """Return the IoU of bounds with a box whose last row and column belong to it."""
    rows, cols = bounds
    found = np.array([[rows.start, cols.start, rows.stop, cols.stop]])
    return float(box_fits(box, found)[0])
