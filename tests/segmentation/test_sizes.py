"""Estimating how large objects are, from looks that are right near one scale only."""

import math

import numpy as np
import pytest

from napari_sam.segmentation.sizes import estimate_diameter, richest_part


def image(side=400):
    return np.random.default_rng(0).random((side, side, 1)).astype(np.float32)


class Looker:
    """Judges well near the known diameter, and the less the farther away."""

    def __init__(self, diameter, known=36.0, pull=0.3):
        self.diameter, self.known, self.pull = diameter, known, pull
        self.looks = []

    def __call__(self, part, scale):
        self.looks.append((part.shape, scale))
        seen = self.diameter * scale
        return seen * (self.known / seen) ** self.pull


@pytest.mark.parametrize("diameter", [12, 36, 150])
def test_the_estimate_comes_from_the_scale_that_suits_it(diameter):
    look = Looker(diameter)
    assert estimate_diameter(image(), look, 36.0) == pytest.approx(diameter, rel=0.15)
    assert len(look.looks) <= 3


def test_one_look_is_enough_where_the_scale_is_right():
    look = Looker(36)
    estimate_diameter(image(), look, 36.0)
    assert len(look.looks) == 1


def test_looks_never_exceed_512_pixels():
    look = Looker(200)
    estimate_diameter(image(3000), look, 36.0)
    assert all(max(shape) * scale <= 513 for shape, scale in look.looks)
    assert math.log2(look.looks[-1][1]) < -1


def test_small_images_are_looked_at_enlarged():
    look = Looker(10)
    estimate_diameter(image(24), look, 36.0)
    assert look.looks[0][1] == 4


def test_the_richest_part_is_looked_at():
    picture = np.zeros((900, 900, 1), np.float32)
    picture[700:860:8, 600:880] = 1
    assert richest_part(picture, 300).mean() > 0
    assert richest_part(picture, 2000).shape == picture.shape
