"""Which looks are taken to tell the size of objects, and what is made of them."""

from types import SimpleNamespace

import numpy as np
import pytest
import torch
from skimage.data import immunohistochemistry

from napari_sam.model.size_decoder import BINS_PER_OCTAVE, N_BINS, OCTAVES
from napari_sam.segmentation.object_size import object_size, richest_part
from napari_sam.segmentation.predictor import Predictor

KNOWN = 40.0
INSTANCE = 10.0
"""Side of the squares that the instance maps show."""


class Network:
    """Sees squares of one size at every scale, and votes for the diameter that objects have."""

    def __init__(
        self, diameter: float, *, instances: bool = True, sizes: bool = True, squares: bool = True
    ) -> None:
        self.diameter = diameter
        self.squares = squares
        self.instance_decoder = object() if instances else None
        self.size_decoder = object() if sizes else None

    def instance_maps(self, image):
        rows, cols = np.mgrid[:64, :64] % 32
        inside = (rows < INSTANCE) & (cols < INSTANCE) & self.squares
        seen = torch.from_numpy(np.where(inside, 9.0, -9.0).astype(np.float32))
        return torch.stack([seen, seen, seen])[None]

    def size_votes(self, image, shape):
        octaves = np.log2(self.diameter * image / KNOWN)
        votes = torch.full((1, N_BINS), -20.0)
        votes[0, np.clip(round((octaves + OCTAVES) * BINS_PER_OCTAVE), 0, N_BINS - 1)] = 0
        return votes


class Look:
    """Tells the network, in the place of what is encoded, the scale."""

    def __init__(self) -> None:
        self.taken = []

    def __call__(self, part, scale):
        self.taken.append((part.shape[:2], scale))
        return SimpleNamespace(image=scale, geometry=SimpleNamespace(input_shape=(64, 64)))

    @property
    def scales(self):
        return [scale for _, scale in self.taken]


def image(side: int) -> np.ndarray:
    return np.zeros((side, side, 1), np.float32)


@pytest.mark.parametrize(
    ("diameter", "scales"),
    [
        (35.0, [1, 2]),
        (25.0, [1, 2]),
        (18.0, [1, 2, 4]),
        (50.0, [1, 0.5]),
        (185.0, [1, 0.25, 0.125]),
        (3.0, [1, 4, 2]),
        (1000.0, [1, 0.125, 0.25]),
    ],
)
def test_the_scales_around_the_one_that_suits_are_looked_at(diameter, scales):
    look = Look()
    found = object_size(Network(diameter, instances=False), image(2000), KNOWN, look)
    assert found == pytest.approx(diameter, rel=0.15)
    assert look.scales == scales


def test_one_look_serves_both_and_their_geometric_mean_counts():
    network, look = Network(40.0), Look()
    found = object_size(network, image(400), KNOWN, look)
    alone = object_size(Network(40.0, sizes=False), image(400), KNOWN, Look())
    assert found == pytest.approx(np.sqrt(alone * 40), rel=0.05)
    assert len(look.scales) == len(set(look.scales))


def test_without_a_size_decoder_instances_decide():
    found = object_size(Network(40.0, sizes=False), image(400), KNOWN, Look())
    seen = 2 * np.sqrt(INSTANCE**2 / np.pi)  # from once, twice and four times as near
    assert found == pytest.approx(seen / 2, rel=0.1)


def test_votes_alone_where_few_objects_are_seen():
    found = object_size(Network(30.0, squares=False), image(400), KNOWN, Look())
    assert found == pytest.approx(30, rel=0.15)


def test_where_nothing_is_known_objects_are_as_the_network_knows_them():
    nothing = Network(40.0, instances=False, sizes=False)
    assert object_size(nothing, image(400), KNOWN, Look()) == KNOWN


def test_looks_never_exceed_384_pixels():
    look = Look()
    object_size(Network(200.0), image(3000), KNOWN, look)
    assert all(max(shape) * scale <= 384 + scale for shape, scale in look.taken)


@pytest.mark.parametrize(("side", "scales"), [(90, [2, 4]), (40, [4]), (5, [4])])
def test_images_are_not_shrunk_below_what_can_be_judged(side, scales):
    look = Look()
    assert object_size(Network(300.0), image(side), KNOWN, look) > 0
    assert look.scales == scales


def test_the_richest_part_is_looked_at():
    picture = np.zeros((900, 900, 1), np.float32)
    picture[700:860:8, 600:880] = 1
    assert richest_part(picture, 300).mean() > 0
    assert richest_part(picture, 2000).shape == picture.shape


@pytest.mark.parametrize("step", [1, 2])
def test_nuclei_are_meant_rather_than_the_glands_that_they_lie_in(step):
    tissue = immunohistochemistry()[::step, ::step]
    assert 15 / step < Predictor("nano", "cpu").estimate_diameter(tissue) < 45 / step
