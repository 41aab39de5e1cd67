"""TIFF files as arrays: every way they are stored, windows, threads, and damage."""

import itertools
import pickle
import struct
import threading

import numpy as np
import pytest
import tifffile

from napari_sam.volume.tiff import TiffStack
from napari_sam.volume.tiff_directory import TiffError

STACK = (np.arange(6 * 40 * 50) % 60000).reshape(6, 40, 50).astype(np.uint16)
COLORS = np.arange(3 * 40 * 50 * 3, dtype=np.uint32).astype(np.uint8).reshape(3, 40, 50, 3)
ZLIB = {"compression": "zlib"}
TILES = {"tile": (16, 32), "compression": "zlib"}
PLAIN = {"metadata": None}

KINDS = {
    "contiguous": (STACK, {}, "QYX", (1, 40, 50)),
    "generic": (STACK, PLAIN, "IYX", (1, 40, 50)),
    "strips": (STACK, {**ZLIB, "rowsperstrip": 16}, "QYX", (1, 16, 50)),
    "tiles": (STACK, TILES, "QYX", (1, 16, 32)),
    "predictor": (STACK, {**TILES, "predictor": True}, "QYX", (1, 16, 32)),
    "plain tiles": (STACK, {"tile": (16, 32)}, "QYX", (1, 16, 32)),
    "big": (STACK, {"bigtiff": True, "byteorder": ">"}, "QYX", (1, 40, 50)),
    "big tiles": (STACK, {**TILES, "bigtiff": True, "byteorder": ">"}, "QYX", (1, 16, 32)),
    "float": (STACK.astype(np.float32) / 7, ZLIB, "QYX", (1, 40, 50)),
    "bilevel": (STACK[0] % 2 > 0, {}, "YX", (40, 50)),
    "one row": (STACK[:, :1], ZLIB, "QYX", (1, 1, 50)),
    "imagej": (
        STACK.reshape(3, 2, 40, 50),
        {"imagej": True, "metadata": {"axes": "ZCYX"}},
        "ZCYX",
        (1, 1, 40, 50),
    ),
    "ome": (
        STACK.reshape(3, 2, 40, 50),
        {**ZLIB, "ome": True, "metadata": {"axes": "TZYX"}},
        "TZYX",
        (1, 1, 40, 50),
    ),
    "colors": (COLORS, {"photometric": "rgb"}, "QYXS", (1, 40, 50, 3)),
    "color tiles": (COLORS, {**TILES, "photometric": "rgb"}, "QYXS", (1, 16, 32, 3)),
    "planes of colors": (
        np.ascontiguousarray(COLORS.transpose(0, 3, 1, 2)),
        {**TILES, "photometric": "rgb", "planarconfig": "separate"},
        "QSYX",
        (1, 3, 16, 32),
    ),
    "blocks": (STACK, {**ZLIB, "volumetric": True, "tile": (4, 16, 32)}, "ZYX", (4, 16, 32)),
}


@pytest.fixture
def write(tmp_path):
    def write(data, name="stack.tif", **options):
        tifffile.imwrite(tmp_path / name, data, **options)
        return tmp_path / name

    return write


@pytest.mark.parametrize("kind", KINDS)
def test_every_kind_is_read_whole_and_in_windows(write, kind):
    data, options, letters, chunks = KINDS[kind]
    stack = TiffStack(write(data, **options))
    assert (stack.letters, stack.shape, stack.chunks) == (letters, data.shape, chunks)
    assert stack.dtype == data.dtype
    np.testing.assert_array_equal(stack[:], data)
    rows, cols = letters.index("Y"), letters.index("X")
    for row, col in itertools.product(
        [slice(0, 1), slice(15, 33), slice(39, 40)], [slice(31, 33), slice(49, 50)]
    ):
        window = [slice(None)] * data.ndim
        window[rows], window[cols] = row, col
        np.testing.assert_array_equal(stack[tuple(window)], data[tuple(window)])
    first = (0,) * (data.ndim - 2) if letters[-2:] == "YX" else (0,)
    np.testing.assert_array_equal(stack[first], data[first])
    assert stack[first].dtype.isnative


def test_images_of_one_plane_each_are_a_stack(tmp_path):
    with tifffile.TiffWriter(tmp_path / "many.tif") as writer:
        for plane in STACK:
            writer.write(plane, compression="zlib")
    stack = TiffStack(tmp_path / "many.tif")
    assert (stack.letters, stack.shape) == ("QYX", STACK.shape)
    np.testing.assert_array_equal(stack[4:6, 3], STACK[4:6, 3])


def test_several_stacks_in_a_file_are_refused(tmp_path):
    with tifffile.TiffWriter(tmp_path / "two.tif") as writer:
        writer.write(STACK)
        writer.write(STACK)
    with pytest.raises(TiffError, match=r"two.tif' must have one image, got 2 of the shape \(6,"):
        TiffStack(tmp_path / "two.tif")


def test_a_thumbnail_is_not_looked_at(tmp_path):
    with tifffile.TiffWriter(tmp_path / "small.tif") as writer:
        writer.write(STACK)
        writer.write(STACK[0, ::4, ::4])
    assert TiffStack(tmp_path / "small.tif").shape == STACK.shape


