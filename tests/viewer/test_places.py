"""Layers in other units than the viewer's, and planes that lie askew in its world."""

import numpy as np
import pytest
from napari.components import ViewerModel

from napari_sam.viewer.layers import camera_of, plane_in_view, shown_plane, to_data, visible_centre
from napari_sam.viewer.places import data_at, world_at
from napari_sam.viewer.session import Session
from tests.oracle import OraclePredictor

PIXELS = ("pixel", "pixel")


def movie() -> np.ndarray:
    frames = np.zeros((100, 40, 50))
    frames[:, 5:15, 5:15] = 1
    return frames


@pytest.fixture
def viewer():
    return ViewerModel()


def slices_committed_to(viewer, image) -> list[int]:
    session = Session(viewer, OraclePredictor(), image)
    session.add_point((8, 8))
    session.predict()
    session.commit()
    return np.nonzero(session.labels.data.any((1, 2)))[0].tolist()


def test_a_mask_goes_to_the_frame_that_is_shown_whatever_unit_the_slider_has(viewer):
    image = viewer.add_image(movie(), units=("minute", *PIXELS))
    viewer.layers.units = ("second", *PIXELS)
    viewer.dims.set_point(0, 120)
    assert slices_committed_to(viewer, image) == [2]


def test_layers_in_other_units_than_the_viewers_are_met_where_they_are_drawn(viewer):
    image = viewer.add_image(movie(), units=("um",) * 3)
    points = viewer.add_points(np.zeros((0, 3)), scale=(1000,) * 3, units=("nm",) * 3)
    assert viewer.dims.units[0] == points.units[0]
    viewer.dims.set_point(0, 3000)
    plane = shown_plane(viewer, image)
    assert plane.index == (3, None, None)
    np.testing.assert_allclose(data_at(viewer, image, (3000, 8000, 9000)), (3, 8, 9))
    np.testing.assert_allclose(world_at(viewer, image, (3, 8, 9)), (3000, 8000, 9000))
    np.testing.assert_allclose(to_data(viewer, image, points, np.array([[3, 8, 9]])), [[3, 8, 9]])
    camera_of(viewer).center = (0, 20000, 30000)
    assert visible_centre(viewer, image, plane) == pytest.approx((20, 30))


@pytest.mark.filterwarnings("ignore:Non-orthogonal slicing")
@pytest.mark.parametrize("at", [0, 20, 30])
def test_a_sheared_stack_is_cut_as_napari_cuts_it(viewer, at):
    stack = np.broadcast_to(np.arange(60.0)[:, None, None], (60, 40, 50))
    askew = np.eye(4)
    askew[0, 1] = 0.5
    image = viewer.add_image(stack, affine=askew)
    viewer.dims.set_point(0, at)
    shown = image._slice.image.raw[0, 0]
    assert shown_plane(viewer, image).index[0] == shown == at


def test_a_place_between_two_planes_lies_in_the_one_that_is_shown_there(viewer):
    viewer.add_image(np.zeros((24, 40, 50)))
    image = viewer.add_image(movie()[:12], scale=(2, 1, 1))
    viewer.dims.set_point(0, 5)
    there = data_at(viewer, image, (5, 8, 8))[None]
    lower = shown_plane(viewer, image)
    viewer.dims.set_point(0, 6)
    upper = shown_plane(viewer, image)
    assert (lower.index[0], upper.index[0]) == (2, 3)
    assert lower.contains(there).all()
    assert not upper.contains(there).any()
    np.testing.assert_array_equal(upper.onto(there), [[3, 8, 8]])


def test_no_plane_is_in_view_in_3d_and_of_no_layer(viewer):
    image = viewer.add_image(movie())
    assert plane_in_view(viewer, image) == shown_plane(viewer, image)
    viewer.dims.ndisplay = 3
    assert plane_in_view(viewer, image) is None
    assert plane_in_view(viewer, None) is None
