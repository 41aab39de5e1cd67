"""Masks cut to their bounding boxes, so that many of a large image take little memory."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray
from scipy import ndimage


@dataclass(frozen=True, kw_only=True, eq=False)
class MaskPatch:
    """A mask of an image, cut to its bounding box.

    Attributes
    ----------
    mask : ndarray
        (h, w) bool; (0, 0) where there is nothing.
    corner : (int, int)
        Row and column of its first pixel in the image.
    """

    mask: NDArray[np.bool_]
    corner: tuple[int, int]

    @classmethod
    def cut(cls, mask: NDArray[np.bool_], corner: tuple[int, int] = (0, 0)) -> MaskPatch:
        """Cut a mask (H, W), whose first pixel lies at `corner` of the image, to what it holds."""
        found = ndimage.find_objects(mask.astype(np.uint8)) if mask.size else []
        if not found:
            return cls(mask=np.zeros((0, 0), bool), corner=corner)
        rows, cols = found[0]
        kept = np.ascontiguousarray(mask[rows, cols])
        return cls(mask=kept, corner=(corner[0] + rows.start, corner[1] + cols.start))

    @cached_property
    def area(self) -> int:
        """Pixels."""
        return int(self.mask.sum())

    @property
    def diameter(self) -> float:
        """Of the disc of its area, pixels."""
        return float(2 * np.sqrt(self.area / np.pi))

    @property
    def _shape(self) -> tuple[int, int]:
        return self.mask.shape[0], self.mask.shape[1]

    @property
    def slices(self) -> tuple[slice, slice]:
        """Rows and columns of the image that `mask` covers."""
        (row, col), (height, width) = self.corner, self.mask.shape
        return slice(row, row + height), slice(col, col + width)

    @property
    def box(self) -> tuple[int, int, int, int]:
        """(row_min, col_min, row_max, col_max), the pixels at the ends included."""
        (row, col), (height, width) = self.corner, self.mask.shape
        return row, col, row + height - 1, col + width - 1

    def shifted(self, down: int, right: int) -> MaskPatch:
        """Return it moved by rows and columns."""
        return MaskPatch(mask=self.mask, corner=(self.corner[0] + down, self.corner[1] + right))

    def full_mask(self, shape: tuple[int, int]) -> NDArray[np.bool_]:
        """Return the mask (H, W) in an image of that shape."""
        full = np.zeros(shape, bool)
        full[self.slices] = self.mask
        return full

    def within(self, corner: tuple[int, int], shape: tuple[int, int]) -> NDArray[np.bool_]:
        """Return the part of it in a window (h, w) of the image that begins at `corner`."""
        window = np.zeros(shape, bool)
        low = np.maximum(self.corner, corner)
        high = np.minimum(np.add(self.corner, self.mask.shape), np.add(corner, shape))
        if (low < high).all():
            (top, left), (bottom, right) = low - corner, high - corner
            (first, start), (last, stop) = low - self.corner, high - self.corner
            window[top:bottom, left:right] = self.mask[first:last, start:stop]
        return window

    def iou(self, masks: NDArray[np.bool_], corner: tuple[int, int]) -> NDArray[np.float64]:
        """Return the IoU with masks (M, h, w) that begin at `corner`, (M,); 0 if both are empty."""
        own = self.within(corner, (masks.shape[1], masks.shape[2]))
        shared = (masks & own).sum((1, 2))
        union = masks.sum((1, 2)) + self.area - shared
        return np.asarray(shared / np.maximum(union, 1), np.float64)

    def iou_with(self, other: MaskPatch) -> float:
        """Return the IoU with another patch of the same image."""
        return float(self.iou(other.mask[None], other.corner)[0])

    def share_with(self, other: MaskPatch) -> float:
        """Return what it has in common with another patch, as a share of the smaller one."""
        common = int((self.mask & other.within(self.corner, self._shape)).sum())
        return common / max(min(self.area, other.area), 1)

    def without(self, other: MaskPatch) -> MaskPatch:
        """Return what another patch leaves of it."""
        taken = other.within(self.corner, self._shape)
        return MaskPatch.cut(self.mask & ~taken, self.corner)


def patches_of(labels: NDArray[np.integer]) -> list[MaskPatch]:
    """Cut the objects out of labels (H, W), in rising order of their ids."""
    return [
        MaskPatch.cut(labels[box] == label, (box[0].start, box[1].start))
        for label, box in enumerate(ndimage.find_objects(labels), start=1)
        if box is not None
    ]


class LabelBox(NamedTuple):
    """A label that occurs, the slices of the array that hold its pixels, and how many they are."""

    label: int
    box: tuple[slice, ...]
    area: int


def occurring(labels: NDArray[np.integer]) -> list[LabelBox]:
    """Return the labels of an array other than 0, rising, whatever their size and its axes."""
    values, numbers, areas = np.unique(labels, return_inverse=True, return_counts=True)
    boxes = ndimage.find_objects(numbers.reshape(labels.shape) + 1)
    found = zip(values.tolist(), boxes, areas.tolist(), strict=True)
    return [LabelBox(*one) for one in found if one[0]]
