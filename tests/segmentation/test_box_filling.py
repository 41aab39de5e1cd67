"""Masks that fill the box they were asked for with."""

import numpy as np
import pytest

from napari_sam.segmentation.box_filling import fill_box
from napari_sam.segmentation.geometry import free_geometry
from napari_sam.segmentation.prediction import MaskPrediction

SHAPE = 64, 96
GEOMETRY = free_geometry(SHAPE, 1.0, 1024)
"""One pixel of the input for each of the image; logits here are as fine."""


def answer(*planes: np.ndarray) -> MaskPrediction:
    logits = np.stack(planes).astype(np.float32)
    padded = np.full((len(planes), *GEOMETRY.padded_shape), -16, np.float32)
    padded[:, : SHAPE[0], : SHAPE[1]] = logits
    masks = logits > 0
    return MaskPrediction.of_whole(masks, np.full(len(planes), 0.5, np.float32), padded)


def hill(row: float, col: float, radius: float, slope: float = 0.5) -> np.ndarray:
    """Logits that fall from the middle of a disc; zero at the radius."""
    rows, cols = np.mgrid[: SHAPE[0], : SHAPE[1]]
    return slope * (radius - np.hypot(rows - row, cols - col))


def square(mask: np.ndarray) -> tuple[int, ...]:
    rows, cols = np.nonzero(mask)
    return int(rows.min()), int(cols.min()), int(rows.max()), int(cols.max())


def test_a_mask_that_fills_its_box_stays():
    asked = answer(hill(30, 40, 10))
    filled = fill_box(asked, square(asked.masks[0]), GEOMETRY)
    assert np.array_equal(filled.masks, asked.masks)
    assert filled.box_fit == pytest.approx([1])
    assert np.array_equal(filled.window_logits, asked.window_logits)


@pytest.mark.parametrize("radius", [6, 12])
def test_a_mask_grows_or_shrinks_to_its_box(radius):
    wanted = hill(30, 40, radius) > 0
    asked = answer(hill(30, 40, 9))
    filled = fill_box(asked, square(wanted), GEOMETRY)

    def iou(mask):
        return (mask & wanted).sum() / (mask | wanted).sum()

    assert iou(filled.masks[0]) > iou(asked.masks[0]) + 0.1


def test_bits_that_lie_apart_are_dropped():
    disc = hill(30, 40, 10)
    asked = answer(np.maximum(disc, hill(30, 58, 3)), np.maximum(disc, hill(5, 5, 4)))
    filled = fill_box(asked, square(disc > 0), GEOMETRY)
    assert np.array_equal(filled.masks[0], disc > 0)
    assert np.array_equal(filled.masks[1], disc > 0)
    assert filled.box_fit == pytest.approx([1, 1])


def test_a_box_that_nothing_was_found_in_stays_empty():
    asked = answer(np.full(SHAPE, -8.0), hill(5, 5, 4))
    filled = fill_box(asked, (30, 60, 50, 80), GEOMETRY)
    assert not filled.masks.any()
    assert filled.box_fit == pytest.approx([0, 0])


@pytest.mark.parametrize("box", [(-20, -20, 12, 12), (50, 80, 90, 130), (40, 40, 40, 40)])
def test_boxes_at_the_edge_and_of_one_pixel(box):
    asked = answer(hill(0, 0, 12), hill(63, 95, 15), hill(40, 40, 2))
    filled = fill_box(asked, box, GEOMETRY)
    assert filled.masks.shape == (3, *SHAPE)
    assert filled.ratings.max() > 0
