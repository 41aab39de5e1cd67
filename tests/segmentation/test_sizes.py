"""Estimating how large objects are, from looks that are right near one scale only."""

import numpy as np
import pytest

from napari_sam.segmentation.sizes import estimate_diameter, richest_part

OCTAVES = np.arange(33) / 4 - 4
KNOWN = 40.0


def image(side=400):
    return np.random.default_rng(0).random((side, side, 1)).astype(np.float32)


class Looker:
    """Is sure near the known diameter; from afar it wavers between the truth and what is usual."""

    def __init__(self, diameter):
        self.diameter = diameter
        self.looks = []

    def __call__(self, part, scale):
        self.looks.append((part.shape, scale))
        truth = np.log2(self.diameter * scale / KNOWN)
        doubt = min(1.0, abs(truth) / 6)
        sure = np.exp(-(((OCTAVES - truth) / 0.4) ** 2))
        usual = np.exp(-((OCTAVES / 0.8) ** 2))
        shares = (1 - doubt) * sure / sure.sum() + doubt * usual / usual.sum() + 1e-3
        return np.log(shares / shares.sum())


@pytest.mark.parametrize("diameter", [12, 25, 40, 100, 150])
def test_the_scales_agree_on_the_diameter(diameter):
    look = Looker(diameter)
    assert estimate_diameter(image(), look, OCTAVES, KNOWN) == pytest.approx(diameter, rel=0.2)
    assert len(look.looks) == 4


def test_looks_never_exceed_512_pixels():
    look = Looker(40)
    estimate_diameter(image(3000), look, OCTAVES, KNOWN)
    assert all(max(shape) * scale <= 516 for shape, scale in look.looks)


def test_images_are_not_shrunk_below_what_can_be_judged():
    look = Looker(10)
    estimate_diameter(image(40), look, OCTAVES, KNOWN)
    assert [scale for _, scale in look.looks] == [4]
    look = Looker(10)
    assert estimate_diameter(image(5), look, OCTAVES, KNOWN) > 0
    assert [scale for _, scale in look.looks] == [4]


def test_the_richest_part_is_looked_at():
    picture = np.zeros((900, 900, 1), np.float32)
    picture[700:860:8, 600:880] = 1
    assert richest_part(picture, 300).mean() > 0
    assert richest_part(picture, 2000).shape == picture.shape
