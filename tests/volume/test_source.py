"""Opening volumes: kinds of sources, axes, levels, channels, and what is refused."""

import dask.array as da
import numpy as np
import pytest
import zarr

from napari_sam.volume import OmeMetadataError, open_source
from tests.volume.toys import write_image


def counted(*shape, dtype=np.uint16):
    return np.arange(np.prod(shape), dtype=dtype).reshape(shape)


@pytest.mark.parametrize("zarr_format", [2, 3])
@pytest.mark.parametrize("dtype", ["<u2", ">u2"])
def test_zarr_array_by_path(tmp_path, zarr_format, dtype):
    stored = counted(3, 4, 5).astype(dtype)
    zarr.create_array(store=tmp_path / "a.zarr", data=stored, zarr_format=zarr_format)
    source = open_source(tmp_path / "a.zarr")
    assert source.shape == (3, 4, 5)
    assert source.axes == ("z", "y", "x")
    assert source.dtype.isnative
    np.testing.assert_array_equal(source.read(2), stored[2])
    assert source.read(2).dtype.isnative


def test_stored_dimension_names_are_taken(tmp_path):
    stored = counted(4, 5, 3, 2)
    zarr.create_array(store=tmp_path / "a.zarr", data=stored, dimension_names=("x", "y", "z", "c"))
    source = open_source(str(tmp_path / "a.zarr"), channel=1)
    assert source.shape == (3, 5, 4)
    np.testing.assert_array_equal(source.read(2), stored[:, :, 2, 1].T)


@pytest.mark.parametrize(
    ("shape", "options", "expected_shape", "part"),
    [
        ((4, 5), {}, (1, 4, 5), np.s_[:, :]),
        ((2, 4, 5), {}, (2, 4, 5), np.s_[0]),
        ((4, 5, 3), {}, (1, 4, 5), np.s_[:, :, :]),
        ((2, 4, 5, 3), {}, (2, 4, 5), np.s_[0]),
        ((4, 5, 3), {"channel": 2}, (1, 4, 5), np.s_[:, :, 2]),
        ((6, 4, 5), {"channel": 1}, (1, 4, 5), np.s_[1]),
        ((6, 2, 4, 5), {"channel": 1}, (2, 4, 5), np.s_[1, 0]),
        ((6, 2, 4, 5), {"time": 5}, (2, 4, 5), np.s_[5, 0]),
        ((6, 7, 2, 4, 5), {"time": 5, "channel": 6}, (2, 4, 5), np.s_[5, 6, 0]),
    ],
)
def test_axes_of_plain_arrays(shape, options, expected_shape, part):
    array = counted(*shape)
    source = open_source(array, **options)
    assert source.shape == expected_shape
    np.testing.assert_array_equal(source.read(0), array[part])


def test_one_slice_of_a_dask_array_is_computed():
    computed = []

    def make(block_info=None):
        computed.append(block_info[None]["chunk-location"][0])
        return np.ones((1, 4, 5))

    lazy = da.map_blocks(make, chunks=((1,) * 6, (4,), (5,)), dtype=float, meta=np.ones((0, 0, 0)))
    source = open_source(lazy)
    source.read(3)
    assert computed == [3]


@pytest.mark.parametrize("version", ["0.4", "0.5"])
def test_ome_zarr_image(tmp_path, version):
    fine, coarse = counted(2, 3, 4, 8, 6), counted(2, 3, 4, 4, 3)
    path = write_image(
        tmp_path / "image.zarr",
        [fine, coarse],
        axes="tczyx",
        version=version,
        scales=[
            ((1, 1, 2.0, 0.5, 0.5), (0, 0, 7.0, 8.0, 9.0)),
            ((1, 1, 2.0, 1.0, 1.0), (0, 0, 7.0, 8.25, 9.25)),
        ],
        channel_names=("DAPI", "GFP", "RFP"),
        units="micrometer",
    )
    source = open_source(path, channel="GFP", time=1)
    assert (source.shape, source.scale) == ((4, 8, 6), (2.0, 0.5, 0.5))
    assert source.translation == (7.0, 8.0, 9.0)
    assert source.units == ("micrometer",) * 3
    np.testing.assert_array_equal(source.read(3), fine[1, 1, 3])
    for level in (1, "s1"):
        low = open_source(path, level=level, channel=2, time=0)
        assert (low.shape, low.scale) == ((4, 4, 3), (2.0, 1.0, 1.0))
        assert low.translation == (7.0, 8.25, 9.25)
        np.testing.assert_array_equal(low.read(0), coarse[0, 2, 0])


