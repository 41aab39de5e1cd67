"""TIFF files and folders as volumes: axes, channels, sizes and units."""

import numpy as np
import pytest
import tifffile

from napari_sam.volume import open_source
from napari_sam.volume.tiff_directory import TiffError


def counted(*shape, dtype=np.uint16):
    return np.arange(np.prod(shape)).astype(dtype).reshape(shape)


@pytest.fixture
def write(tmp_path):
    def write(data, name="stack.tif", **options):
        tifffile.imwrite(tmp_path / name, data, **options)
        return tmp_path / name

    return write


@pytest.mark.parametrize(
    ("shape", "options", "expected_shape", "part"),
    [
        ((4, 5), {}, (1, 4, 5), np.s_[:, :]),
        ((2, 4, 5), {}, (2, 4, 5), np.s_[1]),
        ((6, 4, 5), {"channel": 1}, (1, 4, 5), np.s_[1]),
        ((6, 4, 5), {"time": 2}, (1, 4, 5), np.s_[2]),
        ((6, 2, 4, 5), {"channel": 1}, (2, 4, 5), np.s_[1, 1]),
        ((6, 7, 2, 4, 5), {"time": 5, "channel": 6}, (2, 4, 5), np.s_[5, 6, 1]),
    ],
)
def test_axes_without_names_are_those_of_an_array(write, shape, options, expected_shape, part):
    data = counted(*shape)
    source = open_source(write(data, photometric="minisblack"), **options)
    assert source.shape == expected_shape
    np.testing.assert_array_equal(source.read(source.shape[0] - 1), data[part])


def test_ome_tiff_says_all_that_ome_zarr_says(write):
    data = counted(2, 3, 4, 6, 5)
    metadata = {
        "axes": "TCZYX",
        "PhysicalSizeX": 0.3,
        "PhysicalSizeXUnit": "nm",
        "PhysicalSizeY": 0.2,
        "PhysicalSizeYUnit": "nm",
        "PhysicalSizeZ": 1.5,
        "Channel": {"Name": ["DAPI", "GFP", "RFP"]},
    }
    path = write(data, "image.ome.tif", metadata=metadata, compression="zlib")
    source = open_source(path, channel="GFP", time=1)
    assert (source.shape, source.scale) == ((4, 6, 5), (1.5, 0.2, 0.3))
    assert source.units == ("micrometer", "nanometer", "nanometer")
    assert source.chunks == (1, 6, 5)
    np.testing.assert_array_equal(source.read(3), data[1, 1, 3])
    with pytest.raises(ValueError, match=r"3 channel entries \(DAPI, GFP, RFP\)"):
        open_source(path, time=0)


def test_one_named_channel_needs_no_choice(write):
    metadata = {"axes": "ZYX", "Channel": {"Name": "EM"}}
    source = open_source(write(counted(3, 6, 5), "em.ome.tif", metadata=metadata))
    assert source.shape == (3, 6, 5)


@pytest.mark.parametrize(
    ("unit", "name"), [("\\u00B5m", "micrometer"), ("mm", "millimeter"), ("pixel", None)]
)
def test_imagej_hyperstack(write, unit, name):
    data = counted(4, 2, 6, 5)
    metadata = {"axes": "ZCYX", "spacing": 2.5, "unit": unit}
    path = write(data, imagej=True, resolution=(4, 2), metadata=metadata)
    source = open_source(path, channel=1)
    assert (source.shape, source.scale, source.units) == ((4, 6, 5), (2.5, 0.5, 0.25), (name,) * 3)
    np.testing.assert_array_equal(source.read(3), data[3, 1])


def test_dots_per_inch_are_no_size(write):
    source = open_source(write(counted(6, 5), resolution=(72, 72), resolutionunit="INCH"))
    assert (source.scale, source.units) == ((1, 1, 1), (None, None, None))


@pytest.mark.parametrize("depth", [2, 3, 4])
@pytest.mark.parametrize("dtype", [np.uint16, np.float32])
def test_a_stack_as_deep_as_a_picture_in_colour_is_one(write, depth, dtype):
    """Of three or four planes tifffile makes samples of one gray page, if it is not told."""
    data = counted(depth, 20, 30, dtype=dtype)
    source = open_source(write(data, photometric="minisblack", planarconfig="separate"))
    assert (source.shape, source.is_rgb) == ((depth, 20, 30), False)
    np.testing.assert_array_equal(source.read(1, np.s_[3:5, 4:9]), data[1, 3:5, 4:9])


