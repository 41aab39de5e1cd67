import dataclasses
from itertools import pairwise

import numpy as np
import pytest

from napari_sam.segmentation.everything import (
    EverythingConfig,
    generate_masks,
    iter_everything,
    segment_everything,
)
from napari_sam.segmentation.grid_crops import crop_boxes, grid_points
from napari_sam.segmentation.instances import instances_from_maps, without_debris
from napari_sam.segmentation.patches import MaskPatch
from napari_sam.segmentation.progress import run
from napari_sam.segmentation.redrawing import Drawn, draw, iter_redraw
from tests.oracle import OraclePredictor

GRID = EverythingConfig(mode="grid", points_per_side=16, min_mask_region_area=30)


def drawn() -> np.ndarray:
    image = np.zeros((64, 80))
    image[5:20, 5:20] = image[30:50, 40:70] = 1
    return image


@pytest.mark.parametrize("mode", ["grid", "instances", "auto"])
def test_every_mode_finds_both_objects(mode):
    config = dataclasses.replace(GRID, mode=mode)
    labels = segment_everything(OraclePredictor(), drawn(), config)
    assert labels.dtype == np.uint32
    assert labels.shape == (64, 80)
    assert (labels[5:20, 5:20] > 0).all()
    assert labels[10, 10] != labels[40, 50]
    assert labels[25, 30] == 0


def test_smoothing_keeps_an_uneven_object_whole():
    rows, cols = np.mgrid[:60, :60]
    inside = np.hypot(rows - 30, cols - 30) < 20
    dent = 1 - 0.8 * np.exp(-(((cols - 30) / 1.0) ** 2))
    maps = np.stack([inside, inside * dent, inside * dent]).astype(np.float32)
    assert instances_from_maps(maps).max() == 2
    assert instances_from_maps(maps, smoothing=5).max() == 1


def test_specks_are_dropped_by_the_median_area():
    labels = np.zeros((40, 40), int)
    labels[:10, :10], labels[20:30, :10], labels[20:30, 20:30], labels[5, 20:25] = 1, 2, 3, 4
    assert without_debris(labels, 0.1).max() == 3
    assert without_debris(labels, 0.04).max() == 4
    assert without_debris(np.zeros((4, 4), int), 0.1).max() == 0


def test_auto_takes_the_grid_without_an_instance_decoder():
    predictor = OraclePredictor(has_instance_decoder=False)
    segment_everything(predictor, drawn(), dataclasses.replace(GRID, mode="auto"))
    assert predictor.n_decode == 4  # 16 x 16 points, 64 at once


def test_records_tell_where_they_come_from():
    records = generate_masks(OraclePredictor(), drawn(), GRID)
    best = max(records, key=lambda record: record.area)
    assert best.box == (30, 40, 50, 70)
    assert best.area == 600
    assert best.mask.shape == (20, 30)
    assert best.predicted_iou == pytest.approx(0.95)
    assert best.stability_score == 1
    assert drawn()[round(best.point[0]), round(best.point[1])] == 1
    assert best.full_mask((64, 80)).sum() == 600


def test_filters_drop_masks():
    strict = dataclasses.replace(GRID, pred_iou_thresh=0.99)
    assert generate_masks(OraclePredictor(), drawn(), strict) == []
    assert segment_everything(OraclePredictor(), drawn(), strict).max() == 0
    only_best = dataclasses.replace(GRID, pred_iou_thresh=0.92)
    assert sorted(r.area for r in generate_masks(OraclePredictor(), drawn(), only_best)) == [
        225,
        600,
    ]


def test_crops_find_what_the_grid_steps_over():
    image = np.zeros((256, 320))
    image[150:230, 150:250] = 1
    image[70:76, 90:96] = 1  # a speck between the points of the whole image's grid
    config = dataclasses.replace(
        GRID, points_per_side=4, min_mask_region_area=0, pred_iou_thresh=0.92
    )
    areas = [r.area for r in generate_masks(OraclePredictor(), image, config)]
    finer = dataclasses.replace(config, points_per_side=32, crop_n_layers=1)
    more = [r.area for r in generate_masks(OraclePredictor(), image, finer)]
    assert areas == [8000]
    assert sorted(more) == [36, 8000]


