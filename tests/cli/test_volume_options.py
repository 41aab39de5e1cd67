"""Every setting of a volume job can be given in the shell, and is told back."""

import dataclasses

import numpy as np
import pytest
import zarr

from napari_sam.cli import main
from napari_sam.cli.main import build_parser
from napari_sam.cli.volume_options import LINK_OPTIONS
from napari_sam.cli.volumes import run_config, volume_config
from napari_sam.segmentation.instance_looks import MOST_LOOKS
from napari_sam.volume import LinkConfig, LocalExecutor, ProcessExecutor, Shard, VolumeConfig
from tests.volume.toys import write_image


def parsed(*words):
    return build_parser().parse_args(["volume", "in.zarr", *words])


@pytest.fixture
def stack(tmp_path):
    """A stack of 3 slices with one bright rod."""
    volume = np.full((3, 96, 96), 20, np.uint8)
    volume += np.random.default_rng(0).integers(0, 8, volume.shape, np.uint8)
    rows, cols = np.mgrid[:96, :96]
    volume[:, np.hypot(rows - 48, cols - 40) < 14] = 220
    zarr.create_array(store=tmp_path / "in.zarr", data=volume)
    return str(tmp_path / "in.zarr")


def test_without_options_all_is_default():
    assert volume_config(parsed("out.zarr")) == VolumeConfig()
    assert run_config(parsed("out.zarr")).executor == LocalExecutor()


def test_every_link_setting_has_an_option():
    assert set(LINK_OPTIONS) == {field.name for field in dataclasses.fields(LinkConfig)}
    words = "--link-iou-thresh .3 --containment-thresh .7 --max-gap 2 --no-smooth --min-voxels 9"
    config = volume_config(parsed("out.zarr", *words.split(), "--block-size", "2048"))
    assert config.link == LinkConfig(
        iou_thresh=0.3, containment_thresh=0.7, max_gap=2, smooth=False, min_voxels=9
    )
    assert config.block_size == 2048


def test_how_a_job_is_run():
    run = run_config(parsed("out.zarr", "--shard", "2/5", "--on-error", "skip", "--take-lock"))
    assert run.shard == Shard(index=2, count=5)
    assert (run.on_error, run.take_lock, run.retry_failed) == ("skip", True, False)
    devices = run_config(parsed("out.zarr", "--devices", "cuda:0,cuda:1")).executor
    assert devices == ProcessExecutor(("cuda:0", "cuda:1"))
    assert run_config(parsed("o", "--at-once", "2")).executor == LocalExecutor(at_once=2)


def test_a_dry_run_tells_and_writes_nothing(stack, tmp_path, capsys):
    before = sorted(tmp_path.rglob("*"))
    output = str(tmp_path / "out.zarr")
    assert main(["volume", stack, output, "--dry-run", "--device", "cpu"]) == 0
    told = capsys.readouterr().out
    for words in ("3 slices of 96 x 96", "s a block", "on cpu", "writes"):
        assert words in told
    assert sorted(tmp_path.rglob("*")) == before


def test_shares_and_the_finish(stack, tmp_path, capsys):
    output = str(tmp_path / "out.zarr")
    words = ["volume", stack, output, "--device", "cpu", "--object-diameter", "28"]
    assert main([*words, "--shard", "1/2"]) == 0
    assert main([*words, "--finish"]) == 1
    assert "run their shards first" in capsys.readouterr().err
    assert main([*words, "--shard", "2/2"]) == 0
    assert main([*words, "--finish"]) == 0
    assert "1 objects in 3 slices" in capsys.readouterr().out


def test_other_settings_start_from_kept_embeddings(stack, tmp_path):
    kept = str(tmp_path / "kept")
    words = ["volume", stack, "--device", "cpu", "--object-diameter", "28"]
    words += ["--keep-embeddings", kept]
    assert main([*words, str(tmp_path / "one.zarr")]) == 0
    entries = sorted(path.name for path in (tmp_path / "kept").iterdir())
    assert len(entries) == 3 * MOST_LOOKS
    assert main([*words, str(tmp_path / "other.zarr"), "--seed-prominence", "0.3"]) == 0
    assert sorted(path.name for path in (tmp_path / "kept").iterdir()) == entries


def test_labels_may_go_into_the_image(tmp_path):
    volume = np.zeros((2, 64, 64), np.uint8)
    volume[:, 20:44, 20:44] = 200
    image = str(write_image(tmp_path / "image.zarr", [volume], axes="zyx"))
    assert main(["volume", image, image, "--device", "cpu", "--name", "cells"]) == 0
    assert zarr.open_group(image + "/labels", mode="r").attrs["ome"]["labels"] == ["cells"]
