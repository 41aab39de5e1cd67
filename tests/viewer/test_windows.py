"""Prompts on images that are much larger than what the network sees."""

import numpy as np
import pytest
from napari.components import ViewerModel

from napari_sam.segmentation.predictor import Predictor
from napari_sam.segmentation.progress import run
from napari_sam.segmentation.prompts import Prompts
from napari_sam.segmentation.tiles import Tile
from napari_sam.viewer.drafts import each_alone, iter_each
from napari_sam.viewer.session import Session
from napari_sam.viewer.windows import window_around
from tests.oracle import OraclePredictor


def test_small_planes_are_seen_whole():
    assert window_around((5, 5, 5, 5), (1000, 1500), 1000) is None
    assert window_around((5, 5, 5, 5), (4000, 4000), None) is None


def test_prompts_are_well_inside_their_window():
    for row in range(0, 4000, 97):
        window = window_around((row, 2000, row, 2000), (4000, 5000), 1000)
        inside = min(row - window.top, window.top + window.height - 1 - row)
        assert inside >= min(240, row, 3999 - row)
        assert (window.height, window.width) == (1000, 1000)
        assert 0 <= window.top <= 3000


def test_neighbouring_prompts_share_a_window():
    windows = {window_around((row, 700, row, 700), (4000, 4000), 1000) for row in range(500, 600)}
    assert len(windows) <= 2


def test_windows_grow_with_the_prompts():
    assert window_around((100, 100, 700, 700), (9000, 9000), 1000).width == 2000
    assert window_around((100, 100, 8000, 8000), (9000, 9000), 1000) is None


def test_a_narrow_plane():
    assert window_around((50, 3000, 50, 3000), (100, 6000), 1000) == Tile(0, 2500, 100, 1000)


def large():
    image = np.zeros((400, 500), np.uint16)
    image[95:125, 195:240] = 900  # over a corner of the windows' grid
    image[300:310, 20:30] = 500
    return image


def session_with_view(view=100):
    viewer = ViewerModel()
    layer = viewer.add_image(large())
    predictor = OraclePredictor(threshold=100)
    predictor.view = view
    return Session(viewer, predictor, layer)


def test_a_mask_over_a_tile_corner_equals_the_untiled_one():
    session = session_with_view()
    session.add_point((100, 200))
    prediction = session.predict()
    assert np.array_equal(prediction.masks[0], large() > 600)
    assert session.embedding.image_shape == (100, 100)
    session.add_point((120, 235))
    assert session.predict().masks[0].sum() == 30 * 45
    session.commit()
    assert (session.labels.data[95:125, 195:240] == 1).all()
    assert session.labels.data.sum() == 30 * 45


def test_windows_are_embedded_once_and_hovered_when_they_are():
    session = session_with_view()
    assert session.hover_request((105, 205)).is_embedded is False
    session.add_point((100, 200))
    session.predict()
    assert session.predictor.n_embed == 1
    assert session.hover_request((105, 205)).is_embedded
    session.add_point((104, 204))
    session.predict()
    assert session.predictor.n_embed == 1
    session.clear()
    session.add_point((305, 25))
    assert session.predict().masks[0].sum() == 100
    assert session.predictor.n_embed == 2


def test_a_lasso_in_a_window():
    session = session_with_view()
    session.add_outline([(296, 16), (296, 34), (314, 34), (314, 16)])
    assert session.predict().masks[0].sum() == 100


def test_many_boxes_in_many_windows():
    session = session_with_view()
    boxes = [np.array([92.0, 192, 128, 243]), np.array([298.0, 18, 312, 32])]
    request = session.snapshot()
    alone = each_alone(request.asked, boxes)
    drafts = run(iter_each(request, alone))
    assert session.add_drafts(request.plane, drafts, "many") == (2, 0)
    assert sorted(np.unique(session.labels.data, return_counts=True)[1][1:]) == [100, 30 * 45]
    assert {entry.prompts.box is not None for entry in session.objects.table} == {True}


@pytest.mark.parametrize("dtype", [np.uint8, np.uint16, np.float32])
def test_windows_look_alike_whatever_they_show(dtype):
    session = session_with_view()
    session.image.data = (
        large().astype(dtype) if dtype != np.uint8 else (large() // 4).astype(dtype)
    )
    seen = []
    session.predictor.embed = lambda image, contrast_limits=None, object_diameter=None: (
        seen.append(contrast_limits) or OraclePredictor(25).embed(image)
    )
    for point in [(100, 200), (305, 25), (200, 400)]:
        session.snapshot().about(session.prompts.with_point(point, foreground=True)).embed()
    assert len(seen) == 3
    assert len(set(seen)) == 1
    assert seen[0] is not None


def test_nano_answers_over_a_corner_of_windows_as_on_the_whole_plane():
    rng = np.random.default_rng(0)
    image = rng.normal(100, 8, (900, 900)).astype(np.float32)
    rows, cols = np.mgrid[:900, :900]
    centres = [(256, 256), (256, 384), (384, 512), (640, 640)]
    for row, col in centres:
        image[np.hypot(rows - row, cols - col) < 11] += 90
    predictor = Predictor("nano", device="cpu")
    whole = predictor.embed(image, object_diameter=22)
    session = Session(viewer := ViewerModel(), predictor, viewer.add_image(image))
    session.object_diameter = 22
    for centre in centres:
        session.add_point(centre)
        found = session.predict()
        assert session.snapshot().window is not None
        expected = predictor.predict(whole, Prompts(points=[centre]))
        one, other = found.masks[found.best], expected.masks[expected.best]
        assert other.sum() > 200
        assert (one & other).sum() >= 0.95 * (one | other).sum()
        session.clear()
