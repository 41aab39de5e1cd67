"""Labels written as a TIFF stack: what comes back, its type, and what is never left behind."""

import os
import tracemalloc

import dask.array as da
import numpy as np
import pytest
import tifffile
import zarr

from napari_sam.volume import OutputError, open_source, tiff_export
from napari_sam.volume.tiff_export import write_tiff
from tests.volume.toys import drawn_volume, tree

UNITS = ("micrometer", "nanometer", "millimeter")


@pytest.mark.parametrize("wrap", [np.asarray, da.from_array, zarr.array])
def test_labels_scale_and_units_come_back(tmp_path, wrap):
    labels = drawn_volume().astype(np.uint32)
    path = write_tiff(
        tmp_path / "labels.tif", wrap(labels), name="cells", scale=(2, 0.1, 1 / 3), units=UNITS
    )
    source = open_source(path)
    assert (source.shape, source.stored_axes) == (labels.shape, ("z", "y", "x"))
    assert (source.scale, source.units) == ((2, 0.1, 1 / 3), UNITS)
    for z, plane in enumerate(labels):
        np.testing.assert_array_equal(source.read(z), plane)
    assert path.stat().st_size < labels.nbytes / 20
    assert "cells" in tifffile.tiffcomment(path)
    assert list(tmp_path.iterdir()) == [path]


@pytest.mark.parametrize(
    ("stored", "highest", "written"),
    [
        (bool, 1, np.uint8),
        (np.uint8, 255, np.uint8),
        (">u2", 65535, np.uint16),
        (np.uint32, 65535, np.uint16),
        (np.uint32, 65536, np.uint32),
        (np.int64, 2**32 - 1, np.uint32),
        (np.int8, 127, np.uint16),
    ],
)
def test_the_type_holds_the_largest_id(tmp_path, stored, highest, written):
    labels = np.zeros((3, 6, 5), stored)
    labels[1, 2, 3] = highest
    path = write_tiff(tmp_path / "labels.tif", labels)
    source = open_source(path)
    assert source.dtype == written
    assert source.read(1)[2, 3] == highest
    assert source.read(0).max() == source.read(2).max() == 0


def test_small_types_and_stacks_in_time_are_written_if_asked_for(tmp_path):
    labels = np.arange(2 * 3 * 6 * 5).reshape(2, 3, 6, 5) % 200
    path = write_tiff(tmp_path / "labels.tif", labels, least=np.uint8)
    with tifffile.TiffFile(path) as file:
        assert (file.series[0].axes, file.series[0].dtype) == ("TZYX", np.uint8)
        np.testing.assert_array_equal(file.asarray(), labels)


@pytest.mark.parametrize("shape", [(6, 5), (1, 6, 5), (3, 6, 3), (2, 1, 4), (3, 6, 4)])
def test_small_shapes_keep_their_axes(tmp_path, shape):
    labels = np.arange(np.prod(shape), dtype=np.uint16).reshape(shape)
    source = open_source(write_tiff(tmp_path / "labels.tif", labels))
    assert source.shape == (1, 1, 1)[: 3 - len(shape)] + shape
    assert not source.is_rgb
    np.testing.assert_array_equal(
        source.read(source.shape[0] - 1), labels.reshape(source.shape)[-1]
    )


def test_what_is_not_measured_has_no_unit(tmp_path):
    labels = drawn_volume()
    plain = open_source(write_tiff(tmp_path / "plain.tif", labels))
    assert (plain.scale, plain.units) == ((1, 1, 1), (None,) * 3)
    sized = write_tiff(tmp_path / "sized.tif", labels, scale=(3, 1, 2), units=("pixel", None, None))
    assert (open_source(sized).scale, open_source(sized).units) == ((3, 1, 2), (None,) * 3)


def test_imagej_reads_the_size_of_a_pixel_without_ome(tmp_path):
    path = write_tiff(
        tmp_path / "labels.tif", drawn_volume(), scale=(1, 0.5, 0.25), units=("micrometer",) * 3
    )
    with tifffile.TiffFile(path) as file:
        page = file.pages.first
        assert page.resolution == (40_000, 20_000)
        assert page.resolutionunit == tifffile.RESUNIT.CENTIMETER


def test_large_labels_become_a_bigtiff(tmp_path, monkeypatch):
    labels = drawn_volume()
    with tifffile.TiffFile(write_tiff(tmp_path / "classic.tif", labels)) as file:
        assert not file.is_bigtiff
    monkeypatch.setattr(tiff_export, "_CLASSIC_BYTES", labels.nbytes)
    path = write_tiff(tmp_path / "big.tif", labels)
    with tifffile.TiffFile(path) as file:
        assert file.is_bigtiff
    np.testing.assert_array_equal(open_source(path).read(2), labels[2])


def test_memory_holds_a_few_planes(tmp_path):
    labels = zarr.create_array(
        store=tmp_path / "labels.zarr", shape=(40, 500, 500), chunks=(1, 500, 500), dtype="uint32"
    )
    for z in range(40):
        labels[z] = z
    write_tiff(tmp_path / "warm.tif", labels[:2])
    tracemalloc.start()
    write_tiff(tmp_path / "labels.tif", labels)
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert peak < 8 * 500 * 500 * 4


class Broken:
    """Labels whose third plane cannot be read."""

    shape = (4, 300, 300)
    dtype = np.dtype(np.uint16)

    def __getitem__(self, z):
        if z == 2:
            raise OSError("the disk is gone")
        return np.ones(self.shape[1:], self.dtype)


def test_a_file_appears_when_it_is_whole(tmp_path):
    path = write_tiff(tmp_path / "labels.tif", drawn_volume())
    before = tree(tmp_path)
    with pytest.raises(OSError, match="the disk is gone"):
        write_tiff(path, Broken())
    assert tree(tmp_path) == before
    write_tiff(path, drawn_volume()[:2])
    assert open_source(path).shape[0] == 2
    assert os.listdir(tmp_path) == ["labels.tif"]  # noqa: PTH208


@pytest.mark.parametrize(
    "labels", [np.zeros((3, 3)), np.zeros(3, int), np.zeros((1,) * 5, int), np.zeros((0, 3), int)]
)
def test_what_is_no_labels_is_refused(tmp_path, labels):
    with pytest.raises(ValueError, match="must be integers"):
        write_tiff(tmp_path / "no.tif", labels)
    assert tree(tmp_path) == {}


@pytest.mark.parametrize("value", [-1, 2**32])
def test_ids_that_do_not_fit_are_refused(tmp_path, value):
    with pytest.raises(ValueError, match=f"from 0 to 4294967295, got {value}; renumber"):
        write_tiff(tmp_path / "no.tif", np.full((2, 3, 3), value))
    assert tree(tmp_path) == {}


def test_other_outputs_are_refused(tmp_path):
    (tmp_path / "folder.tif").mkdir()
    before = tree(tmp_path)
    for output, message in (
        (tmp_path / "labels.png", "ends in .tif or .tiff"),
        (tmp_path / "folder.tif", "must be a file"),
        (tmp_path / "no" / "labels.tif", "make it first"),
    ):
        with pytest.raises(OutputError, match=message):
            write_tiff(output, drawn_volume())
    with pytest.raises(ValueError, match="units must be lengths"):
        write_tiff(tmp_path / "labels.tif", drawn_volume(), units=("second",) * 3)
    assert tree(tmp_path) == before
