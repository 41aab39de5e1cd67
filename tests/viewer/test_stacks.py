"""The stack of a layer as a job's source: opened by its place wherever the file has the pixels."""

import dask.array as da
import numpy as np
import pytest
import tifffile
import zarr
from napari.components import ViewerModel
from napari.layers import Image

from napari_sam.viewer.layers import shown_plane
from napari_sam.viewer.stacks import Picks, take_stack
from tests.volume.toys import write_image

CHANNELS = np.random.default_rng(0).integers(0, 200, (2, 3, 4, 24, 30)).astype(np.uint8)
"""Two times, three channels, (Z, Y, X) = (4, 24, 30)."""


GRAY = {"metadata": {"axes": "ZYX"}, "photometric": "minisblack"}


def taken(data, at=(), **options):
    viewer = ViewerModel()
    layer = viewer.add_layer(Image(data, **options))
    for axis, index in enumerate(at):
        viewer.dims.set_point(axis, index)
    return take_stack(layer, shown_plane(viewer, layer))


@pytest.fixture
def stored(tmp_path):
    path = write_image(
        tmp_path / "image.zarr", [CHANNELS], axes="tczyx", channel_names=("DAPI", "GFP", "RFP")
    )
    return zarr.open_array(path / "s0", mode="r"), path


@pytest.fixture
def source_of():
    """Take the stack of a layer that a reader of napari has opened."""
    from napari.layers._source import layer_source

    def of(path, data, at=(), **options):
        with layer_source(path=str(path)):
            return taken(data, at, **options)

    return of


@pytest.mark.parametrize("channel", [0, 2])
def test_the_shown_channel_and_time_are_found(stored, source_of, channel):
    _, path = stored
    stack = source_of(path, da.from_array(CHANNELS)[:, channel], at=(1,))
    source, picks = stack.open()
    assert picks == Picks(channel=channel, time=1)
    assert source.location == str(path)
    np.testing.assert_array_equal(source.read(2), CHANNELS[1, channel, 2])


def test_a_single_time_point_need_not_be_named(tmp_path, source_of):
    path = write_image(tmp_path / "image.zarr", [CHANNELS[:1]], axes="tczyx")
    source, picks = source_of(path, da.from_array(CHANNELS[:1])[:, 1], at=(0,)).open()
    assert (source.location, picks) == (str(path), Picks(channel=1))


def test_a_zarr_array_is_opened_where_it_lies(tmp_path):
    array = zarr.create_array(store=tmp_path / "a.zarr", data=CHANNELS[0, 0])
    for data in (array, da.from_zarr(array)):
        source, picks = taken(data).open()
        assert (source.location, picks) == (str(tmp_path / "a.zarr"), Picks())


def test_a_tiff_is_opened_by_its_path(tmp_path, source_of):
    tifffile.imwrite(tmp_path / "a.tif", CHANNELS[0, 0], **GRAY)
    source, _ = source_of(tmp_path / "a.tif", CHANNELS[0, 0]).open()
    assert source.location == str(tmp_path / "a.tif")


def test_pixels_that_were_changed_are_taken_from_the_layer(tmp_path, source_of):
    tifffile.imwrite(tmp_path / "a.tif", CHANNELS[0, 0], **GRAY)
    source, picks = source_of(tmp_path / "a.tif", CHANNELS[0, 0] // 2).open()
    assert (source.location, picks) == (None, Picks())
    assert source.read(0).max() == CHANNELS[0, 0, 0].max() // 2


def test_channels_that_look_alike_are_told_apart_by_name(tmp_path, source_of):
    data = np.zeros((3, 4, 24, 30), np.uint8)
    path = write_image(
        tmp_path / "image.zarr", [data], axes="czyx", channel_names=("DAPI", "GFP", "RFP")
    )
    _, picks = source_of(path, data[1], name="GFP").open()
    assert picks == Picks(channel=1)
    source, _ = source_of(path, data[1], name="image").open()
    assert source.location is None


def test_a_file_that_is_gone_or_strange_leaves_the_array(tmp_path, source_of):
    (tmp_path / "a.png").write_bytes(b"png")
    for name in ("a.png", "gone.tif"):
        source, _ = source_of(tmp_path / name, CHANNELS[0, 0]).open()
        assert source.location is None
        np.testing.assert_array_equal(source.read(1), CHANNELS[0, 0, 1])


def sparse(side: int) -> np.ndarray:
    volume = np.zeros((8, side, side), np.uint16)
    volume[2, -side // 5 :, 20:60] = 900
    return volume


def test_a_mirrored_view_of_a_sparse_volume_is_not_taken_for_the_file(tmp_path):
    stored = zarr.create_array(tmp_path / "in.zarr", data=sparse(600))
    mirrored = taken(da.from_zarr(stored)[:, :, ::-1])
    source, _ = mirrored.open()
    assert source.location is None
    np.testing.assert_array_equal(source.read(2), sparse(600)[2, :, ::-1])
    plain, _ = taken(da.from_zarr(stored)).open()
    assert plain.location is not None


PLACED = {"scale": (2, 0.5, 0.5), "translate": (0, 100, 0), "units": ("um",) * 3}


def test_a_file_that_says_nothing_of_its_place_lies_where_the_layer_does(tmp_path):
    stored = zarr.create_array(tmp_path / "in.zarr", data=CHANNELS[0, 0])
    stack = taken(stored, **PLACED)
    source, _ = stack.open()
    assert source.location is not None
    assert stack.placement(source) == {
        "voxel_size": (2, 0.5, 0.5),
        "origin": (0, 100, 0),
        "unit": "micrometer",
    }
    plain = taken(stored)
    assert plain.placement(plain.open()[0]) == {}


def test_a_file_keeps_what_it_says_of_its_place(tmp_path, source_of):
    path = write_image(
        tmp_path / "a.zarr", [CHANNELS[0, 0]], axes="zyx", scales=[((3, 1, 1), (0, 0, 0))]
    )
    stack = source_of(path, CHANNELS[0, 0], **PLACED)
    source, _ = stack.open()
    assert source.scale == (3, 1, 1)
    assert stack.placement(source) == {}


def test_an_affine_of_a_layer_is_part_of_its_place():
    askew = np.diag([3.0, 2.0, 2.0, 1.0])
    askew[1, 3] = 100
    stack = taken(CHANNELS[0, 0], affine=askew, scale=(1, 0.5, 0.5))
    source, _ = stack.open()
    assert source.location is None
    assert (source.scale, source.translation) == ((3, 1, 1), (0, 100, 0))
