"""What a running job has segmented, seen as one array."""

import dataclasses

import numpy as np
import pytest

from napari_sam.segmentation.everything import EverythingConfig
from napari_sam.volume import VolumeConfig, iter_volume
from napari_sam.volume.block_view import BlockView, view_blocks
from napari_sam.volume.blocks import Scratch
from napari_sam.volume.plan import VolumePlan, plan_volume
from tests.oracle import OraclePredictor
from tests.volume.toys import drawn_volume


@pytest.fixture
def filled(tmp_path):
    """A scratch of 2 x 8 tiles whose cores hold a known plane, and whose halos hold 99."""
    plan = VolumePlan(output=tmp_path, name="sam", shape=(2, 70, 300), block_size=40, halo=8)
    scratch = Scratch.make(plan)
    rng = np.random.default_rng(0)
    planes = rng.integers(1, 50, plan.shape).astype(np.uint32)
    for number in range(plan.n_blocks):
        block = plan.block(number)
        region = np.full(block.shape, 99, np.uint32)
        region[block.inner] = planes[(block.z, *block.core)]
        scratch.write(block, region)
    return BlockView(plan=plan, scratch=scratch), planes


@pytest.mark.parametrize(
    "selection",
    [
        1,
        np.int64(0),
        -1,
        (1, 5, 60),
        (0, slice(10, 50), slice(30, 100)),
        (0, slice(3, 70, 7), slice(None, None, 3)),
        (slice(None), 45, slice(None)),
        (Ellipsis, slice(38, 43)),
        (0, slice(5, 5)),
        slice(None),
    ],
)
def test_parts_are_those_of_the_whole(filled, selection):
    view, planes = filled
    np.testing.assert_array_equal(view[selection], planes[selection])
    assert view[selection].dtype == np.uint32


def test_levels_take_every_second_pixel(filled):
    view, planes = filled
    half = dataclasses.replace(view, level=1)
    assert half.shape == (2, 35, 150)
    np.testing.assert_array_equal(half[0, 3:30, 15:99], planes[0, 6:60:2, 30:198:2])


def test_it_is_an_array_to_numpy(filled):
    view, planes = filled
    np.testing.assert_array_equal(np.asarray(view), planes)
    assert (view.ndim, view.size, view.dtype) == (3, planes.size, np.uint32)


@pytest.mark.parametrize("selection", [2, (0, slice(None, None, -1))])
def test_what_is_not_there_is_refused(filled, selection):
    with pytest.raises(IndexError):
        filled[0][selection]


def test_blocks_that_are_not_done_are_zeros(tmp_path):
    config = VolumeConfig(everything=EverythingConfig(object_diameter=20))
    job = iter_volume(OraclePredictor(threshold=100), drawn_volume(), tmp_path / "o.zarr", config)
    plan = plan_volume(tmp_path / "o.zarr", "sam", (5, 300, 40))
    next(job)
    full, half = view_blocks(plan)
    assert sorted(np.unique(full[0])) == [0, 1]
    next(job)
    assert full[1].max() == 2
    assert half[1].max() == 2
    job.close()
    assert not full[4].any()
