"""Instance maps in the mean of several looks."""

import dataclasses

import numpy as np
import pytest

from napari_sam.segmentation.everything_config import EverythingConfig
from napari_sam.segmentation.instance_looks import MOST_LOOKS, mean_instance_maps
from napari_sam.segmentation.predictor import Predictor


@pytest.fixture(scope="module")
def predictor():
    return Predictor("nano", device="cpu")


@pytest.fixture(scope="module")
def picture():
    image = np.random.default_rng(0).random((120, 150), np.float32)
    image[20:60, 30:80] += 3
    return image


def test_maps_are_the_mean_of_the_looks(predictor, picture):
    embedding = predictor.embed(picture, object_diameter=30)
    limits = embedding.picture.contrast_limits

    def seen(axis: int, diameter: float) -> np.ndarray:
        mirrored = np.flip(picture, axis)
        other = predictor.embed(mirrored, contrast_limits=limits, object_diameter=diameter)
        return np.flip(predictor.instance_maps(other), axis + 1)

    first = predictor.instance_maps(embedding)
    nearer, further = seen(1, 24), seen(0, 37.5)
    assert np.abs(first - nearer).max() > 1e-4
    for looks, maps in ((1, [first]), (2, [first, nearer]), (3, [first, nearer, further])):
        found = mean_instance_maps(predictor, embedding, looks)
        assert np.allclose(found, np.mean(maps, 0), atol=1e-6)
        assert found.dtype == np.float32


def test_an_embedding_without_its_picture_is_looked_at_once(predictor, picture):
    embedding = dataclasses.replace(predictor.embed(picture, object_diameter=30), picture=None)
    once = predictor.instance_maps(embedding)
    assert np.array_equal(mean_instance_maps(predictor, embedding, MOST_LOOKS), once)


@pytest.mark.parametrize("looks", [0, MOST_LOOKS + 1])
def test_as_many_looks_as_there_are(looks):
    with pytest.raises(ValueError, match="looks must lie between 1 and 3"):
        EverythingConfig(looks=looks)
