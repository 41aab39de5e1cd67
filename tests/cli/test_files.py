"""Images in, labels out."""

import imageio.v3 as iio
import numpy as np
import pytest
import tifffile

from napari_sam.cli import main
from napari_sam.cli.files import read_image, write_labels


@pytest.mark.parametrize("name", ["mask.png", "mask.tif", "mask.ome.tif"])
def test_a_full_disk_leaves_the_earlier_labels(name, tmp_path, monkeypatch):
    path = tmp_path / name
    labels = np.random.default_rng(0).integers(0, 60, (50, 50)).astype(np.uint8)
    write_labels(path, labels)
    assert np.array_equal(iio.imread(path), labels)
    if name.endswith("tif"):
        with tifffile.TiffFile(path) as file:
            assert file.is_ome == (".ome" in name)

    def cut_off(file, *_, **__):
        file.write_bytes(b"II")
        raise OSError("No space left on device")

    monkeypatch.setattr(tifffile, "imwrite", cut_off)
    monkeypatch.setattr(iio, "imwrite", cut_off)
    with pytest.raises(OSError, match="No space"):
        write_labels(path, labels)
    monkeypatch.undo()
    assert np.array_equal(iio.imread(path), labels)
    assert [file.name for file in tmp_path.iterdir()] == [name]


@pytest.mark.parametrize(
    ("shape", "expected"),
    [
        ((20, 30), (20, 30)),
        ((1, 20, 30), (20, 30)),
        ((1, 1, 20, 30), (20, 30)),
        ((1, 20, 30, 3), (20, 30, 3)),
        ((1, 30, 3), (1, 30, 3)),
        ((1, 20, 30, 2), (20, 30)),
    ],
)
def test_one_slice_is_an_image(shape, expected, tmp_path):
    pixels = np.arange(np.prod(shape), dtype=np.uint16).reshape(shape)
    tifffile.imwrite(tmp_path / "slice.tif", pixels, photometric="minisblack")
    image = read_image(tmp_path / "slice.tif")
    assert image.shape == expected
    assert image.flat[0] == 0


@pytest.mark.parametrize("shape", [(2, 20, 30), (1, 2, 20, 30)])
def test_stacks_are_for_volume(shape, tmp_path):
    tifffile.imwrite(tmp_path / "stack.tif", np.zeros(shape, np.uint8))
    with pytest.raises(ValueError, match="for a stack use `napari-sam volume`"):
        read_image(tmp_path / "stack.tif")


def test_colours_that_lie_one_behind_the_other_are_a_picture(tmp_path):
    colours = np.arange(20 * 30 * 3, dtype=np.uint16).reshape(20, 30, 3)
    planes = np.ascontiguousarray(colours.transpose(2, 0, 1))
    options = {"planarconfig": "separate"}
    tifffile.imwrite(tmp_path / "rgb.tif", planes, photometric="rgb", **options)
    np.testing.assert_array_equal(read_image(tmp_path / "rgb.tif"), colours)
    tifffile.imwrite(tmp_path / "stack.tif", planes, photometric="minisblack", **options)
    with pytest.raises(ValueError, match=r"\(3, 20, 30\), expected .* use `napari-sam volume`"):
        read_image(tmp_path / "stack.tif")


@pytest.mark.parametrize("words", [["segment", "--point", "1,1"], ["everything"]])
def test_a_folder_is_refused_before_the_image_is_read(words, tmp_path, capsys):
    (tmp_path / "labels.tif").mkdir()
    assert main([*words, "nowhere.png", "-o", str(tmp_path / "labels.tif")]) == 1
    assert "labels.tif' is a folder; choose a file" in capsys.readouterr().err


def test_a_compressed_file_that_was_cut_off_is_named(tmp_path):
    """Its reader raises neither an OSError nor a ValueError."""
    path = tmp_path / "cut.tif"
    tifffile.imwrite(path, np.arange(10_000, dtype=np.uint16).reshape(100, 100), compression="zlib")
    for length in (path.stat().st_size // 2, 3):
        path.write_bytes(path.read_bytes()[:length])
        with pytest.raises(ValueError, match=r"cut\.tif is damaged or cannot be read"):
            read_image(path)
