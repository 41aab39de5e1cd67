"""Mask records of rectangles, which can be checked by eye."""

import numpy as np

from napari_sam.segmentation.records import MaskRecord

SHAPE = (60, 100)


def rectangle(top, left, bottom, right, *, iou=0.9, stability=0.9, crop=(0, 0, *SHAPE)):
    """Return a record of the pixels [top, bottom) x [left, right)."""
    mask = np.ones((bottom - top, right - left), bool)
    return MaskRecord(
        mask=mask,
        box=(top, left, bottom, right),
        area=mask.size,
        predicted_iou=iou,
        stability_score=stability,
        point=(float(top), float(left)),
        crop_box=crop,
    )


def field_of_cells():
    """Return a field (0) of three cells (1, 2, 3) of one size with nuclei (4, 5, 6) of many."""
    field = rectangle(0, 0, 60, 100)
    cells = [rectangle(10, left, 30, left + 20) for left in (5, 35, 65)]
    nuclei = [
        rectangle(15, left, 15 + side, left + side) for left, side in ((7, 2), (40, 5), (67, 14))
    ]
    return [field, *cells, *nuclei]
