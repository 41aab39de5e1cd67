"""Labels that are whole already as an OME-Zarr label image."""

import dask.array as da
import numpy as np
import pytest
import zarr

from napari_sam.volume import OutputError, open_source
from napari_sam.volume.zarr_export import write_ome_zarr
from tests.volume.toys import drawn_volume, tree


@pytest.mark.parametrize("wrap", [np.asarray, da.from_array])
def test_labels_come_back_with_a_pyramid(tmp_path, wrap):
    labels = drawn_volume()
    path = write_ome_zarr(
        tmp_path / "labels.zarr",
        wrap(labels),
        scale=(2, 0.5, 0.5),
        translation=(1, 2, 3),
        units=("micrometer",) * 3,
    )
    source, small = open_source(path), open_source(path, level=1)
    assert (source.shape, source.dtype) == (labels.shape, labels.dtype)
    assert (source.scale, source.translation) == ((2, 0.5, 0.5), (1, 2, 3))
    assert source.units == ("micrometer",) * 3
    assert np.array_equal(source.read(1), labels[1])
    assert (small.scale, small.translation) == ((2, 1, 1), (1, 2, 3))
    assert np.array_equal(small.read(2), labels[2, ::2, ::2])
    assert "image-label" in zarr.open_group(path, mode="r").attrs["ome"]


def test_axes_are_those_of_the_labels(tmp_path):
    labels = np.arange(2 * 3 * 4 * 5).reshape(2, 3, 4, 5)
    path = write_ome_zarr(tmp_path / "series.zarr", labels)
    assert open_source(path, time=1).stored_axes == ("t", "z", "y", "x")
    assert np.array_equal(open_source(path, time=1).read(2), labels[1, 2])
    path = write_ome_zarr(tmp_path / "mask.zarr", labels[0, 0] > 3)
    assert open_source(path).stored_axes == ("y", "x")
    assert np.array_equal(open_source(path).read(0), labels[0, 0] > 3)
    assert write_ome_zarr(tmp_path / "empty.zarr", np.zeros((0, 4), np.uint8)).is_dir()


def test_nothing_that_is_there_is_changed(tmp_path):
    (tmp_path / "notes.txt").write_text("mine", encoding="utf-8")
    before = tree(tmp_path)
    for output in (tmp_path, tmp_path / "notes.txt"):
        with pytest.raises(OutputError, match="nothing was changed"):
            write_ome_zarr(output, drawn_volume())
    assert tree(tmp_path) == before


@pytest.mark.parametrize("labels", [np.zeros((3, 3)), np.zeros(3, int), np.zeros((1,) * 5, int)])
def test_what_is_no_labels_is_refused(tmp_path, labels):
    with pytest.raises(ValueError, match="must be integers"):
        write_ome_zarr(tmp_path / "no.zarr", labels)
    assert not (tmp_path / "no.zarr").exists()