@pytest.mark.parametrize("shape", [(3, 40), (6, 6), (9, 100), (40, 9), (1, 1)])
def test_crops_of_small_images_hold_pixels(shape):
    boxes = [box for box, _ in crop_boxes(shape, 3, 512 / 1500)]
    assert boxes[0] == (0, 0, *shape)
    for top, left, bottom, right in boxes:
        assert 0 <= top < bottom <= shape[0]
        assert 0 <= left < right <= shape[1]


def test_crop_boxes_cover_the_image_and_overlap():
    boxes = crop_boxes((100, 160), 2, 512 / 1500)
    assert [layer for _, layer in boxes].count(1) == 4
    assert [layer for _, layer in boxes].count(2) == 16
    for wanted in (1, 2):
        seen = np.zeros((100, 160), int)
        for (top, left, bottom, right), layer in boxes:
            if layer == wanted:
                seen[top:bottom, left:right] += 1
        assert seen.min() >= 1
        assert seen.max() > 1


def test_grid_points_are_centred():
    assert grid_points(2).tolist() == [[0.25, 0.25], [0.25, 0.75], [0.75, 0.25], [0.75, 0.75]]


@pytest.mark.parametrize("mode", ["grid", "instances", "prompts"])
def test_progress_reaches_its_total(mode):
    events = list(iter_everything(OraclePredictor(), drawn(), dataclasses.replace(GRID, mode=mode)))
    assert events[-1].done == events[-1].total
    assert all(before.done <= after.done for before, after in pairwise(events))


@pytest.mark.parametrize(
    "image", [np.zeros((1, 1)), np.ones((10, 10)), np.zeros((12, 14, 4), np.uint8)]
)
@pytest.mark.parametrize("mode", ["grid", "instances", "prompts"])
def test_odd_images_give_well_formed_labels(image, mode):
    labels = segment_everything(
        OraclePredictor(), image, dataclasses.replace(GRID, points_per_side=2, mode=mode)
    )
    assert labels.shape == image.shape[:2]
    assert labels.dtype == np.uint32


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"points_per_side": 0}, "points_per_side must lie between 1"),
        ({"pred_iou_thresh": 1.5}, "pred_iou_thresh must lie between 0.0 and 1.0"),
        ({"stability_score_thresh": -1}, "stability_score_thresh"),
        ({"object_diameter": 0}, "object_diameter"),
        ({"mode": "magic"}, "mode must be one of"),
    ],
)
def test_settings_out_of_range_are_refused(options, message):
    with pytest.raises(ValueError, match=message):
        EverythingConfig(**options)


def test_instances_are_drawn_anew_unless_the_mask_strays():
    class Stray(OraclePredictor):
        """Its second object is answered with another one."""

        def predict(self, embedding, prompts, *, multimask_output=True):
            moved = [prompts[0], *[prompts[0]] * (len(prompts) - 1)]
            return super().predict(embedding, moved, multimask_output=multimask_output)

    image = np.zeros((40, 60))
    image[5:15, 5:15] = image[20:34, 30:50] = 1
    rough = np.zeros(image.shape, np.uint32)
    rough[6:15, 5:13], rough[19:33, 31:52] = 1, 2
    embedding = OraclePredictor().embed(image)
    redrawn = run(iter_redraw(OraclePredictor(), embedding, rough, 8))
    assert np.array_equal(redrawn > 0, image > 0)
    kept = run(iter_redraw(Stray(), embedding, rough, 8))
    assert np.array_equal(kept[19:34, 29:52] > 0, rough[19:34, 29:52] > 0)
    assert (kept[5:15, 5:15] > 0).all()
    assert not run(iter_redraw(OraclePredictor(), embedding, np.zeros((40, 60), int), 8)).any()


def test_masks_that_score_much_less_than_the_others_are_left_out():
    square = np.ones((4, 4), bool)
    drawn = [
        Drawn(score, MaskPatch(mask=square, corner=(0, 6 * place)))
        for place, score in enumerate((0.9, 0.8, 0.85, 0.3, 0.0))
    ]
    unjudged = Drawn(0.0, MaskPatch(mask=square, corner=(6, 0)), is_judged=False)
    assert draw(drawn, (12, 40)).max() == 5
    labels = draw([*drawn, unjudged], (12, 40), 0.85)
    assert labels[2, 2::6].astype(bool).tolist() == [True] * 3 + [False] * 4
    assert labels[8, 2] > 0
    assert draw([], (3, 3), 0.85).max() == 0
