"""Masks that were found without a prompt, with their scores."""

from __future__ import annotations

from dataclasses import dataclass, field, fields

import numpy as np
from numpy.typing import NDArray


@dataclass(frozen=True, kw_only=True, eq=False)
class FoundMask:
    """Where a mask lies that was found without a prompt, and its scores.

    Attributes
    ----------
    box : (int, int, int, int)
        (row_min, col_min, row_max, col_max), the last two one past the mask, pixels.
    area : int
        Pixels of the mask.
    predicted_iou, stability_score : float
        What the filters looked at.
    point : (float, float)
        The grid point (row, col) that gave the mask.
    crop_box : (int, int, int, int)
        The crop of the image that it was found in.
    """

    box: tuple[int, int, int, int]
    area: int
    predicted_iou: float
    stability_score: float
    point: tuple[float, float]
    crop_box: tuple[int, int, int, int]

    @property
    def slices(self) -> tuple[slice, slice]:
        """Where the mask lies in the image."""
        top, left, bottom, right = self.box
        return slice(top, bottom), slice(left, right)


@dataclass(frozen=True, kw_only=True, eq=False)
class MaskRecord(FoundMask):
    """One mask that was found without a prompt.

    Attributes
    ----------
    mask : ndarray
        (h, w) bool, cut to `box`; `full_mask` is that of the image.
    box : (int, int, int, int)
        (row_min, col_min, row_max, col_max), the last two one past the mask, pixels.
    area : int
        Pixels of the mask.
    predicted_iou, stability_score : float
        What the filters looked at, 0 to 1: the IoU with the truth that the network expects, and
        how little the mask changes with its threshold.
    point : (float, float)
        The grid point (row, col) that gave the mask, pixels.
    crop_box : (int, int, int, int)
        The crop of the image that it was found in, as `box`.
    """

    mask: NDArray[np.bool_] = field(repr=False)

    def full_mask(self, shape: tuple[int, int]) -> NDArray[np.bool_]:
        """Return the mask (H, W) in an image of that shape."""
        full = np.zeros(shape, bool)
        full[self.slices] = self.mask
        return full


@dataclass(frozen=True, kw_only=True, eq=False)
class PackedRecord(FoundMask):
    """A record that waits to be looked at, in an eighth of the memory.

    Attributes
    ----------
    bits : ndarray
        The mask's pixels, row by row, eight to a byte, uint8.
    box, area, predicted_iou, stability_score, point, crop_box
        As in `FoundMask`.
    """

    bits: NDArray[np.uint8]

    def unpacked(self) -> MaskRecord:
        """Return the record."""
        top, left, bottom, right = self.box
        shape = bottom - top, right - left
        flat = np.unpackbits(self.bits, count=shape[0] * shape[1]).astype(bool)
        known = {each.name: getattr(self, each.name) for each in fields(FoundMask)}
        return MaskRecord(mask=flat.reshape(shape), **known)