@pytest.mark.parametrize("planar", [False, True])
def test_colors_are_read_together_or_one_is_chosen(write, planar):
    data = counted(3, 20, 30, 3, dtype=np.uint8)
    stored = np.ascontiguousarray(data.transpose(0, 3, 1, 2)) if planar else data
    options = {"planarconfig": "separate" if planar else "contig", "compression": "zlib"}
    path = write(stored, photometric="rgb", **options)
    source = open_source(path)
    assert (source.shape, source.is_rgb) == ((3, 20, 30), True)
    np.testing.assert_array_equal(source.read(2), data[2])
    np.testing.assert_array_equal(source.read(2, np.s_[3:5, 4:9]), data[2, 3:5, 4:9])
    green = open_source(path, channel=1)
    assert not green.is_rgb
    np.testing.assert_array_equal(green.read(2), data[2, ..., 1])


def test_a_level_has_larger_voxels(tmp_path):
    path, data = tmp_path / "image.ome.tif", counted(3, 64, 32)
    sizes = {"PhysicalSizeX": 0.5, "PhysicalSizeY": 0.25, "PhysicalSizeZ": 2.0}
    with tifffile.TiffWriter(path) as writer:
        writer.write(data, subifds=1, metadata={"axes": "ZYX", **sizes}, tile=(16, 16))
        writer.write(data[:, ::4, ::2], subfiletype=1, tile=(16, 16))
    source = open_source(path, level=1)
    assert (source.shape, source.scale) == ((3, 16, 16), (2.0, 1.0, 1.0))
    np.testing.assert_array_equal(source.read(1), data[1, ::4, ::2])
    with pytest.raises(ValueError, match="level must be an index from 0 to 1, got 2"):
        open_source(path, level=2)
    with pytest.raises(ValueError, match="must be an index, got 'coarse'"):
        open_source(path, level="coarse")


def test_a_folder_of_planes_in_natural_order(tmp_path):
    data = counted(12, 6, 5)
    for z, plane in enumerate(data):
        tifffile.imwrite(tmp_path / f"Z{z + 1}.TIF", plane)
    (tmp_path / "notes.txt").write_text("mine", encoding="utf-8")
    (tmp_path / "._Z1.TIF").write_bytes(b"of another system")
    source = open_source(tmp_path)
    assert (source.shape, source.chunks) == ((12, 6, 5), (1, 6, 5))
    assert source.location == str(tmp_path)
    for z in range(12):
        np.testing.assert_array_equal(source.read(z), data[z])
    np.testing.assert_array_equal(source.read(11, np.s_[2:4, 1:3]), data[11, 2:4, 1:3])
    np.testing.assert_array_equal(source.array[9:12, 0:1, 0:1], data[9:12, 0:1, 0:1])
    assert open_source(tmp_path, channel=3).shape == (1, 6, 5)


def test_a_folder_takes_sizes_from_its_first_file(tmp_path):
    for z in range(2):
        metadata = {"axes": "YX", "PhysicalSizeX": 0.5, "PhysicalSizeY": 0.25, "PhysicalSizeZ": 3.0}
        tifffile.imwrite(tmp_path / f"{z}.ome.tif", counted(6, 5), metadata=metadata)
    source = open_source(tmp_path)
    assert (source.scale, source.units) == ((3.0, 0.25, 0.5), ("micrometer",) * 3)


@pytest.mark.parametrize("other", [counted(6, 6), counted(6, 5, dtype=np.uint8)])
def test_files_that_differ_in_a_folder_are_told(tmp_path, other):
    tifffile.imwrite(tmp_path / "a.tif", counted(6, 5))
    tifffile.imwrite(tmp_path / "b.tif", other)
    with pytest.raises(TiffError, match=r"as its first, got .* in '.*b.tif'"):
        open_source(tmp_path).read(1)


def test_a_folder_of_stacks_is_refused(tmp_path):
    tifffile.imwrite(tmp_path / "a.tif", counted(2, 6, 5))
    with pytest.raises(TiffError, match=r"files of one plane, but .*a.tif' has the shape \(2, 6"):
        open_source(tmp_path)
    tifffile.imwrite(tmp_path / "a.tif", counted(6, 5))
    with pytest.raises(TiffError, match="level must be 0 for a folder of TIFF files, got 1"):
        open_source(tmp_path, level=1)


@pytest.mark.parametrize("axes", ["PZYX", "ZQQYX"])
def test_axes_that_are_not_those_of_an_image_are_refused(write, axes):
    shape = (2, 3, 2, 6, 5)[-len(axes) :]
    path = write(counted(*shape), metadata={"axes": axes}, photometric="minisblack")
    with pytest.raises(ValueError, match=f"got the TIFF axes {axes}"):
        open_source(path)


def test_ome_xml_that_lacks_its_image_is_told(write):
    path = write(counted(6, 5), "image.ome.tif", metadata={"axes": "YX"})
    tifffile.tiffcomment(path, b'<?xml version="1.0"?><OME><Image></OME>')
    with pytest.raises(TiffError, match=r"the OME-XML of '.*image.ome.tif' cannot be understood"):
        open_source(path)
