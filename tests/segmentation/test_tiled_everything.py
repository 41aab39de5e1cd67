"""Everything in tiles against everything at once."""

from dataclasses import replace
from itertools import pairwise

import numpy as np
import pytest

from napari_sam.segmentation.everything import (
    EverythingConfig,
    generate_masks,
    iter_everything,
    segment_everything,
)
from napari_sam.segmentation.predictor import Predictor
from napari_sam.segmentation.tiled_everything import look_over
from napari_sam.segmentation.tiles import plan_tiles, tile_overlap
from napari_sam.training.metrics import count_matches, iou_matrix
from tests.depth_oracle import DepthOracle, draw_ellipse

CONFIG = EverythingConfig(
    mode="instances", object_diameter=20, points_per_side=24, min_mask_region_area=10
)


def f1(truth, labels):
    """Return F1 of objects at an IoU of 0.5."""
    iou = iou_matrix(truth, labels)
    return 2 * count_matches(iou, 0.5) / sum(iou.shape)


def same(labels, others):
    """Tell whether two label images show the same objects, whatever their numbers."""
    iou = iou_matrix(labels, others)
    return iou.shape[0] == iou.shape[1] and (iou.max(1, initial=0) == 1).all()


def lattice(shape, spacing, radii, *, seed=0):
    """Draw an ellipse near every point of a lattice; returns pixels and labels (H, W)."""
    rng = np.random.default_rng(seed)
    depth, labels = np.zeros(shape, np.float32), np.zeros(shape, np.uint32)
    for row in range(spacing // 2, shape[0], spacing):
        for col in range(spacing // 2, shape[1], spacing):
            centre = np.add((row, col), rng.uniform(-3, 3, 2))
            draw_ellipse(depth, labels, centre, rng.uniform(*radii, 2))
    return depth, labels


@pytest.mark.parametrize("side", [101, 256])
def test_two_thousand_objects_are_those_of_the_whole_image(side):
    depth, truth = lattice((960, 1200), 24, (5, 14))
    whole = segment_everything(DepthOracle(), depth, replace(CONFIG, tile_side=0))
    tiled = segment_everything(DepthOracle(), depth, replace(CONFIG, tile_side=side))
    assert truth.max() == whole.max() == tiled.max() == 2000
    assert f1(whole, tiled) >= 0.99
    assert f1(truth, tiled) >= 0.99
    touching = (truth[:, 1:] != truth[:, :-1]) & (truth[:, 1:] > 0) & (truth[:, :-1] > 0)
    assert touching.sum() > 2000  # it was not too easy


@pytest.mark.parametrize("mode", ["prompts", "grid"])
def test_every_mode_finds_in_tiles_what_it_finds_at_once(mode):
    depth, truth = lattice((200, 250), 25, (7, 11))
    config = replace(CONFIG, mode=mode, pred_iou_thresh=0.92)
    whole = segment_everything(DepthOracle(), depth, replace(config, tile_side=0))
    tiled = segment_everything(DepthOracle(), depth, replace(config, tile_side=128))
    assert tiled.max() == whole.max() == truth.max() == 80
    assert f1(whole, tiled) == 1


def test_objects_on_every_seam_and_corner_are_whole():
    shape, side = (320, 320), 140
    tiles = plan_tiles(shape, side, tile_overlap(side, CONFIG.object_diameter))
    edges = sorted({edge for tile in tiles for edge in (tile.top, tile.bottom)})
    depth, truth = np.zeros(shape, np.float32), np.zeros(shape, np.uint32)
    for row in edges:
        for col in edges:
            draw_ellipse(depth, truth, np.clip((row, col), 12, 307), (9, 8))
    config = replace(CONFIG, tile_side=side)
    assert len(edges) == 8
    assert same(segment_everything(DepthOracle(), depth, config), truth)


def test_objects_that_touch_at_a_seam_stay_two():
    depth, truth = np.zeros((60, 160), np.float32), np.zeros((60, 160), np.uint32)
    seam = plan_tiles(depth.shape, 100, 50)[1].left
    for middle in (-10.4, 10.2, 29.7, 50.1):
        draw_ellipse(depth, truth, (30, seam + middle), (14, 11))
    tiled = segment_everything(DepthOracle(), depth, replace(CONFIG, tile_side=100))
    whole = segment_everything(DepthOracle(), depth, replace(CONFIG, tile_side=0))
    assert whole.max() == 4
    assert same(tiled, whole)


def test_objects_larger_than_the_overlap_are_one():
    depth, truth = np.zeros((200, 400), np.float32), np.zeros((200, 400), np.uint32)
    draw_ellipse(depth, truth, (60, 200), (30, 180))
    draw_ellipse(depth, truth, (150, 200), (30, 180))
    config = replace(CONFIG, tile_side=150, seed_prominence=0.0)
    labels = segment_everything(DepthOracle(), depth, config)
    assert tile_overlap(150, CONFIG.object_diameter) == 60
    assert same(labels, truth)


@pytest.mark.parametrize("shape", [(1, 400), (400, 1), (33, 257), (64, 64)])
def test_images_of_odd_shapes(shape):
    depth, _ = lattice(shape, 20, (5, 8))
    whole = segment_everything(DepthOracle(), depth, replace(CONFIG, tile_side=0))
    tiled = segment_everything(DepthOracle(), depth, replace(CONFIG, tile_side=50))
    assert tiled.shape == shape
    assert same(tiled, whole)


def test_records_of_tiles_lie_where_their_objects_are():
    depth, truth = lattice((150, 230), 25, (7, 11))
    config = replace(CONFIG, tile_side=100, pred_iou_thresh=0.92)
    records = generate_masks(DepthOracle(), depth, config)
    assert len(records) == truth.max()
    for record in records:
        row, col = (round(value) for value in record.point)
        whole = truth == truth[row, col]
        assert np.array_equal(record.full_mask(truth.shape), whole)
        assert record.area == whole.sum()


def test_the_field_of_view_decides_what_is_cut():
    predictor = DepthOracle()
    scene = look_over(predictor, np.zeros((300, 400)), CONFIG)
    assert len(scene.tiles) == 1  # of no known field of view
    predictor.view = 267
    assert len(look_over(predictor, np.zeros((300, 400)), CONFIG).tiles) == 1  # half more is well
    predictor.view = 266
    assert len(look_over(predictor, np.zeros((300, 400)), CONFIG).tiles) == 4
    unknown = replace(CONFIG, object_diameter=None)
    assert len(look_over(predictor, np.zeros((300, 400)), unknown).tiles) == 1
    never = replace(CONFIG, tile_side=0)
    assert len(look_over(predictor, np.zeros((300, 400)), never).tiles) == 1


@pytest.mark.parametrize("mode", ["instances", "prompts", "grid"])
def test_contrast_and_diameter_are_those_of_the_whole_image(mode):
    class Recorder(DepthOracle):
        def embed(self, image, *, contrast_limits=None, object_diameter=None):
            seen.append((contrast_limits, object_diameter))
            return super().embed(image)

        def estimate_diameter(self, image, *, contrast_limits=None):
            estimated.append((image.shape, contrast_limits))
            return 0.5

    seen, estimated = [], []
    image, _ = lattice((100, 160), 20, (5, 8))
    image[0, 0] = 7  # in one tile alone
    config = replace(CONFIG, mode=mode, object_diameter=None, tile_side=64)
    segment_everything(Recorder(), image, config)
    assert len(seen) > 5
    limits = seen[0][0]
    assert set(seen) == {(limits, 1.0)}  # the least diameter that the settings know
    assert estimated == [((100, 160), limits)]


@pytest.mark.parametrize("mode", ["instances", "prompts", "grid"])
def test_progress_counts_tiles_and_a_job_stops_between_them(mode):
    depth, _ = lattice((100, 160), 20, (5, 8))
    config = replace(CONFIG, mode=mode, tile_side=64)
    predictor = DepthOracle()
    events = list(iter_everything(predictor, depth, config))
    tiles = len(look_over(predictor, depth, config).tiles)
    assert {"instances": 2, "prompts": 3, "grid": 1}[mode] * tiles == events[-1].total
    assert events[-1].done == events[-1].total
    assert all(before.done <= after.done for before, after in pairwise(events))
    predictor.n_embed = 0
    job = iter_everything(predictor, depth, config)
    while next(job).done < 2:
        pass
    job.close()
    assert 1 <= predictor.n_embed < tiles


def test_nano_finds_the_same_discs_in_tiles():
    rng = np.random.default_rng(0)
    depth, truth = lattice((500, 560), 36, (11, 15))
    image = (40 + 120 * (truth > 0) * (0.6 + 0.4 * np.sqrt(depth))).astype(np.float32)
    image += rng.normal(0, 6, image.shape)
    config = EverythingConfig(mode="instances", object_diameter=28)
    predictor = Predictor("nano")
    assert len(look_over(predictor, image, replace(config, tile_side=300)).tiles) == 6
    whole = segment_everything(predictor, image, replace(config, tile_side=0))
    tiled = segment_everything(predictor, image, replace(config, tile_side=300))
    assert f1(whole, tiled) >= 0.99
    assert abs(int(whole.max()) - int(tiled.max())) <= 2
