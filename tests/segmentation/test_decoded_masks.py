"""Candidates of an image, drawn at other settings than they were decoded with."""

from dataclasses import replace

import numpy as np
import pytest

from napari_sam.segmentation.decoded_masks import LENIENT, iter_decoded
from napari_sam.segmentation.everything import (
    EverythingConfig,
    generate_masks,
    segment_everything,
)
from napari_sam.segmentation.progress import run
from tests.oracle import OraclePredictor

GRID = EverythingConfig(mode="grid", points_per_side=12)
SETTINGS = {
    "as they come": {},
    "only the best": {"pred_iou_thresh": 0.92},
    "at a score": {"pred_iou_thresh": 0.85, "box_nms_thresh": 0.95},
    "all there is": {"pred_iou_thresh": 0.0, "box_nms_thresh": 1.0},
    "crops": {"crop_n_layers": 1, "crop_nms_thresh": 0.5},
    "small regions": {"min_mask_region_area": 40, "box_nms_thresh": 0.9},
    "tiles": {"tile_side": 48, "object_diameter": 8},
    "adaptive points": {"points": "adaptive", "pred_iou_thresh": 0.86, "box_nms_thresh": 1.0},
    "nothing": {"pred_iou_thresh": 1.0},
    "the largest": {"level": "largest"},
    "one size": {"level": "one size", "pred_iou_thresh": 0.5, "box_nms_thresh": 0.95},
}


def drawn() -> np.ndarray:
    """Return an image of squares of several sizes, one with a hole, and a bar."""
    image = np.zeros((96, 120))
    image[5:20, 5:20] = image[30:50, 40:70] = image[60:64, 20:110] = image[70:90, 60:80] = 1
    image[38:42, 50:54] = 0
    return image


def decoded(config, predictor=None):
    return run(iter_decoded(predictor or OraclePredictor(), drawn(), config))


@pytest.mark.parametrize("options", SETTINGS.values(), ids=SETTINGS)
def test_drawing_is_what_a_run_gives(options):
    config = replace(GRID, **options)
    masks = decoded(config)
    expected = segment_everything(OraclePredictor(), drawn(), config)
    assert np.array_equal(masks.labels(config), expected)
    boxes = [record.box for record in generate_masks(OraclePredictor(), drawn(), config)]
    assert [record.box for record in masks.records(config)] == boxes


@pytest.mark.parametrize(
    "start", [{}, {"tile_side": 48, "object_diameter": 8}, {"crop_n_layers": 1}]
)
def test_other_settings_need_no_decoding(start):
    predictor = OraclePredictor()
    start = replace(GRID, **start)
    masks = decoded(start, predictor)
    calls = predictor.n_decode
    found = set()
    for change in (
        {"pred_iou_thresh": 0.92},
        {"pred_iou_thresh": 0.6, "box_nms_thresh": 1.0},
        {"pred_iou_thresh": 0.6, "box_nms_thresh": 0.5, "level": "largest"},
        {"min_mask_region_area": 100},
        {"stability_score_thresh": 1.0, "level": "smallest"},
        {},
    ):
        config = replace(start, **change)
        labels = masks.labels(config)
        assert np.array_equal(labels, segment_everything(OraclePredictor(), drawn(), config))
        found.add(len(masks.records(config)))
    assert predictor.n_decode == calls
    assert len(found) > 2


def test_masks_are_kept_from_lenient_thresholds_on():
    masks = decoded(GRID)
    assert (masks.config.pred_iou_thresh, masks.config.stability_score_thresh) == (LENIENT, LENIENT)
    lower = decoded(replace(GRID, pred_iou_thresh=0.2))
    assert lower.config.pred_iou_thresh == 0.2
    adaptive = decoded(replace(GRID, points="adaptive"))  # more masks would leave out more points
    assert adaptive.config.pred_iou_thresh == GRID.pred_iou_thresh


def test_settings_that_were_drawn_last_are_not_worked_out_again(monkeypatch):
    masks = decoded(GRID)
    masks.labels(replace(GRID, level="largest"))
    monkeypatch.setattr("napari_sam.segmentation.decoded_masks.PartTree.of", pytest.fail)
    assert masks.labels(replace(GRID, level="smallest")).any()


def test_progress_reaches_its_total():
    for options in ({}, SETTINGS["tiles"]):
        events = list(iter_decoded(OraclePredictor(), drawn(), replace(GRID, **options)))
        assert events[-1].done == events[-1].total
