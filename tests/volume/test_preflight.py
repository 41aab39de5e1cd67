"""What a job will take, told before it runs."""

import numpy as np
import pytest

from napari_sam.volume import OutputError, VolumeConfig, preflight
from tests.oracle import OraclePredictor
from tests.volume.toys import drawn_volume, tree, write_image


def test_two_blocks_are_timed_and_nothing_is_written(tmp_path):
    predictor = OraclePredictor(threshold=100, seconds=0.02)
    told = preflight(predictor, drawn_volume(), tmp_path / "out.zarr")
    assert predictor.n_embed == 2
    assert told.n_found == (2, 2)  # slices 1 and 2
    assert 0.02 <= told.block_seconds[-1] < 5
    assert told.seconds == pytest.approx(5 * told.block_seconds[-1])
    assert tree(tmp_path) == {}
    assert told.contrast_limits == (0, 200)
    assert 0 < told.scratch < 5 * 300 * 40 * 4
    assert told.memory == 5 * 300 * 40 * 6
    text = "\n".join(told.lines())
    for words in ("5 slices of 300 x 40", "on cpu", "2 and 2 objects", "in 2 levels", "free"):
        assert words in text


def test_a_job_that_would_be_refused_is_refused_here(tmp_path):
    write_image(tmp_path / "image.zarr", [drawn_volume()], axes="zyx")
    with pytest.raises(OutputError, match="other contents"):
        preflight(OraclePredictor(), drawn_volume(), tmp_path / "image.zarr")


def test_blocks_of_large_slices_are_told(tmp_path):
    volume = np.zeros((1, 2050, 4100), np.uint8)
    config = VolumeConfig(block_size=2048)
    told = preflight(OraclePredictor(threshold=100), volume, tmp_path / "o.zarr", config)
    assert "1 slices of 2050 x 4100 of 6 blocks each" in told.lines()[0]
