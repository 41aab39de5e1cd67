"""Slices that are cut into blocks, and blocks that hold nothing."""

from dataclasses import replace

import numpy as np
import pytest
import zarr

from napari_sam.volume import VolumeConfig, segment_volume
from napari_sam.volume.contrast import is_empty
from napari_sam.volume.plan import plan_volume
from tests.oracle import OraclePredictor


def test_cores_partition_a_slice_and_regions_overlap():
    plan = plan_volume("out.zarr", "sam", (2, 5000, 3000), block_size=2048)
    plan = replace(plan, halo=40)
    covered = np.zeros((5000, 3000), np.uint8)
    for number in range(6):
        covered[plan.block(number).core] += 1
    assert (covered == 1).all()
    block = plan.block(6 + 3)  # slice 1, second row, second column
    assert (block.z, block.tile) == (1, 3)
    assert block.core == (slice(2048, 4096), slice(2048, 3000))
    assert block.region == (slice(2008, 4136), slice(2008, 3000))
    assert block.inner == (slice(40, 2088), slice(40, 992))
    assert plan.scratch_shape == (2, 6, 2128, 2088)


def test_write_blocks_are_whole_shards_of_every_level():
    plan = plan_volume("out.zarr", "sam", (10, 5000, 3000), block_size=2048)
    for level, shape in enumerate(plan.level_shapes):
        shards, chunks = plan.shards(level)
        written = np.zeros(shape, np.uint8)
        for part in plan.write_blocks:
            where = part.at_level(level)
            assert all(cut.start % side == 0 for cut, side in zip(where, shards, strict=True))
            written[where] += 1
        assert (written == 1).all()
        assert all(side % chunk == 0 for side, chunk in zip(shards, chunks, strict=True))


@pytest.fixture(scope="module")
def large_volume():
    """2 slices of 2080 x 2080: discs on seams and the corner, one in a core, one in slice 1."""
    volume = np.zeros((2, 2080, 2080), np.uint8)
    rows, cols = np.ogrid[:2080, :2080]
    for row, col in ((2048, 2048), (2050, 1000), (700, 2040), (300, 300)):
        volume[:, (rows - row) ** 2 + (cols - col) ** 2 < 15**2] = 200
    volume[1, 1500:1530, 500:530] = 200
    return volume


def test_objects_over_seams_and_corners_are_one(large_volume, tmp_path):
    config = VolumeConfig(block_size=2048)
    report = segment_volume(OraclePredictor(threshold=100), large_volume, tmp_path / "o", config)
    labels = zarr.open_array(report.labels_path / "0", mode="r")[:]
    assert report.n_objects == 5
    assert np.array_equal(labels > 0, large_volume > 0)
    corner = labels[0, 2030:2066, 2030:2066]
    assert len(np.unique(corner[corner > 0])) == 1
    assert report.objects.links.seams == 2 * 6  # a slice: two pairs, and the four of the corner
    whole = segment_volume(OraclePredictor(threshold=100), large_volume, tmp_path / "whole")
    assert whole.n_objects == 5
    assert whole.objects.links.seams == 0


def test_empty_blocks_are_not_looked_at(tmp_path):
    volume = np.zeros((4, 60, 60), np.uint16)
    volume[1, 20:40, 20:40] = 1000
    volume[3] = 7  # of 1000: no contrast
    predictor = OraclePredictor(threshold=100)
    segment_volume(predictor, volume, tmp_path / "out.zarr")
    assert predictor.n_embed == 1
    segment_volume(predictor, volume, tmp_path / "all.zarr", VolumeConfig(empty_contrast=0))
    assert predictor.n_embed == 1 + 4


@pytest.mark.parametrize(
    ("pixels", "limits", "empty"),
    [
        (np.zeros((8, 8), np.uint8), (0, 100), True),
        (np.full((8, 8), np.nan), (0, 100), True),
        (np.pad(np.full((4, 4), 90), 2), (0, 100), False),
        (np.pad(np.full((4, 4), 1), 2), (0, 100), True),
        (np.pad(np.full((5, 5), 90), ((900, 95), (30, 965))), (0, 100), False),
        (np.random.default_rng(0).normal(50, 1, (256, 256)), (0, 100), True),
        (np.pad(np.full((4, 4), 90, np.uint8), 2)[..., None].repeat(3, 2), None, False),
    ],
)
def test_what_is_empty(pixels, limits, empty):
    assert is_empty(pixels, limits, 0.02) is empty
