"""Every command runs on small images with the model that ships."""

import dataclasses
import json
import re

import imageio.v3 as iio
import numpy as np
import pytest
import tifffile
import zarr

from napari_sam.cli import main
from napari_sam.cli.images import everything_config
from napari_sam.cli.main import EVERYTHING_NUMBERS, build_parser
from napari_sam.segmentation.everything import EverythingConfig
from napari_sam.volume import open_source


@pytest.fixture
def picture(tmp_path):
    """A picture of two bright discs on a dark, noisy ground."""
    rows, cols = np.mgrid[:96, :128]
    image = np.random.default_rng(0).normal(30, 4, (96, 128))
    for row, col in ((30, 36), (60, 90)):
        image[np.hypot(rows - row, cols - col) < 14] += 150
    path = tmp_path / "discs.png"
    iio.imwrite(path, image.clip(0, 255).astype(np.uint8))
    return path


def test_a_click_gives_a_mask(picture, tmp_path, capsys):
    output = tmp_path / "mask.tif"
    assert main(["segment", str(picture), "--point", "30,36", "-o", str(output)]) == 0
    mask = tifffile.imread(output)
    assert mask.shape == (96, 128)
    assert mask[30, 36] == 1
    assert mask[60, 90] == 0
    assert 0.5 < mask.sum() / (np.pi * 14**2) < 1.6
    assert "predicted IoU" in capsys.readouterr().out


def test_a_box_and_a_background_point(picture, tmp_path):
    output = tmp_path / "mask.png"
    words = ["--box", "44,74,76,106", "--background", "10,10", "--candidate", "1"]
    assert main(["segment", str(picture), *words, "-o", str(output)]) == 0
    assert iio.imread(output)[60, 90] == 1


@pytest.mark.parametrize("mode", ["instances", "grid"])
def test_everything_finds_both_discs(picture, tmp_path, mode):
    output = tmp_path / "labels.tif"
    settings = ["--mode", mode, "--points-per-side", "12", "--pred-iou-thresh", "0.6"]
    settings += ["--stability-score-thresh", "0.7"]
    assert main(["everything", str(picture), "-o", str(output), *settings]) == 0
    labels = tifffile.imread(output)
    assert labels[30, 36] != 0
    assert labels[60, 90] not in (0, labels[30, 36])


def test_a_volume_is_segmented_and_resumed(tmp_path, capsys):
    stack = np.zeros((3, 64, 64), np.uint8)
    stack[:, 20:44, 20:44] = 200
    zarr.save_array(tmp_path / "in.zarr", stack)
    words = ["volume", str(tmp_path / "in.zarr"), str(tmp_path / "out.zarr")]
    assert main(words) == 0
    assert main(words) == 0
    assert "3 blocks from before" in capsys.readouterr().out
    labels = zarr.open_array(tmp_path / "out.zarr" / "labels" / "sam" / "0", mode="r")
    assert labels.shape == stack.shape


def test_a_tiff_stack_becomes_a_tiff_stack(tmp_path, capsys):
    stack = np.zeros((3, 64, 64), np.uint8)
    stack[:, 20:44, 20:44] = 200
    sizes = {"PhysicalSizeX": 0.5, "PhysicalSizeY": 0.5, "PhysicalSizeZ": 2.0}
    tifffile.imwrite(
        tmp_path / "in.ome.tif", stack, metadata={"axes": "ZYX", **sizes}, photometric="minisblack"
    )
    words = ["volume", str(tmp_path / "in.ome.tif"), str(tmp_path / "out.zarr")]
    assert main([*words, "--tiff", str(tmp_path / "no" / "labels.tif")]) == 1
    assert "make it first" in capsys.readouterr().err
    assert not (tmp_path / "out.zarr").exists()
    assert main([*words, "--tiff", str(tmp_path / "labels.tif")]) == 0
    labels = zarr.open_array(tmp_path / "out.zarr" / "labels" / "sam" / "0", mode="r")
    np.testing.assert_array_equal(tifffile.imread(tmp_path / "labels.tif"), labels[:])
    written = open_source(tmp_path / "labels.tif")
    assert (written.scale, written.units) == ((2.0, 0.5, 0.5), ("micrometer",) * 3)


