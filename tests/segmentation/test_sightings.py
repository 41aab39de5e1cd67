"""Maps that are drawn, and what is seen in them."""

import numpy as np
import pytest

from napari_sam.segmentation.patches import MaskPatch
from napari_sam.segmentation.sightings import Sightings
from tests.oracle import OraclePredictor


def disc(row, col, radius, shape=(40, 80)):
    rows, cols = np.ogrid[: shape[0], : shape[1]]
    return np.hypot(rows - row, cols - col) <= radius


def maps_of(*discs):
    """Foreground, and a cone of height 1 over each disc (row, col, radius)."""
    rows, cols = np.ogrid[:40, :80]
    cones = [np.clip(1 - np.hypot(rows - r, cols - c) / (R + 1), 0, 1) for r, c, R in discs]
    inside, height = np.any([disc(*one) for one in discs], 0), np.max(cones, 0)
    return np.stack([inside, height, height]).astype(np.float32)


def test_the_object_that_agrees_best_is_seen_whole():
    seen = Sightings(maps_of((20, 20, 9), (20, 60, 9)))
    found = seen.like(MaskPatch.cut(disc(20, 22, 7)))
    assert found.iou_with(MaskPatch.cut(disc(20, 20, 9))) > 0.95
    assert seen.like(MaskPatch.cut(disc(20, 40, 7))) is None  # between the two
    assert seen.like(MaskPatch.cut(disc(20, 20, 3))) is None  # a tenth of what is there


@pytest.mark.parametrize(("expected", "cols"), [(disc(20, 32, 9), 32), (disc(20, 48, 9), 48)])
def test_of_two_that_touch_each_is_seen_alone(expected, cols):
    seen = Sightings(maps_of((20, 32, 9), (20, 48, 9)))
    found = seen.like(MaskPatch.cut(expected))
    assert found.iou_with(MaskPatch.cut(expected)) > 0.8
    rows_cols = np.add(found.corner, np.argwhere(found.mask))
    assert rows_cols[:, 1].mean() == pytest.approx(cols, abs=1)


def test_of_an_object_in_two_the_whole_is_seen_if_it_is_expected():
    """The saddle lies 0.23 under the peaks: more than a usual prominence, less than the most."""
    left, right = disc(20, 32, 12), disc(20, 38, 12)
    seen = Sightings(maps_of((20, 32, 12), (20, 38, 12)))
    whole = MaskPatch.cut(left | right)
    assert seen.like(whole).iou_with(whole) == 1
    assert seen.like(MaskPatch.cut(left & ~right)).area < 0.6 * whole.area


def test_clearness_is_the_highest_middle_in_a_mask():
    maps = maps_of((20, 20, 9))
    maps[1:] *= 0.5
    seen = Sightings(maps)
    assert seen.clearness(np.ones((40, 80), bool), (0, 0)) == pytest.approx(0.5)
    assert seen.clearness(np.ones((3, 3), bool), (19, 19)) == pytest.approx(0.5)
    assert seen.clearness(np.zeros((3, 3), bool), (19, 19)) == 0
    assert seen.clearness(np.ones((3, 3), bool), (0, 77)) == 0
    assert seen.clearness(np.zeros((0, 0), bool), (0, 0)) == 0


def test_nothing_is_seen_on_empty_ground_nor_without_a_decoder():
    seen = Sightings(np.zeros((3, 40, 80), np.float32))
    assert seen.like(MaskPatch.cut(disc(20, 20, 9))) is None
    plain = OraclePredictor(has_instance_decoder=False)
    assert Sightings.of(plain, plain.embed(disc(20, 20, 9))) is None
    knowing = OraclePredictor()
    found = Sightings.of(knowing, knowing.embed(disc(20, 20, 9))).like(
        MaskPatch.cut(disc(20, 22, 9))
    )
    assert np.array_equal(found.full_mask((40, 80)), disc(20, 20, 9))
