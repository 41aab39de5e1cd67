"""Prompts on large images and pyramids, at the zoom that a person looks at."""

import dataclasses
import itertools

import numpy as np
import pytest
import zarr
from napari.components import ViewerModel

from napari_sam.segmentation.predictor import Predictor
from napari_sam.viewer.entries import ObjectPrompts
from napari_sam.viewer.layers import Plane, camera_of, shown_plane, visible_side
from napari_sam.viewer.session import Session
from napari_sam.viewer.windows import window_around, zoom_of
from tests.oracle import OraclePredictor
from tests.viewer.test_readings import Counted, pyramid

SIDE = 4096
DISCS = [(900, 1100, 300), (2600, 3000, 80), (1500, 2500, 12)]


def drawn(side=SIDE):
    """Discs (row, col, radius)."""
    image = np.zeros((side, side), np.uint8)
    for row, col, radius in DISCS:
        near = np.s_[row - radius : row + radius + 1, col - radius : col + radius + 1]
        rows, cols = np.mgrid[-radius : radius + 1, -radius : radius + 1]
        image[near][np.hypot(rows, cols) <= radius] = 200
    return image


def on_disk(folder, count=6):
    """Write a pyramid; returns its levels as lazy arrays."""
    levels = []
    for number, level in enumerate(pyramid(drawn(), count)):
        array = zarr.create_array(
            folder / f"s{number}", shape=level.shape, chunks=(256, 256), dtype=level.dtype
        )
        array[:] = level
        levels.append(array)
    return levels


def session_on(levels, view=256, seen=None):
    viewer = ViewerModel()
    options = {"multiscale": True} if len(levels) > 1 else {}
    layer = viewer.add_image(levels if options else levels[0], contrast_limits=(0, 255), **options)
    predictor = OraclePredictor(threshold=100)
    predictor.view = view
    session = Session(viewer, predictor, layer)
    session.looks.seen = seen
    return session


def disc_mask(number):
    row, col, radius = DISCS[number]
    rows, cols = np.ogrid[:SIDE, :SIDE]
    return np.hypot(rows - row, cols - col) <= radius


def iou(one, other):
    return (one & other).sum() / (one | other).sum()


def test_the_zoom_is_a_power_of_two_and_small_changes_leave_it():
    assert [zoom_of(seen, 1000) for seen in (None, 300, 1000, 1400, 1450, 2600, 9000)] == [
        *(0, 0, 0, 0, 1, 1, 3)
    ]
    assert zoom_of(5000, None) == 0
    assert window_around((500, 500, 500, 500), (20_000, 20_000), 1000, 2).width == 4000
    assert window_around((500, 500, 500, 500), (5000, 5000), 1000, 2) is None


@pytest.mark.parametrize("scale", [1, 0.25])
def test_what_the_canvas_shows_follows_from_the_camera(scale):
    viewer = ViewerModel()
    layer = viewer.add_image(np.zeros((5, 3000, 8000), np.uint8), scale=(4, scale, scale))
    plane = shown_plane(viewer, layer)
    assert visible_side(viewer, layer, plane) is None  # nothing was drawn yet
    if hasattr(viewer, "canvas"):
        viewer.canvas.size = (600, 900)
    else:  # napari 0.8
        viewer._canvas_size = (600, 900)
    camera = camera_of(viewer)
    camera.zoom = 0.5 / scale
    layer.scale_factor = 2.0 * scale
    assert visible_side(viewer, layer, plane) == pytest.approx(1800)
    camera.zoom = 0.01 / scale
    assert visible_side(viewer, layer, plane) == 8000


