"""Mask records to a label image, at a chosen level of their part-of tree."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

import numpy as np
from numpy.typing import NDArray

from napari_sam.segmentation.instances import consecutive
from napari_sam.segmentation.part_tree import PartTree
from napari_sam.segmentation.records import MaskRecord

__all__ = ["MaskRecord", "labels_from_records"]


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
        return _drawn(sorted(records, key=lambda record: -record.area), shape)
    tree = PartTree.of(records) if tree is None else tree
    chosen = [records[index] for index in tree.choose(level)]
    best_first = sorted(chosen, key=lambda record: -record.predicted_iou)
    return _drawn(best_first[::-1], shape)


def _drawn(records: Iterable[MaskRecord], shape: tuple[int, int]) -> NDArray[np.uint32]:
    """Draw records one after another, later ones on top of earlier ones."""
    drawn = np.zeros(shape, np.uint32)
    for label, record in enumerate(records, start=1):
        np.copyto(drawn[record.slices], label, where=record.mask)
    return consecutive(drawn)
