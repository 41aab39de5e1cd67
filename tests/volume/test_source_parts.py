"""Windows of slices, chunks, places, and sources that go to another process."""

import multiprocessing
import pickle

import dask.array as da
import numpy as np
import pytest
import tifffile
import zarr
from zarr.storage import MemoryStore

from napari_sam.volume import open_source
from tests.volume.toys import write_image

STACK = np.arange(4 * 40 * 50, dtype=np.uint16).reshape(4, 40, 50)


def stored(kind, folder):
    """Store the stack in one way; return what opens it."""
    if kind == "tif":
        tifffile.imwrite(
            folder / "a.tif", STACK, compression="zlib", tile=(16, 32), photometric="minisblack"
        )
        return folder / "a.tif"
    if kind == "folder":
        for z, plane in enumerate(STACK):
            tifffile.imwrite(folder / f"{z}.tif", plane)
        return folder
    if kind == "image":
        write_image(folder / "a.zarr", [STACK[:, ::2, ::2], STACK], axes="zyx")
        return folder / "a.zarr"
    chunks = {"chunks": (1, 16, 32)}
    return zarr.create_array(store=folder / "a.zarr", data=STACK, **chunks).store.root


@pytest.mark.parametrize("kind", ["tif", "folder", "image", "array", "numpy", "dask"])
def test_a_window_is_a_part_of_a_slice(tmp_path, kind):
    kinds = {"numpy": STACK, "dask": da.from_array(STACK, chunks=(1, 16, 32))}
    opened = kinds[kind] if kind in kinds else stored(kind, tmp_path)
    source = open_source(opened, level=1 if kind == "image" else 0)
    for window in (np.s_[3:17, 30:34], np.s_[:, 49:], np.s_[39:99, -2:], np.s_[0:1, 0:1]):
        part = source.read(2, window)
        np.testing.assert_array_equal(part, STACK[2][window])
        assert part.flags.c_contiguous


def test_a_window_keeps_colors_and_the_order_of_axes():
    colors = np.arange(4 * 6 * 5 * 3, dtype=np.uint8).reshape(4, 6, 5, 3)
    part = open_source(colors).read(1, np.s_[2:4, 1:5])
    np.testing.assert_array_equal(part, colors[1, 2:4, 1:5])
    turned = zarr.array(STACK.transpose(2, 1, 0), dimension_names=("x", "y", "z"))
    np.testing.assert_array_equal(open_source(turned).read(3, np.s_[2:4, 1:5]), STACK[3, 2:4, 1:5])


def test_chunks_outside_a_window_are_not_read(tmp_path):
    path = stored("array", tmp_path)
    source = open_source(path)
    for chunk in (path / "c" / "2").rglob("*"):
        if chunk.is_file() and chunk.relative_to(path / "c").as_posix() != "2/1/1":
            chunk.write_bytes(b"damaged")
    np.testing.assert_array_equal(source.read(2, np.s_[16:32, 32:50]), STACK[2, 16:32, 32:50])
    with pytest.raises(Exception):  # noqa: B017, PT011 - zarr has no error of its own for this
        source.read(2, np.s_[15:32, 32:50])


@pytest.mark.parametrize("window", [np.s_[::2, :], np.s_[5:5, :], np.s_[40:, :], np.s_[:, ::-1]])
def test_other_windows_are_refused(window):
    with pytest.raises(ValueError, match=r"of step 1, .* that hold a pixel of the 40 x 50 ones"):
        open_source(STACK).read(0, window)


class Uneven:
    """An array that tells the length of every chunk, as xarray does."""

    shape, dtype, chunks = STACK.shape, STACK.dtype, ((2, 2), (40,), (30, 20))

    def __getitem__(self, selection):
        return STACK[selection]


def test_chunks_are_those_that_are_stored(tmp_path):
    assert open_source(STACK).chunks is None
    assert open_source(da.from_array(STACK, chunks=(2, 16, 32))).chunks == (2, 16, 32)
    assert open_source(stored("array", tmp_path)).chunks == (1, 16, 32)
    assert open_source(Uneven()).chunks is None
    many = zarr.zeros((3, 2, 4, 40, 50), chunks=(1, 2, 4, 20, 10), dtype="u2")
    assert open_source(many, time=0, channel=1).chunks == (4, 20, 10)
    plane = zarr.zeros((40, 50), chunks=(20, 10), dtype="u2")
    assert open_source(plane).chunks == (1, 20, 10)
    sharded = zarr.create_array(
        store={}, shape=(4, 40, 50), chunks=(1, 10, 10), shards=(4, 20, 50), dtype="u2"
    )
    assert open_source(sharded).chunks == (1, 10, 10)


def test_a_source_knows_where_it_came_from(tmp_path, monkeypatch):
    path = stored("image", tmp_path)
    monkeypatch.chdir(tmp_path)
    by_path, by_group = open_source("a.zarr", level=1), open_source(zarr.open(path), level=1)
    assert by_path.location == by_group.location == str(path)
    assert by_path.array_path == by_group.array_path == "s1"
    by_array = open_source(zarr.open(path)["s1"])
    assert (by_array.location, by_array.array_path) == (str(path / "s1"), "")
    for array in (STACK, da.from_array(STACK), zarr.array(STACK)):
        assert open_source(array).location is None


def _answer(source, queue):
    queue.put((source, source.read(3, np.s_[2:30, 7:40])))


@pytest.mark.parametrize("kind", ["tif", "image", "numpy"])
def test_a_source_goes_to_another_process(tmp_path, kind):
    opened = STACK if kind == "numpy" else stored(kind, tmp_path)
    source = open_source(opened, level=1 if kind == "image" else 0)
    context = multiprocessing.get_context("spawn")
    queue = context.Queue()
    process = context.Process(target=_answer, args=(source, queue))
    process.start()
    there, part = queue.get(timeout=120)
    process.join()
    assert there == source
    np.testing.assert_array_equal(part, STACK[3, 2:30, 7:40])


@pytest.mark.parametrize("kind", ["tif", "folder", "image", "array"])
def test_what_is_pickled_is_small_and_opens_the_same(tmp_path, kind):
    source = open_source(stored(kind, tmp_path))
    content = pickle.dumps(source)
    assert len(content) < 1000
    again = pickle.loads(content)
    assert again == source
    np.testing.assert_array_equal(again.read(1), source.read(1))


def test_a_group_in_a_store_is_found_again(tmp_path):
    write_image(tmp_path / "all.zarr" / "images" / "first", [STACK], axes="zyx")
    group = zarr.open(tmp_path / "all.zarr", path="images/first", mode="r")
    again = pickle.loads(pickle.dumps(open_source(group)))
    np.testing.assert_array_equal(again.read(2), STACK[2])


@pytest.mark.parametrize("array", [zarr.array(STACK, store=MemoryStore()), da.from_array(STACK)])
def test_what_is_only_in_this_process_is_refused(array):
    with pytest.raises(TypeError, match=r"must come from a path or a URL, .* in memory; write it"):
        pickle.dumps(open_source(array))


def test_a_source_that_is_gone_is_told(tmp_path):
    path = stored("image", tmp_path)
    content = pickle.dumps(open_source(path, level=1))
    (path / "s1").rename(path / "s2")
    with pytest.raises(ValueError, match=r"a.zarr' must have the array 's1', .* open the source"):
        pickle.loads(content)
    path.rename(tmp_path / "b.zarr")
    with pytest.raises(FileNotFoundError, match="does not exist"):
        pickle.loads(content)
