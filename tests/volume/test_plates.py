"""Plates, wells and containers: they lead to their images, or say where those are."""

import pickle

import numpy as np
import pytest
import zarr
from zarr.storage import LocalStore

from napari_sam.volume import OmeMetadataError, open_source, segment_volume
from tests.oracle import OraclePredictor
from tests.volume.toys import drawn_volume, write_image

FIELD = np.arange(3 * 4 * 5, dtype=np.uint16).reshape(3, 4, 5)


def group(path, version, **attributes):
    """Make a group with OME attributes."""
    wrapped = {"ome": {"version": "0.5", **attributes}} if version == "0.5" else attributes
    zarr.create_group(store=path, attributes=wrapped, zarr_format=3 if version == "0.5" else 2)


@pytest.fixture(params=["0.4", "0.5"])
def version(request):
    return request.param


@pytest.fixture
def plate(tmp_path, version):
    """A plate of two wells: B/3 has a field, C/1 has two."""
    path = tmp_path / "plate.zarr"
    wells = [{"path": "B/3", "rowIndex": 1, "columnIndex": 2}, {"path": "C/1"}]
    group(path, version, plate={"wells": wells})
    group(path / "B", version)
    group(path / "B" / "3", version, well={"images": [{"path": "0"}]})
    group(path / "C", version)
    group(path / "C" / "1", version, well={"images": [{"path": "0"}, {"path": "1"}]})
    for index, field in enumerate(["B/3/0", "C/1/0", "C/1/1"]):
        image = FIELD + 100 * index
        scales = [((2.0, 0.5, 0.5), (0.0, 0.0, 0.0))]
        write_image(path / field, [image], axes="zyx", version=version, scales=scales)
    return path


def test_a_field_is_an_image(plate):
    source = open_source(plate / "C" / "1" / "1")
    assert (source.shape, source.scale) == ((3, 4, 5), (2.0, 0.5, 0.5))
    np.testing.assert_array_equal(source.read(2), FIELD[2] + 200)


def test_a_well_with_one_field_is_its_image(plate):
    source = open_source(plate / "B" / "3")
    assert (source.location, source.array_path) == (str(plate / "B" / "3" / "0"), "s0")
    again = pickle.loads(pickle.dumps(source))
    np.testing.assert_array_equal(again.read(1), FIELD[1])
    np.testing.assert_array_equal(source.read(1), FIELD[1])


def test_a_well_with_more_fields_tells_them(plate):
    with pytest.raises(OmeMetadataError, match=r"is a well with 2 fields, .* to the path: 0, 1$"):
        open_source(plate / "C" / "1")


def test_a_plate_tells_its_wells(plate):
    with pytest.raises(OmeMetadataError, match=r"is a plate, .* as in 'B/3/0'; .* B/3, C/1$"):
        open_source(plate)


def test_a_row_tells_what_it_holds(plate):
    with pytest.raises(OmeMetadataError, match="no multiscales; it holds 1"):
        open_source(plate / "C")


def test_a_large_plate_tells_some(tmp_path, version):
    wells = [{"path": f"{row}/{column}"} for row in "ABCDEFGH" for column in range(1, 13)]
    group(tmp_path / "plate.zarr", version, plate={"wells": wells})
    with pytest.raises(OmeMetadataError, match=r"A/12 and 84 more$"):
        open_source(tmp_path / "plate.zarr")


def test_a_well_whose_field_is_gone_is_damaged(tmp_path, version):
    group(tmp_path / "well.zarr", version, well={"images": [{"path": "0"}]})
    with pytest.raises(OmeMetadataError, match="names the image '0', which is not there"):
        open_source(tmp_path / "well.zarr")


@pytest.mark.parametrize("series", [None, ["0"], ["first"]])
def test_a_container_of_one_series_is_its_image(tmp_path, version, series):
    path = tmp_path / "converted.zarr"
    group(path, version, **{"bioformats2raw.layout": 3})
    if series:
        group(path / "OME", version, series=series)
    name = series[0] if series else "0"
    write_image(path / name, [FIELD], axes="zyx", version=version)
    source = open_source(path)
    assert (source.location, source.array_path) == (str(path / name), "s0")
    np.testing.assert_array_equal(source.read(1), FIELD[1])


def test_labels_go_into_the_image_of_a_container(tmp_path):
    """Also where the metadata of all groups are consolidated, of which readers alone look then."""
    path = tmp_path / "converted.zarr"
    group(path, "0.5", **{"bioformats2raw.layout": 3})
    write_image(path / "0", [drawn_volume()], axes="zyx", version="0.5")
    for place in (path / "0", path):
        with pytest.warns(UserWarning, match="Consolidated metadata"):
            zarr.consolidate_metadata(LocalStore(place))
    report = segment_volume(OraclePredictor(threshold=100), path, None)
    assert report.labels_path == path / "0" / "labels" / "sam"
    assert not (path / "labels").exists()
    for opened, name in ((path, "0/labels/sam"), (path / "0", "labels/sam")):
        assert isinstance(zarr.open_group(opened, mode="r").get(name), zarr.Group)
    image = zarr.open_group(report.labels_path, mode="r").attrs["ome"]["image-label"]["source"]
    assert (report.labels_path / image["image"]).resolve() == path / "0"


@pytest.mark.parametrize("listed", [False, True])
def test_a_container_of_more_series_tells_them(tmp_path, version, listed):
    path = tmp_path / "converted.zarr"
    group(path, version, **{"bioformats2raw.layout": 3})
    if listed:
        group(path / "OME", version, series=["0", "1"])
    for name in ("0", "1"):
        write_image(path / name, [FIELD], axes="zyx", version=version)
    with pytest.raises(OmeMetadataError, match=r"container with 2 series, .* the path: 0, 1$"):
        open_source(path)


def test_a_container_without_series_is_no_image(tmp_path, version):
    group(tmp_path / "empty.zarr", version, **{"bioformats2raw.layout": 3})
    with pytest.raises(OmeMetadataError, match=r"with 0 series, .* the path: nothing$"):
        open_source(tmp_path / "empty.zarr")
