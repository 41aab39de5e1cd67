"""What is made of two opinions on the size of objects."""

from types import SimpleNamespace

import numpy as np
import pytest
import torch

from napari_sam.segmentation import object_size as tested
from napari_sam.segmentation.object_size import object_size

IMAGE = np.zeros((64, 64, 1), np.float32)
KNOWN = 40.0


class Network:
    """Has heads that say nothing of interest."""

    def __init__(self, *, instances: bool = True, sizes: bool = True) -> None:
        self.instance_decoder = object() if instances else None
        self.size_decoder = object() if sizes else None

    def instance_maps(self, image):
        return torch.zeros(1, 3, 64, 64)

    def size_votes(self, image, shape):
        return torch.zeros(1, 33)


@pytest.fixture
def measured(monkeypatch):
    """Let instances measure and votes estimate given diameters, after one look at a scale."""

    def both(instances, votes):
        looks = []
        embedding = SimpleNamespace(image=None, geometry=SimpleNamespace(input_shape=(64, 64)))

        def measure(image, segment, known):
            segment(image, 2.0)
            return instances

        def estimate(image, judge, octaves, known):
            judge(image, 2.0)
            return votes

        def look(part, scale):
            looks.append(scale)
            return embedding

        monkeypatch.setattr(tested, "diameter_of_instances", measure)
        monkeypatch.setattr(tested, "estimate_diameter", estimate)
        return look, looks

    return both


def test_the_geometric_mean_of_both_from_one_look(measured):
    look, looks = measured(10.0, 40.0)
    assert object_size(Network(), IMAGE, KNOWN, look) == pytest.approx(20)
    assert looks == [2.0]


def test_votes_alone_where_few_objects_are_seen(measured):
    look, _ = measured(None, 30.0)
    assert object_size(Network(), IMAGE, KNOWN, look) == pytest.approx(30)
    assert object_size(Network(instances=False), IMAGE, KNOWN, look) == pytest.approx(30)


def test_without_a_size_decoder_instances_decide(measured):
    look, _ = measured(10.0, 30.0)
    assert object_size(Network(sizes=False), IMAGE, KNOWN, look) == pytest.approx(10)


def test_where_nothing_is_known_objects_are_as_the_network_knows_them(measured):
    look, _ = measured(None, 30.0)
    assert object_size(Network(sizes=False), IMAGE, KNOWN, look) == KNOWN
