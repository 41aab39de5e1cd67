"""The shell's line for a job: parsed by the shell's own parser, it gives the same settings."""

import shlex
from dataclasses import asdict

import numpy as np
import pytest
import zarr

from napari_sam.cli.main import build_parser
from napari_sam.cli.volumes import run_config, volume_config
from napari_sam.segmentation.everything import EverythingConfig
from napari_sam.volume import (
    LinkConfig,
    LocalExecutor,
    ProcessExecutor,
    RunConfig,
    Shard,
    VolumeConfig,
    open_source,
)
from napari_sam.volume.command import command_line

CONFIGS = [
    VolumeConfig(),
    VolumeConfig(
        level="s0",
        channel="GFP (488 nm)",
        time=3,
        block_size=2048,
        empty_contrast=0.1,
        contrast_limits=(-5.5, 1e-3),
        name="nuclei.2",
        voxel_size=(2.0, 0.5, 0.5),
        origin=(-3.0, 0.0, 100.0),
        unit="micrometer",
    ),
    VolumeConfig(
        channel=2,
        link=LinkConfig(
            iou_thresh=1 / 3, containment_thresh=0.9, max_gap=0, smooth=False, min_voxels=12
        ),
    ),
    VolumeConfig(
        everything=EverythingConfig(
            mode="grid",
            object_diameter=22.798740606668495,
            min_mask_region_area=10,
            level="one size",
            points="adaptive",
            points_per_side=16,
            crop_overlap_ratio=0.1,
            tile_side=0,
            redraw_thresh=0.0,
        )
    ),
]
RUNS = [
    RunConfig(),
    RunConfig(on_error="skip", retry_failed=True, take_lock=True),
    RunConfig(executor=LocalExecutor(at_once=2), shard=Shard(index=2, count=5)),
    RunConfig(executor=ProcessExecutor(("cuda:0", "cuda:1")), only_finish=True),
]


@pytest.fixture
def source(tmp_path):
    zarr.create_array(store=tmp_path / "my image.zarr", data=np.zeros((2, 8, 9), np.uint8))
    return open_source(tmp_path / "my image.zarr")


def parsed(line):
    words = shlex.split(line)
    assert words[0] == "napari-sam"
    return build_parser().parse_args(words[1:])


@pytest.mark.parametrize("config", CONFIGS)
@pytest.mark.parametrize("run", RUNS)
def test_the_line_gives_the_same_job(source, tmp_path, config, run):
    output = tmp_path / "it's here.zarr"
    line = command_line(source, output, config, model="nano", device="cuda:1", run=run)
    arguments = parsed(line)
    assert arguments.source == source.location
    assert arguments.output == str(output)
    assert (arguments.model, arguments.device) == ("nano", "cuda:1")
    assert volume_config(arguments) == config
    assert asdict(run_config(arguments)) == asdict(run)


def test_defaults_are_not_named(source, tmp_path):
    line = command_line(source, tmp_path / "o.zarr", VolumeConfig(), model="nano")
    assert shlex.split(line) == [
        "napari-sam",
        "volume",
        source.location,
        str(tmp_path / "o.zarr"),
    ]


def test_a_checkpoint_is_named_by_its_whole_path(source, tmp_path, monkeypatch):
    (tmp_path / "my sam.pth").write_bytes(b"")
    monkeypatch.chdir(tmp_path)
    line = command_line(source, "o.zarr", VolumeConfig(), model="my sam.pth")
    assert parsed(line).model == str(tmp_path / "my sam.pth")
    assert parsed(line).output == str(tmp_path / "o.zarr")


def test_an_array_in_memory_has_no_line(tmp_path):
    source = open_source(np.zeros((2, 8, 9), np.uint8))
    assert command_line(source, tmp_path / "o.zarr", VolumeConfig(), model="nano") is None


def test_every_setting_has_an_option(source, tmp_path):
    """A new setting must be added to the shell, or this fails."""
    line = command_line(source, tmp_path, VolumeConfig(), model="nano")
    arguments = parsed(line)
    named = set(vars(arguments))
    for name in (*asdict(VolumeConfig().everything), *asdict(VolumeConfig().link)):
        assert name in named | {"level", "link_iou_thresh", "iou_thresh"}