def test_transforms_of_the_whole_image_come_after_those_of_the_level(tmp_path):
    path = write_image(
        tmp_path / "image.zarr",
        [counted(4, 5)],
        axes="yx",
        scales=[((2.0, 3.0), (1.0, 1.0))],
    )
    group = zarr.open_group(path)
    ome = group.attrs["ome"]
    ome["multiscales"][0]["coordinateTransformations"] = [
        {"type": "scale", "scale": [10.0, 10.0]},
        {"type": "translation", "translation": [5.0, 0.0]},
    ]
    group.attrs["ome"] = ome
    source = open_source(path)
    assert source.scale == (1.0, 20.0, 30.0)
    assert source.translation == (0.0, 15.0, 10.0)


def test_single_channel_and_time_need_no_choice(tmp_path):
    path = write_image(tmp_path / "image.zarr", [counted(1, 1, 2, 4, 5)], axes="tczyx")
    assert open_source(path).shape == (2, 4, 5)


def test_opened_source_comes_back_as_it_is():
    source = open_source(counted(2, 4, 5))
    assert open_source(source) is source


@pytest.mark.parametrize(
    ("source", "options", "error", "message"),
    [
        ([[1, 2]], {}, TypeError, "got list; wrap lists with numpy.asarray"),
        (np.ones((2, 2), complex), {}, TypeError, "real numbers, got complex128"),
        (np.ones((0, 2)), {}, ValueError, r"not be empty, got the shape \(0, 2\)"),
        (np.ones(5), {}, ValueError, r"\(Y, X\) or \(Z, Y, X\).*got the shape \(5,\)"),
        (np.ones((2, 2, 5, 5)), {}, ValueError, "choose one with channel="),
        (np.ones((5, 5)), {"level": 1}, ValueError, "level must be 0 for a plain array, got 1"),
        (np.ones((2, 5, 5)), {"channel": 2}, ValueError, "channel must be from 0 to 1, got 2"),
        (np.ones((2, 5, 5)), {"time": -1}, ValueError, "time must be from 0 to 1, got -1"),
        (np.ones((2, 5, 5)), {"channel": "GFP"}, ValueError, "Unknown channel 'GFP'"),
    ],
)
def test_refused_arrays(source, options, error, message):
    with pytest.raises(error, match=message):
        open_source(source, **options)


def test_refused_paths(tmp_path):
    with pytest.raises(FileNotFoundError, match="does not exist"):
        open_source(tmp_path / "nothing.zarr")
    (tmp_path / "image.png").write_bytes(b"PNG")
    with pytest.raises(ValueError, match=r"image.png' is neither a zarr array nor a zarr group"):
        open_source(tmp_path / "image.png")
    zarr.create_group(store=tmp_path / "group.zarr").create_array("em", data=counted(2, 2))
    with pytest.raises(OmeMetadataError, match="no multiscales; it holds em"):
        open_source(tmp_path / "group.zarr")


def test_a_group_with_other_files_is_refused_in_the_same_words(tmp_path):
    zarr.create_group(store=tmp_path / "group.zarr").create_group("labels")
    (tmp_path / "group.zarr" / ".napari_sam").mkdir()
    with pytest.raises(OmeMetadataError, match="it holds labels: pass the path"):
        open_source(tmp_path / "group.zarr")


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({}, r"has 2 channel entries \(DAPI, GFP\); choose one with channel=0 to channel=1"),
        ({"channel": "RFP"}, "Unknown channel 'RFP'; channels are DAPI, GFP"),
        ({"channel": 0, "time": 0}, "time was given"),
        ({"channel": 0, "level": 1}, r"level must be an index from 0 to 0 .*\['s0'\], got 1"),
        ({"channel": 0, "level": "0"}, r"\['s0'\], got '0'"),
    ],
)
def test_refused_choices_on_an_image(tmp_path, options, message):
    path = write_image(
        tmp_path / "image.zarr", [counted(2, 4, 5)], axes="cyx", channel_names=("DAPI", "GFP")
    )
    with pytest.raises(ValueError, match=message):
        open_source(path, **options)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"axes": None}, "must have axes with names"),
        ({"axes": [{"name": "lambda"}, {"name": "x"}]}, "axes must be y and x .* got lambda, x"),
        ({"datasets": []}, "at least one dataset"),
        ({"datasets": [{"path": "s9"}]}, "'s9' must be an array of the axes y, x"),
        (
            {"coordinateTransformations": [{"type": "rotation"}]},
            "must be scale or translation, got 'rotation'",
        ),
        ({"coordinateTransformations": [{"type": "scale", "scale": [1.0]}]}, "one number per axis"),
    ],
)
def test_refused_metadata(tmp_path, change, message):
    path = write_image(tmp_path / "image.zarr", [counted(4, 5)], axes="yx")
    group = zarr.open_group(path)
    ome = group.attrs["ome"]
    ome["multiscales"][0].update(change)
    group.attrs["ome"] = ome
    with pytest.raises(OmeMetadataError, match=message):
        open_source(path)


def test_slices_out_of_range_are_refused():
    with pytest.raises(IndexError, match="z must be from 0 to 1, got 2"):
        open_source(counted(2, 4, 5)).read(2)
