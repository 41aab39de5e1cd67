"""Mistaken arguments of public functions are named where they are given."""

import numpy as np
import pytest

from napari_sam import (
    EverythingConfig,
    VolumeConfig,
    generate_masks,
    segment_everything,
    segment_volume,
)
from napari_sam.segmentation.alike import find_alike
from tests.oracle import OraclePredictor

IMAGE = np.zeros((20, 30))


@pytest.mark.parametrize("call", [segment_everything, generate_masks])
def test_everything_names_a_mistaken_argument(call):
    with pytest.raises(TypeError, match=r"predictor must be a Predictor, .* got 'nano'"):
        call("nano", IMAGE)
    with pytest.raises(TypeError, match=r"config must be of type Everything.* got \{'mode'"):
        call(OraclePredictor(), IMAGE, {"mode": "grid"})
    with pytest.raises(TypeError, match=r"config must be of type EverythingConfig, .* VolumeC"):
        call(OraclePredictor(), IMAGE, VolumeConfig())


def test_a_volume_names_a_mistaken_argument_and_writes_nothing(tmp_path):
    output = tmp_path / "labels.zarr"
    with pytest.raises(TypeError, match=r"predictor must be a Predictor, .* got 'nano'"):
        segment_volume("nano", IMAGE, output)
    with pytest.raises(
        TypeError, match=r"config must be of type VolumeConfig, .* EverythingConfig"
    ):
        segment_volume(OraclePredictor(), IMAGE, output, EverythingConfig())
    assert not output.exists()


def test_examples_that_are_no_patches_are_named():
    with pytest.raises(TypeError, match=r"examples must be MaskPatch.*MaskPatch\.cut.*got ndarray"):
        find_alike(OraclePredictor(), None, [np.ones((4, 4), bool)])
