"""A TIFF file that was cut off or damaged is told from a whole one."""

import struct

import numpy as np
import pytest
import tifffile

from napari_sam.volume import open_source
from napari_sam.volume.tiff_directory import TiffError, check_directories

STACK = (np.arange(5 * 30 * 40) % 60000).reshape(5, 30, 40).astype(np.uint16)


@pytest.mark.parametrize("big", [False, True])
@pytest.mark.parametrize("order", ["<", ">"])
@pytest.mark.parametrize(
    "options",
    [
        {},
        {"metadata": None},
        {"compression": "zlib", "rowsperstrip": 8},
        {"compression": "zlib", "tile": (16, 16)},
        {"ome": True, "metadata": {"axes": "ZYX"}},
    ],
)
def test_wherever_a_file_ends_too_early_it_is_refused(tmp_path, options, order, big):
    path = tmp_path / "stack.tif"
    tifffile.imwrite(path, STACK, byteorder=order, bigtiff=big, **options)
    check_directories(path)
    content = path.read_bytes()
    for share in (0, 0.01, 0.1, 0.5, 0.9, 0.99):
        path.write_bytes(content[: int(share * len(content))])
        with pytest.raises(TiffError, match=r"stack.tif' is"):
            open_source(path)


def test_an_imagej_stack_of_one_directory_is_refused(tmp_path):
    """ImageJ writes a single directory where a stack has more than 4 GB."""
    path = tmp_path / "stack.tif"
    tifffile.imwrite(path, STACK, truncate=True)
    np.testing.assert_array_equal(open_source(path).read(4), STACK[4])
    path.write_bytes(path.read_bytes()[:-9])
    with pytest.raises(TiffError, match="is cut off: its pixels end at byte"):
        open_source(path)


def test_directories_in_a_circle_are_refused(tmp_path):
    path = tmp_path / "stack.tif"
    tifffile.imwrite(path, STACK[0])
    content = bytearray(path.read_bytes())
    (first,) = struct.unpack_from("<I", content, 4)
    (count,) = struct.unpack_from("<H", content, first)
    struct.pack_into("<I", content, first + 2 + 12 * count, first)
    path.write_bytes(content)
    with pytest.raises(TiffError, match="run in a circle"):
        check_directories(path)


@pytest.mark.parametrize(
    "content", [b"", b"II", b"II*\0", b"not a picture, but text", b"II+\0" * 3]
)
def test_what_is_no_tiff_is_refused(tmp_path, content):
    (tmp_path / "stack.tif").write_bytes(content)
    with pytest.raises(TiffError, match="is no TIFF file"):
        open_source(tmp_path / "stack.tif")


def test_noise_in_a_file_gives_pixels_or_a_clear_error(tmp_path):
    path = tmp_path / "stack.tif"
    tifffile.imwrite(path, STACK, compression="zlib", rowsperstrip=8)
    content = path.read_bytes()
    dice = np.random.default_rng(0)
    refused = 0
    for _ in range(150):
        damaged = bytearray(content)
        damaged[int(dice.integers(len(damaged)))] ^= int(dice.integers(1, 256))
        path.write_bytes(damaged)
        try:
            source = open_source(path)
            source.read(0)
            source.read(source.shape[0] - 1)
        except ValueError:
            refused += 1
    assert refused > 20
