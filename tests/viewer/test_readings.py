"""What is read of planes and pyramids, and masks of it at full resolution."""

import numpy as np
import pytest
import zarr

from napari_sam.segmentation.tiles import Tile
from napari_sam.viewer.layers import Plane
from napari_sam.viewer.readings import (
    at_full_resolution,
    plan_reading,
    read,
    sampled_range,
)


def plane_of(array, *index):
    return Plane(index=(*index, None, None), shape=tuple(array.shape[len(index) : len(index) + 2]))


def pyramid(image, count):
    levels = [image]
    for _ in range(count - 1):
        rows, cols = (length // 2 * 2 for length in levels[-1].shape)
        blocks = levels[-1][:rows, :cols].reshape(rows // 2, 2, cols // 2, 2)
        levels.append(blocks.mean((1, 3)).astype(image.dtype))
    return levels


class Counted:
    """An array on disk that fails where too much of it is read."""

    def __init__(self, array, most):
        self.array, self.most, self.read = array, most, 0
        self.shape, self.dtype = array.shape, array.dtype
        self.ndim, self.size = array.ndim, array.size

    def __getitem__(self, selection):
        found = self.array[selection]
        self.read += found.size
        assert self.read <= self.most, f"{self.read} pixels were read"
        return found

    def __array__(self, dtype=None, copy=None):
        return np.asarray(self[...], dtype)


@pytest.mark.parametrize(
    ("coarseness", "level", "block"), [(1, 0, 1), (1.9, 0, 1), (2, 1, 1), (5, 2, 1), (17, 3, 2)]
)
def test_the_coarsest_level_that_will_do(coarseness, level, block):
    levels = pyramid(np.zeros((1003, 801), np.uint8), 4)
    found = plan_reading(levels, plane_of(levels[0]), None, coarseness)
    assert (found.level, found.block) == (level, block)
    assert found.pixel == (2**level * block, 2**level * block)


@pytest.mark.parametrize("levels", [1, 4])
def test_a_window_is_read_from_where_it_lies(levels):
    rows, cols = np.mgrid[:256, :320].astype(np.float32)
    arrays = pyramid(rows + 1000 * cols, levels)
    window = Tile(64, 96, 128, 64)
    reading = plan_reading(arrays, plane_of(arrays[0]), window, 8)
    seen = read(arrays, plane_of(arrays[0]), reading)
    assert seen.shape == (16, 8)
    assert np.allclose(seen[3, 5], 64 + 3 * 8 + 3.5 + 1000 * (96 + 5 * 8 + 3.5))
    assert reading.origin == (64, 96)


def test_squares_at_the_far_edges_are_smaller_and_integers_stay_integers():
    image = np.arange(35, dtype=np.uint8).reshape(5, 7)
    plane = plane_of(image)
    seen = read([image], plane, plan_reading([image], plane, None, 3))
    assert seen.dtype == np.uint8
    assert seen.tolist() == [[8, 11, 13], [26, 28, 30]]  # halves go to even


def test_colour_and_slices_of_a_pyramid():
    image = np.zeros((4, 8, 8, 3), np.uint8)
    image[3] = (10, 20, 30)
    levels = [image, image[::2, ::2, ::2]]
    levels[1][1] = (10, 20, 30)
    plane = Plane(index=(3, None, None), shape=(8, 8))
    seen = read(levels, plane, plan_reading(levels, plane, None, 2))
    assert seen.shape == (4, 4, 3)
    assert (seen == (10, 20, 30)).all()


def test_strips_and_strides_give_the_same_picture(monkeypatch):
    image = np.kron(np.arange(12.0).reshape(3, 4), np.ones((8, 8)))
    plane = plane_of(image)
    reading = plan_reading([image], plane, None, 8)
    monkeypatch.setattr("napari_sam.viewer.readings._STRIP_PIXELS", 100)
    assert np.array_equal(read([image], plane, reading), np.arange(12.0).reshape(3, 4))
    monkeypatch.setattr("napari_sam.viewer.readings._MOST_PIXELS", 60)
    counted = Counted(image, 48 + 16)
    assert np.array_equal(read([counted], plane, reading), np.arange(12.0).reshape(3, 4))


def test_contrast_of_a_plane_on_disk_is_sampled(tmp_path):
    array = zarr.create_array(
        tmp_path / "a.zarr", shape=(30_000, 30_000), chunks=(500, 500), dtype=np.uint16
    )
    array[:500, :500] = 700
    low, high = sampled_range([Counted(array, 1_100_000)], plane_of(array))
    assert (low, high) == (0, 700)


@pytest.mark.parametrize("factor", [2, 3, 8])
def test_masks_come_back_to_full_resolution(factor):
    rows, cols = np.mgrid[:240, :240]
    disc = np.hypot(rows - 100, cols - 130) < 60
    square = (rows >= 48) & (rows < 96) & (cols >= 24) & (cols < 72)
    reading = plan_reading([disc], plane_of(disc), Tile(0, 0, 240, 240), factor)
    masks = np.stack([disc, square])
    coarse = np.stack([read([one.astype(float)], plane_of(one), reading) > 0.5 for one in masks])
    found, corner = at_full_resolution(coarse, (0, 0), reading, disc.shape)
    whole = np.zeros_like(masks)
    top, left = corner
    whole[:, top : top + found.shape[1], left : left + found.shape[2]] = found
    overlap = (whole & masks).sum((1, 2)) / (whole | masks).sum((1, 2))
    assert overlap.min() > 0.94
    assert found.shape[1] < 200  # within the box of both


def test_no_mask_comes_back_as_none():
    image = np.zeros((64, 64))
    reading = plan_reading([image], plane_of(image), None, 4)
    found, corner = at_full_resolution(np.zeros((3, 16, 16), bool), (0, 0), reading, (64, 64))
    assert not found.any()
    assert (len(found), corner) == (3, (0, 0))
