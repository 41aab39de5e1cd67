"""What is written is valid OME-Zarr 0.5, says a validator that shares no code with this package.

It reads the files itself, metadata and arrays, and warns of what the standard only recommends;
warnings are errors here.
"""

import dataclasses

import numpy as np
import pytest

from napari_sam.volume import VolumeConfig, open_source, segment_volume
from napari_sam.volume.zarr_export import write_ome_zarr
from tests.oracle import OraclePredictor
from tests.volume.toys import drawn_volume, tree

yaozarrs = pytest.importorskip("yaozarrs")


@pytest.fixture(scope="module")
def output(tmp_path_factory):
    """An output with two label images, one of them with units and a place in the world."""
    path = tmp_path_factory.mktemp("standard") / "out.zarr"
    placed = dataclasses.replace(
        open_source(drawn_volume()),
        scale=(2.0, 0.5, 0.25),
        translation=(10.0, 20.0, 30.0),
        units=("micrometer",) * 3,
    )
    predictor = OraclePredictor(threshold=100)
    segment_volume(predictor, placed, path)
    segment_volume(predictor, drawn_volume(), path, VolumeConfig(name="plain"))
    return path


@pytest.mark.parametrize("group", ["labels", "labels/sam", "labels/plain"])
def test_groups_of_a_volume_job_are_valid(output, group):
    before = tree(output)
    yaozarrs.validate_zarr_store(output / group)
    assert tree(output) == before


def test_the_output_is_a_plain_group_that_holds_labels(output):
    """The standard has no metadata for a group of labels without their image."""
    group = yaozarrs.open_group(output)
    assert (group.zarr_format, group.ome_version(), dict(group.attrs)) == (3, None, {})
    assert group["labels"].ome_metadata().labels == ["plain", "sam"]


@pytest.mark.parametrize("shape", [(300, 40), (3, 20, 30), (2, 3, 20, 30)])
@pytest.mark.parametrize("units", [None, "micrometer"])
def test_exported_labels_are_valid(tmp_path, shape, units):
    each = ("second", units, units, units)[-len(shape) :]
    path = write_ome_zarr(
        tmp_path / "labels.zarr",
        np.ones(shape, np.uint16),
        scale=(2,) * len(shape),
        translation=(5,) * len(shape),
        units=None if units is None else each,
    )
    yaozarrs.validate_zarr_store(path)


def test_the_validator_finds_what_is_wrong(output, tmp_path):
    path = write_ome_zarr(tmp_path / "labels.zarr", np.ones((3, 20, 30), np.uint16))
    for name, old, new in (
        ("zarr.json", '"space"', '"sapce"'),
        ("0/zarr.json", "uint16", "float32"),
    ):
        file = path / name
        whole = file.read_text(encoding="utf-8")
        file.write_text(whole.replace(old, new), encoding="utf-8")
        with pytest.raises(ValueError, match=r"(?i)validation|label|space"):
            yaozarrs.validate_zarr_store(path)
        file.write_text(whole, encoding="utf-8")
