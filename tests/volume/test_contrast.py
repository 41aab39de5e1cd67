"""One contrast per volume."""

import numpy as np
import pytest

from napari_sam.volume import open_source
from napari_sam.volume.contrast import sample_volume, sampled_slices


def test_few_slices_from_end_to_end():
    assert sampled_slices(1) == [0]
    assert sampled_slices(3) == [0, 1, 2]
    assert sampled_slices(1000) == [0, 143, 285, 428, 571, 714, 856, 999]


def test_limits_are_percentiles_over_all_slices():
    volume = np.repeat(np.arange(0.0, 101.0), 2).reshape(2, 1, 101)
    volume[1] += 100
    sample = sample_volume(open_source(volume))
    values = np.sort(volume.ravel())
    assert sample.contrast_limits == pytest.approx(np.percentile(values, (0.1, 99.9)))


@pytest.mark.parametrize(
    ("volume", "limits"),
    [
        (np.full((2, 5, 5), 7, np.uint8), (7.0, 7.0)),
        (np.full((2, 5, 5), np.nan), (0.0, 1.0)),
        (np.array([[2.0, np.inf, np.nan, 2.0]]), (2.0, 2.0)),
        (np.eye(1, 5000), (0.0, 1.0)),
        (np.zeros((2, 3, 5, 3), np.uint8), None),
        (np.dstack([np.zeros((2, 2, 3)), np.full((2, 2), 9.0)]), (0.0, 0.0)),
    ],
    ids=[
        "constant",
        "nan",
        "one value and inf",
        "nearly empty",
        "8-bit rgb",
        "alpha is no intensity",
    ],
)
def test_limits_of_special_volumes(volume, limits):
    assert sample_volume(open_source(volume)).contrast_limits == limits


def test_digest_tells_volumes_apart():
    volume = np.zeros((3, 400, 400), np.uint8)
    first = sample_volume(open_source(volume))
    assert sample_volume(open_source(volume.copy())) == first
    volume[1, 201, 333] = 1
    assert sample_volume(open_source(volume)).digest != first.digest