@pytest.mark.parametrize(("number", "seen"), [(0, 2048), (0, SIDE), (1, 512), (1, 1024), (2, 256)])
def test_a_pyramid_is_read_at_the_level_that_is_looked_at(tmp_path, number, seen):
    levels = on_disk(tmp_path)
    session = session_on([Counted(level, 150_000) for level in levels], seen=seen)
    row, col, radius = DISCS[number]
    session.add_point((row, col))
    found = session.predict()
    assert iou(found.masks[0], disc_mask(number)) > 0.95
    assert found.image_shape == (SIDE, SIDE)
    assert found.patches.shape[1] <= max(2 * radius + 2 * seen // 256 + 3, 256)
    request = session.snapshot()
    assert 2**request.reading.level == seen // 256
    assert session.embedding.image_shape == (256, 256)
    assert session.snapshot().asked.points == ((row, col, 1),)


def test_commits_and_entries_are_at_full_resolution(tmp_path):
    session = session_on(on_disk(tmp_path), seen=2048)
    session.add_point(DISCS[0][:2])
    session.predict()
    session.commit()
    assert session.labels.data.shape == (SIDE, SIDE)
    assert iou(session.labels.data == 1, disc_mask(0)) > 0.97
    entry = session.objects.table[1]
    assert entry.prompts.points == ((*DISCS[0][:2], 1),)
    assert entry.area == pytest.approx((session.labels.data == 1).sum())
    session.undo()
    assert not session.labels.data.any()
    assert session.prediction is not None


def test_small_zooming_embeds_nothing_and_hover_uses_the_same_window(tmp_path):
    session = session_on(on_disk(tmp_path), seen=1000)
    session.add_point((2600, 3000))
    session.predict()
    assert session.predictor.n_embed == 1
    for seen in (800, 1100, 1300):
        session.looks.seen = seen
        assert session.snapshot().is_embedded
        assert session.hover_request((2610, 2990)).is_embedded
    session.looks.seen = 300
    assert not session.hover_request((2610, 2990)).is_embedded
    session.predict()
    assert session.predictor.n_embed == 2
    session.looks.seen = 1000
    session.predict()
    assert session.predictor.n_embed == 2


def test_what_the_camera_looks_at_is_embedded_ahead(tmp_path):
    session = session_on(on_disk(tmp_path), seen=512)
    camera_of(session.viewer).center = (0, 2600, 3000)
    session.ahead().embed()
    assert session.ahead() is None
    assert session.hover_request((2600, 3000)).is_embedded
    session.add_point((2600, 3000))
    session.predict()
    assert session.predictor.n_embed == 1
    session.clear()
    camera_of(session.viewer).center = (0, -500, 90_000)  # beside the image
    session.ahead().embed()
    assert session.hover_request((0, SIDE - 1)).is_embedded


def test_a_second_click_refines_at_the_same_zoom_alone(tmp_path):
    session = session_on(on_disk(tmp_path), seen=1024)
    session.add_point((2600, 3000))
    session.predict()
    session.add_point((2610, 3010))
    assert session.snapshot().mask_input is not None
    session.looks.seen = 256
    assert session.snapshot().mask_input is None


def test_a_lasso_and_a_box_from_afar(tmp_path):
    session = session_on(on_disk(tmp_path), seen=SIDE)
    row, col, radius = DISCS[0]
    around = [(row - radius, col - radius), (row - radius, col + radius)]
    around += [(row + radius, col + radius), (row + radius, col - radius)]
    session.add_outline(around)
    assert iou(session.predict().masks[0], disc_mask(0)) > 0.95
    session.clear()
    session.add_box((row - radius, col - radius, row + radius, col + radius))
    assert iou(session.predict().masks[0], disc_mask(0)) > 0.95


def test_one_scale_from_afar_is_averaged_strip_by_strip(monkeypatch):
    monkeypatch.setattr("napari_sam.viewer.readings._STRIP_PIXELS", 2**18)
    session = session_on([drawn()], view=128, seen=SIDE)
    session.add_point(DISCS[0][:2])
    found = session.predict()
    assert session.embedding.image_shape == (128, 128)
    assert iou(found.masks[0], disc_mask(0)) > 0.9


def test_a_huge_image_of_one_scale_is_never_read_whole(tmp_path):
    """It is not shown: napari itself would read all of it."""
    array = zarr.create_array(
        tmp_path / "huge", shape=(100_000, 100_000), chunks=(1000, 1000), dtype=np.uint8
    )
    array[50_000:50_300, 70_000:70_200] = 200
    plane = Plane(index=(None, None), shape=array.shape)
    asked = ObjectPrompts(plane=plane).with_point((50_100, 70_100), foreground=True)
    request = session_on([drawn()], view=512).snapshot()
    request = dataclasses.replace(request, plane=plane, levels=(Counted(array, 2_000_000),))
    prediction = request.about(asked).answer().prediction
    assert prediction.areas[0] == 300 * 200
    assert prediction.corner[0] >= 49_000
    whole = request.about(asked.with_box((0, 0, 99_999, 99_999)))
    assert whole.window is None
    assert whole.reading.block == 197  # about 512 pixels a side


def test_nano_from_afar_sees_what_it_sees_at_full_resolution():
    """Discs in a pyramid, looked at from where they are four times smaller."""
    rng = np.random.default_rng(0)
    image = rng.normal(100, 8, (1700, 1700)).astype(np.float32)
    rows, cols = np.mgrid[:1700, :1700]
    for row, col in itertools.product(range(256, 1600, 256), repeat=2):
        image[np.hypot(rows - row, cols - col) < 18] += 90
    levels = [np.kron(image, np.ones((n, n), np.float32)) for n in (4, 2, 1)]
    viewer = ViewerModel()
    layer = viewer.add_image(levels, multiscale=True)
    session = Session(viewer, Predictor("nano", device="cpu"), layer)
    session.looks.seen = 4096
    for row, col in [(256, 256), (512, 768)]:  # over corners of the windows' grid
        session.add_point((4 * row + 1.5, 4 * col + 1.5))
        found = session.predict()
        request = session.snapshot()
        assert request.window is not None
        assert request.reading.level >= 1
        rows, cols = np.ogrid[: 4 * 1700, : 4 * 1700]
        disc = np.hypot(rows - 4 * row - 1.5, cols - 4 * col - 1.5) < 72
        assert max(iou(mask, disc[found.region]) for mask in found.patches) >= 0.95
        session.clear()
    assert 80 < session.object_diameter < 220
    session.object_diameter = 36.0
    assert session.object_diameter == 36
    session.add_point((1024, 1024))
    assert session.snapshot().reading.level == 0  # what a person set holds, from afar as well
