"""Vectors of tokens by pixels, and how alike places are."""

import numpy as np
import pytest

from napari_sam.segmentation.geometry import Geometry
from napari_sam.segmentation.likeness import Likeness, TokenVectors, better_scale
from napari_sam.segmentation.patches import MaskPatch


def tokens(kinds, per_token=4, geometry=None) -> TokenVectors:
    """Unit vectors of drawn kinds (h, w); each token spans 4 x 4 pixels."""
    kinds = np.array(kinds)
    shape = (per_token * kinds.shape[0], per_token * kinds.shape[1])
    geometry = geometry or Geometry(image_shape=shape, input_shape=shape, padded_shape=shape)
    return TokenVectors(vectors=np.eye(3, dtype=np.float32)[:, kinds], geometry=geometry)


def block(row, col, height, width) -> MaskPatch:
    return MaskPatch(mask=np.ones((height, width), bool), corner=(row, col))


def test_between_tokens_vectors_are_mixed():
    vectors = tokens([[0, 1]])
    places = np.array(
        [[1.5, 1.5], [1.5, 5.5], [1.5, 3.5], [0, 0]]
    )  # two centres, between, a corner
    expected = [[1, 0, 0], [0, 1, 0], [0.5, 0.5, 0], [1, 0, 0]]
    assert vectors.at(places) == pytest.approx(np.array(expected))


def test_pixels_are_those_of_the_image_whatever_the_network_sees():
    geometry = Geometry(image_shape=(4, 4), input_shape=(8, 8), padded_shape=(8, 16))
    vectors = tokens([[0, 1, 2, 2], [0, 1, 2, 2]], geometry=geometry)
    assert vectors.pixels_per_token == (2, 2)
    assert vectors.at(np.array([[0.5, 2.5]])) == pytest.approx(np.array([[0, 1, 0]]))


def test_a_patch_smaller_than_a_token_has_a_vector():
    vectors = tokens([[0, 1], [0, 1]])
    assert vectors.of(block(3, 5, 1, 1))[1] > 0.9


def test_examples_are_alike_and_what_is_around_them_is_not():
    kinds = np.zeros((9, 9), int)
    kinds[1:4, 1:4] = kinds[1:4, 5:8] = 1
    kinds[5:8, 5:8] = 2
    likeness = Likeness.to([block(4, 4, 12, 12)], tokens(kinds))
    alike = likeness.map()
    assert (alike[kinds == 1] >= 1).all()
    assert (alike[kinds == 0] <= 0).all()
    assert (alike[kinds == 2] < 0.6).all()
    assert likeness.of(block(4, 20, 12, 12)) > 1
    assert likeness.of(block(20, 20, 12, 12)) < 0.6


def test_the_most_alike_pixel_of_each_square():
    drawn = np.zeros((6, 6), int)
    drawn[1, 1] = drawn[1, 4] = 1
    likeness = Likeness.to([block(4, 4, 4, 4)], tokens(drawn))
    peaks = likeness.peaks(spacing=12, least=0.5)
    assert sorted(map(tuple, (peaks // 4).tolist())) == [(1, 1), (1, 4)]
    assert len(likeness.peaks(spacing=12, least=-10)) == 4


def test_the_diameter_is_that_of_the_disc_of_the_same_area():
    assert block(0, 0, 10, 10).diameter == pytest.approx(11.28, abs=0.01)


def test_an_image_is_seen_at_another_scale_only_where_no_example_suits():
    small, large = block(0, 0, 10, 10), block(20, 20, 30, 30)  # 11.3 and 33.9 pixels
    assert better_scale([small], 10) is None
    assert better_scale([small, large], 20) is None
    assert better_scale([small], None) is None
    assert better_scale([small], 20) == pytest.approx(11.28, abs=0.01)
    assert better_scale([small, large], 60) == pytest.approx(22.57, abs=0.01)