def test_training_and_evaluating(tmp_path, capsys):
    data = tmp_path / "data"
    for name in ("images", "labels"):
        (data / name).mkdir(parents=True)
    labels = np.zeros((64, 64), np.uint8)
    labels[10:30, 10:30], labels[35:60, 30:60] = 1, 2
    tifffile.imwrite(data / "images" / "a.tif", (labels > 0) * np.uint8(200))
    tifffile.imwrite(data / "labels" / "a.tif", labels)
    scores = tmp_path / "scores.json"
    words = ["evaluate", "--data", str(data), "--json", str(scores), "--clicks", "2"]
    assert main(words) == 0
    assert "| data | 2 |" in capsys.readouterr().out
    assert 0 <= json.loads(scores.read_text())["scores"]["data"]["2 clicks"] <= 1
    recipe = tmp_path / "tiny.toml"
    recipe.write_text(
        "part_size = 1\ncrop_size = 64\nobjects_per_part = 2\nwindows = [[4, 1.0]]\n"
        "[network.encoder]\nchannels = [16, 16, 16, 16, 16]\nout_channels = 32\n"
        "[network.decoder]\nnum_heads = 2\nmlp_dim = 16\nattention_dim = 8\n"
        "iou_head_hidden_dim = 16\n"
    )
    model = tmp_path / "tiny.safetensors"
    words = ["train", "--config", str(recipe), "--data", str(data), "-o", str(model)]
    assert main([*words, "--steps", "2"]) == 0
    worst = tmp_path / "worst.png"
    words = ["evaluate", "--data", str(data), "--model", str(model), "--clicks", "1"]
    assert main([*words, "--most-clicks", "2", "--figure", str(worst)]) == 0
    assert worst.stat().st_size > 1000
    tuned = tmp_path / "tuned.safetensors"
    words = ["train", "--weights", str(model), "--data", str(data), "-o", str(tuned)]
    assert main([*words, "--steps", "1", "--tune", "decoder"]) == 0
    assert tuned.is_file()


def test_models_are_listed(capsys):
    assert main(["models"]) == 0
    out = capsys.readouterr().out
    assert "nano" in out
    assert "sam_vit" not in out
    assert "Apache-2.0" in out


def test_the_shell_offers_every_setting_of_everything():
    fields = {field.name for field in dataclasses.fields(EverythingConfig)}
    named = {"mode", "points", "level", "separation", "object_diameter"}
    assert {*EVERYTHING_NUMBERS, *named} == fields
    words = ["everything", "picture.png", "-o", "labels.tif", "--draw", "one size"]
    config = everything_config(build_parser().parse_args([*words, "--separation", "watershed"]))
    assert (config.level, config.separation) == ("one size", "watershed")


@pytest.mark.parametrize("command", ["everything", "volume", "evaluate"])
def test_help_says_what_each_setting_does(command, capsys):
    with pytest.raises(SystemExit):
        main([command, "--help"])
    told = " ".join(capsys.readouterr().out.split())
    assert "--points-per-side INT grid points along one side of the image (default: 32)" in told
    assert "--tile-side INT larger images are segmented in overlapping tiles" in told
    assert "(default: auto)" in told
    for name in EVERYTHING_NUMBERS:
        [said] = re.findall(rf"--{name.replace('_', '-')} (?:INT|FLOAT) ([a-z0-9-]+)", told)
        assert said.isalpha()


def test_a_grid_that_finds_nothing_says_what_to_lower(picture, tmp_path, capsys):
    words = ["everything", str(picture), "-o", str(tmp_path / "labels.tif"), "--mode", "grid"]
    assert main([*words, "--points-per-side", "2", "--stability-score-thresh", "1"]) == 0
    assert "0 objects" in (told := capsys.readouterr().out)
    assert "lower --stability-score-thresh (1) and --pred-iou-thresh (0.88)" in told


