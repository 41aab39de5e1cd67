"""Mask records to a label image, at a chosen level of their part-of tree."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Protocol

import numpy as np
from numpy.typing import NDArray

from napari_sam.segmentation.instances import consecutive
from napari_sam.segmentation.part_tree import PartTree
from napari_sam.segmentation.records import MaskRecord

__all__ = ["MaskRecord", "draw_in_order", "labels_from_records"]


class PlacedMask(Protocol):
    """A mask and where it is in an image, like a `MaskRecord` or a `MaskPatch`."""

    @property
    def mask(self) -> NDArray[np.bool_]:
        """(h, w)."""

    @property
    def slices(self) -> tuple[slice, slice]:
        """Rows and columns of the image that it covers."""


def labels_from_records(
    records: Sequence[MaskRecord],
    shape: tuple[int, int],
    level: str = "all",
    *,
    tree: PartTree | None = None,
) -> NDArray[np.uint32]:
    """Draw records into a label image.

    Parameters
    ----------
    records : sequence of MaskRecord
        May overlap.
    shape : (int, int)
        Height and width of the image.
    level : str
        Which records are drawn, see `PartTree.choose`. At ``"all"``, small objects lie on top of
        large ones; at the other levels the one with the better predicted IoU lies on top, and of
        equals the earlier.
    tree : PartTree, optional
        Of these records, where it is at hand.

    Returns
    -------
    ndarray
        (H, W) uint32, ids 1 ... n; records that others hide wholly have none.

    Raises
    ------
    ValueError
        If there is no such level.
    """
    if level == "all":
        largest_first = sorted(records, key=lambda record: -record.area)
        return draw_in_order(largest_first, shape)
    tree = PartTree.of(records) if tree is None else tree
    chosen = [records[index] for index in tree.choose(level)]
    best_first = sorted(chosen, key=lambda record: -record.predicted_iou)
    return draw_in_order(best_first[::-1], shape)


def draw_in_order(masks: Iterable[PlacedMask], shape: tuple[int, ...]) -> NDArray[np.uint32]:
    """Draw masks into labels (H, W), ids 1 ... n, later ones on top of earlier ones."""
    drawn = np.zeros(shape, np.uint32)
    for label, one in enumerate(masks, start=1):
        np.copyto(drawn[one.slices], label, where=one.mask)
    return consecutive(drawn)