@pytest.mark.parametrize("options", [{}, TILES])
def test_a_level_of_a_pyramid(tmp_path, options):
    options = {"tile": (16, 16), **options}
    with tifffile.TiffWriter(tmp_path / "image.ome.tif") as writer:
        writer.write(STACK, subifds=1, metadata={"axes": "ZYX"}, **options)
        writer.write(STACK[:, ::2, ::2], subfiletype=1, **options)
    stack = TiffStack(tmp_path / "image.ome.tif", level=1)
    assert stack.levels == ((6, 40, 50), (6, 20, 25))
    np.testing.assert_array_equal(stack[:], STACK[:, ::2, ::2])
    np.testing.assert_array_equal(pickle.loads(pickle.dumps(stack))[5], STACK[5, ::2, ::2])
    with pytest.raises(TiffError, match="level must be an index from 0 to 1, got 2"):
        TiffStack(tmp_path / "image.ome.tif", level=2)


def test_a_plane_that_an_ome_tiff_lacks_is_empty(tmp_path, write):
    path = write(STACK[:2], "image.ome.tif", metadata={"axes": "ZYX"}, **ZLIB)
    text = tifffile.tiffcomment(path).replace('SizeZ="2"', 'SizeZ="3"')
    tifffile.tiffcomment(path, text.encode())
    stack = TiffStack(path)
    assert stack.shape == (3, 40, 50)
    np.testing.assert_array_equal(stack[1], STACK[1])
    assert not stack[2].any()


def test_an_image_in_several_files(tmp_path):
    """OME-TIFF may say that planes lie in files beside it."""
    names = ["a.ome.tif", "b.ome.tif"]
    ids = ["urn:uuid:00000000-0000-0000-0000-00000000000a", "urn:uuid:" + "0" * 8 + "-0000" * 3]
    ids[1] += "-00000000000b"
    blocks = "".join(
        f'<TiffData FirstZ="{z}" IFD="0" PlaneCount="1"><UUID FileName="{name}">{uuid}</UUID>'
        "</TiffData>"
        for z, (name, uuid) in enumerate(zip(names, ids, strict=True))
    )
    for z, (name, uuid) in enumerate(zip(names, ids, strict=True)):
        text = (
            f'<?xml version="1.0"?><OME xmlns="http://www.openmicroscopy.org/Schemas/OME/2016-06" '
            f'UUID="{uuid}"><Image ID="Image:0"><Pixels ID="Pixels:0" DimensionOrder="XYZCT" '
            f'Type="uint16" SizeX="50" SizeY="40" SizeZ="2" SizeC="1" SizeT="1">{blocks}</Pixels>'
            "</Image></OME>"
        )
        tifffile.imwrite(tmp_path / name, STACK[z], description=text, metadata=None, **ZLIB)
    stack = TiffStack(tmp_path / "a.ome.tif")
    np.testing.assert_array_equal(stack[:], STACK[:2])


@pytest.mark.parametrize("kind", ["contiguous", "tiles"])
def test_threads_read_at_once(write, kind):
    data, options, _, _ = KINDS[kind]
    stack = TiffStack(write(data, **options))
    wrong, gate = [], threading.Barrier(8)

    def read(seed):
        gate.wait()
        wrong.extend(
            z
            for z in np.random.default_rng(seed).integers(0, 6, 40)
            if not np.array_equal(stack[z, 5:20, 7:40], data[z, 5:20, 7:40])
        )

    threads = [threading.Thread(target=read, args=(seed,)) for seed in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert wrong == []


def test_a_file_can_be_removed_while_it_is_known(write):
    path = write(STACK, **ZLIB)
    stack = TiffStack(path)
    stack[0]
    path.unlink()
    with pytest.raises(FileNotFoundError):
        stack[1]


def test_only_what_a_window_needs_is_read(write, monkeypatch):
    stack = TiffStack(write(STACK, **TILES))
    sizes = []
    read = tifffile.FileHandle.read

    def counted(handle, size=-1):
        sizes.append(size)
        return read(handle, size)

    monkeypatch.setattr(tifffile.FileHandle, "read", counted)
    stack[3]
    whole = len(sizes)
    sizes.clear()
    stack[3, 0:16, 0:32]
    assert (whole, len(sizes)) == (6, 1)


@pytest.mark.parametrize("part", [6, -1, np.s_[:, ::2], np.s_[:, ::-1]])
def test_other_parts_are_refused(write, part):
    with pytest.raises(IndexError, match="slices of step 1"):
        TiffStack(write(STACK))[part]


def test_pixels_that_were_damaged_are_told_with_the_file(write):
    path = write(STACK, **ZLIB)
    stack = TiffStack(path)
    with tifffile.TiffFile(path) as file:
        place = file.pages[3].dataoffsets[0]
    content = bytearray(path.read_bytes())
    content[place : place + 40] = b"\xff" * 40
    path.write_bytes(content)
    np.testing.assert_array_equal(stack[2], STACK[2])
    with pytest.raises(TiffError, match=r"stack.tif' is damaged or cut off"):
        stack[3]


@pytest.mark.parametrize("options", [{}, {"metadata": None, "rowsperstrip": 7}])
def test_a_file_that_is_cut_off_later_is_told(write, options):
    path = write(STACK, **options)
    stack = TiffStack(path)
    path.write_bytes(path.read_bytes()[:20_000])
    with pytest.raises(TiffError, match=r"stack.tif' is damaged or cut off"):
        stack[5]


def test_an_unknown_compression_is_told_at_once(write):
    path = write(STACK[0], **ZLIB)
    with tifffile.TiffFile(path) as file:
        place = file.pages[0].tags["Compression"].valueoffset
    content = bytearray(path.read_bytes())
    content[place : place + 2] = struct.pack("<H", 65000)
    path.write_bytes(content)
    with pytest.raises(TiffError, match=r"compressed in a way .* install imagecodecs"):
        TiffStack(path)