@pytest.mark.filterwarnings("default")
def test_warnings_are_told_in_a_line(tmp_path, capsys):
    image = np.random.default_rng(0).random((40, 50), np.float32)
    image[3, 4] = np.nan
    tifffile.imwrite(tmp_path / "image.tif", image)
    words = ["segment", str(tmp_path / "image.tif"), "--point", "20,20"]
    assert main([*words, "-o", str(tmp_path / "mask.tif")]) == 0
    told = [line for line in capsys.readouterr().err.splitlines() if "NaN" in line]
    assert len(told) == 1
    assert told[0].startswith("napari-sam: warning: The image has 1 pixels that are NaN")


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["segment", "nowhere.png", "--point", "1,1", "-o", "{dir}/m.tif"], "No image at"),
        (["segment", "{image}", "-o", "{dir}/m.tif"], "Say where the object is"),
        (["segment", "{image}", "--point", "500,1", "-o", "{dir}/m.tif"], "lies outside"),
        (["segment", "{image}", "--point", "5,1", "-o", "{dir}/m.jpg"], "written as tif or png"),
        (["segment", "{image}", "--point", "5,1", "-o", "{dir}/no/m.tif"], "does not exist"),
        (["everything", "{image}", "-o", "{dir}/m.tif", "--model", "x"], "Unknown model 'x'"),
        (["everything", "{image}", "-o", "{image}"], "is the image itself"),
        (["everything", "{dir}", "-o", "{dir}/m.tif"], ""),
        (["everything", "{garbage}", "-o", "{dir}/m.tif"], "damaged or cannot be read"),
        (["everything", "{image}", "-o", "{dir}/m.tif", "--points-per-side", "0"], "between 1"),
        (["evaluate", "--data", "{dir}"], "No pairs"),
        (["evaluate", "--data", "{pairs}", "--by", "colour"], "no column 'colour'"),
        (["evaluate", "--data", "{pairs}", "--source", "x"], "no samples to evaluate on"),
        (["evaluate", "--data", "{pairs}", "--json", "{dir}/no/s.json"], "does not exist"),
        (["volume", "{stack}", "{dir}/out.zarr", "--tiff", "{stack}"], "is the image itself"),
        (["demo", "-o", "{dir}", "--no-window"], "has other contents"),
        (["train", "--config", "nope", "-o", "{dir}/x.safetensors"], "No recipe"),
    ],
)
def test_errors_are_told_in_a_line(words, message, picture, tmp_path, capsys):
    garbage = tmp_path / "garbage.png"
    garbage.write_bytes(b"no picture")
    for name in ("images", "labels"):
        (tmp_path / "pairs" / name).mkdir(parents=True)
        iio.imwrite(tmp_path / "pairs" / name / "a.png", np.eye(8, dtype=np.uint8))
    stack = tmp_path / "stack.tif"
    tifffile.imwrite(stack, np.zeros((2, 8, 8), np.uint8), photometric="minisblack")
    names = {"image": picture, "dir": tmp_path, "garbage": garbage}
    names |= {"pairs": tmp_path / "pairs", "stack": stack}
    assert main([word.format(**names) for word in words]) == 1
    err = capsys.readouterr().err
    assert message in err
    assert err.startswith("napari-sam: ")
    assert err.count("\n") == 1


def test_wrong_numbers_are_a_usage_error(capsys):
    with pytest.raises(SystemExit):
        main(["segment", "x.png", "--point", "1;2", "-o", "m.tif"])
    assert "expected 2 numbers" in capsys.readouterr().err


def test_values_may_begin_with_a_minus(tmp_path):
    source = tmp_path / "ct.zarr"
    ramp = np.linspace(-1000, 400, 2 * 64 * 64).reshape(2, 64, 64).astype(np.int16)
    zarr.create_array(source, data=ramp)
    words = ["volume", str(source), str(tmp_path / "out.zarr"), "--contrast", "-1000,400"]
    assert main([*words, "--dry-run"]) == 0


def test_channels_that_are_called_by_numbers(tmp_path):
    source = tmp_path / "wells.zarr"
    group = zarr.create_group(source)
    pixels = np.zeros((2, 3, 64, 64), np.uint8)
    group.create_array("0", data=pixels, dimension_names=("c", "z", "y", "x"))
    axes = [{"name": "c", "type": "channel"}, *({"name": n, "type": "space"} for n in "zyx")]
    scale = [{"type": "scale", "scale": [1.0] * 4}]
    group.attrs["ome"] = {
        "version": "0.5",
        "multiscales": [
            {"axes": axes, "datasets": [{"path": "0", "coordinateTransformations": scale}]}
        ],
        "omero": {"channels": [{"label": "405"}, {"label": "488"}]},
    }
    words = ["volume", str(source), str(tmp_path / "out.zarr"), "--dry-run", "--channel"]
    assert main([*words, "488"]) == 0
    assert main([*words, "1"]) == 0
    assert main([*words, "2"]) == 1
