"""One contrast per volume."""

import numpy as np
import pytest
import zarr

from napari_sam.volume import contrast, open_source
from napari_sam.volume.contrast import sample_volume, sampled_slices, volume_diameter


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


@pytest.mark.parametrize("chunks", [None, (1, 96, 128), (1, 512, 64), (2, 1000, 700)])
@pytest.mark.parametrize("at_once", [1, 50_000, 2**22])
def test_slices_are_read_in_bands_with_the_same_result(monkeypatch, chunks, at_once):
    volume = np.random.default_rng(0).normal(size=(3, 1000, 700)).astype(np.float32)
    whole = sample_volume(open_source(volume))
    monkeypatch.setattr(contrast, "_PIXELS_AT_ONCE", at_once)
    stored = volume if chunks is None else zarr.array(volume, chunks=chunks)
    source = open_source(stored)
    assert sample_volume(source) == whole
    step = 4  # of 700,000 pixels, 65,536 are looked at
    assert whole.contrast_limits == pytest.approx(
        np.percentile(volume[:, ::step, ::step], (0.1, 99.9))
    )


def test_of_large_slices_parts_are_measured():
    seen = []

    def estimate(image, contrast_limits):
        seen.append(image)
        return float(image.mean())

    rows = np.arange(400.0).reshape(400, 1) * np.ones(100)
    volume = np.stack([rows + 1000 * z for z in range(8)])
    assert volume_diameter(estimate, open_source(volume), None, most=100) is not None
    assert [part.shape for part in seen] == [(100, 100)] * 3
    assert [part[0, 0] for part in seen] == [2050, 4150, 6250]
    seen.clear()
    volume_diameter(estimate, open_source(rows), None, most=100)
    assert [part[0, 0] for part in seen] == [50, 150, 250]
    seen.clear()
    volume_diameter(estimate, open_source(rows), None, most=400)
    assert [part.shape for part in seen] == [(400, 100)]


def test_digest_tells_volumes_apart():
    volume = np.zeros((3, 400, 400), np.uint8)
    first = sample_volume(open_source(volume))
    assert sample_volume(open_source(volume.copy())) == first
    volume[1, 201, 333] = 1
    assert sample_volume(open_source(volume)).digest != first.digest
