"""Masks in the preview layer: on small planes, and on large ones around what is shown."""

import numpy as np
import pytest
from napari.components import ViewerModel

from napari_sam.viewer.layers import shown_plane
from napari_sam.viewer.overlays import GESTURE_NAME, Overlays
from napari_sam.viewer.preview import Preview, frame_for


def shown_on(*shape, **placement):
    viewer = ViewerModel()
    image = viewer.add_image(
        [np.zeros(shape, np.uint8), np.zeros([n // 8 for n in shape], np.uint8)],
        multiscale=True,
        **placement,
    )
    return viewer, image, shown_plane(viewer, image)


def in_image(viewer, image, layer):
    """Return row_min, col_min, row_max, col_max of what a layer shows, image pixels."""
    found = np.argwhere(np.asarray(layer.data))
    low, high = found.min(0) - 0.5, found.max(0) + 0.5
    corners = [image.world_to_data(layer.data_to_world(at))[-2:] + 0.5 for at in (low, high)]
    return np.concatenate(corners)


def test_planes_up_to_a_size_are_covered_whole():
    frame, step = frame_for((10, 10), (50, 50), (3000, 4096))
    assert (frame, step) == ((0, 0, 3000, 4096, 1), 1)


@pytest.mark.parametrize("side", [1, 900, 3000, 9000])
@pytest.mark.parametrize("at", [0, 5000, 10_990])
def test_frames_of_large_planes_hold_the_box(side, at):
    frame, step = frame_for((at, 7000), (min(side, 11_000 - at), side), (11_000, 20_000))
    assert frame.holds((at, 7000), (min(side, 11_000 - at), side), step)
    assert max(frame.rows, frame.cols) <= 2048
    assert frame.top % step == frame.left % step == 0


@pytest.mark.parametrize(("side", "exact"), [(40, 1), (900, 1), (5000, 8)])
def test_a_mask_on_a_large_plane_lies_where_it_is(side, exact):
    viewer, image, plane = shown_on(6000, 9000, scale=(0.5, 0.5), translate=(7, 3))
    preview = Preview(viewer)
    preview.show(np.ones((side, side), bool), (501, 3003), image, plane)
    assert preview.layer.data.size <= 2048**2
    found = in_image(viewer, image, preview.layer)
    assert np.abs(found - (501, 3003, 501 + side, 3003 + side)).max() <= exact
    preview.show(np.ones((30, 30), bool), (5970, 8970), image, plane)
    assert in_image(viewer, image, preview.layer).tolist() == [5970, 8970, 6000, 9000]
    data = preview.layer.data
    preview.show(np.ones((30, 30), bool), (5900, 8900), image, plane)
    assert preview.layer.data is data  # it has not moved
    assert data.sum() == 900
    preview.hide()
    assert not data.any()


def test_a_long_drawing_on_a_large_plane_stays_light_and_is_put_away():
    viewer, image, plane = shown_on(6000, 9000)
    overlays = Overlays(viewer, image)
    outline = np.array([[100.0, 200], [100, 8200], [5600, 8200], [5600, 200]])
    overlays.draw(outline, plane, closed=True)
    layer = viewer.layers[GESTURE_NAME]
    assert layer.data.size <= 2048**2
    assert np.abs(in_image(viewer, image, layer) - (100, 200, 5600, 8200)).max() <= 8
    assert 1000 < layer.data.sum() < 10_000
    overlays.hide_gesture()
    assert not layer.visible
    overlays.draw(outline[:2], plane, closed=False)
    assert layer.visible


def test_previews_are_seen_on_dark_images():
    viewer = ViewerModel()
    image = viewer.add_image(np.zeros((40, 50)))
    preview = Preview(viewer)
    preview.show(np.ones((5, 5), bool), (3, 3), image, shown_plane(viewer, image))
    assert min(preview.layer.get_color(1)[:2]) > 0.8
    assert preview.layer.get_color(0) is None or preview.layer.get_color(0)[3] == 0
