"""The dock "Everything" after a run on a grid: sliders and level draw the labels anew at once."""

import threading
from dataclasses import replace

import numpy as np
import pytest
from napari.utils.notifications import notification_manager

from napari_sam.segmentation.decoded_masks import DecodedMasks
from napari_sam.segmentation.everything import EverythingConfig, segment_everything
from tests.oracle import OraclePredictor
from tests.widgets.test_docks import drawn, open_everything

GRID = EverythingConfig(mode="grid", points_per_side=16, pred_iou_thresh=0.875, box_nms_thresh=1.0)
ERODED = 8 * 8 + 13 * 23
"""Pixels of the two objects of the picture, less their outlines."""


def run_grid(viewer, qtbot, image=None, config=GRID, predictor=None):
    """Run the dock on a grid and return it with its first labels."""
    dock = open_everything(viewer, image, predictor)
    return rerun(dock, qtbot, config)


def rerun(dock, qtbot, config=GRID):
    for name, editor in dock.form.editors.items():
        if getattr(config, name) != getattr(EverythingConfig(), name):
            editor.value = getattr(config, name)
    dock.run()
    qtbot.waitUntil(lambda: not dock._runner.busy and dock._target is not None, timeout=20_000)
    return dock


def choose(dock, qtbot, **values):
    """Move sliders as a person does, and wait for the labels."""
    for name, value in values.items():
        dock.levels.editors[name].value = value
    qtbot.waitUntil(lambda: not dock.levels.busy)


def expected(image=None, **changes) -> np.ndarray:
    config = replace(GRID, **changes)
    return segment_everything(OraclePredictor(), drawn() if image is None else image, config)


def test_the_first_labels_are_those_of_a_plain_run(viewer, qtbot):
    dock = run_grid(viewer, qtbot)
    config = dock.form.value()
    assert not dock.levels.isHidden()
    assert np.array_equal(dock._target.data, segment_everything(OraclePredictor(), drawn(), config))
    assert dock._target.data.max() == 4  # two objects, and a part of each


def test_sliders_act_at_once_and_decode_nothing(viewer, qtbot):
    predictor = OraclePredictor()
    dock = run_grid(viewer, qtbot, predictor=predictor)
    calls = predictor.n_decode
    for changes, count in (
        ({"pred_iou_thresh": 0.92}, 2),
        ({"pred_iou_thresh": 0.5}, 6),  # down, too: the dilated ones lie around
        ({"level": "largest"}, 2),
        ({"level": "smallest"}, 2),
        ({"stability_score_thresh": 1.0, "level": "all"}, 6),
        ({"pred_iou_thresh": 1.0}, 0),
    ):
        choose(dock, qtbot, **changes)
        assert dock._target.data.max() == count
        assert np.array_equal(dock._target.data, expected(**shown(dock)))
        assert dock.status.text().startswith(f"{count} objects")
    assert predictor.n_decode == calls
    assert len(viewer.layers) == 2


def shown(dock) -> dict:
    return {name: editor.value for name, editor in dock.levels.editors.items()}


def test_levels_draw_wholes_or_parts(viewer, qtbot):
    dock = run_grid(viewer, qtbot)
    choose(dock, qtbot, level="largest")
    assert np.array_equal(dock._target.data > 0, drawn() > 0)
    choose(dock, qtbot, level="smallest")
    assert np.count_nonzero(dock._target.data) == ERODED


def test_the_sliders_start_where_the_run_stood_and_reach_lower(viewer, qtbot):
    levels = run_grid(viewer, qtbot).levels
    assert levels.editors["pred_iou_thresh"].value == pytest.approx(0.88, abs=0.006)
    assert levels.editors["pred_iou_thresh"].min == 0.5
    assert levels.editors["stability_score_thresh"].value == pytest.approx(0.95)
    assert levels.editors["level"].value == "all"
    assert all(editor.tooltip for editor in levels.editors.values())


def test_the_next_run_takes_what_the_sliders_found(viewer, qtbot):
    dock = run_grid(viewer, qtbot)
    choose(dock, qtbot, pred_iou_thresh=0.92, level="largest")
    config = dock.form.value()
    assert (config.pred_iou_thresh, config.level) == (0.92, "largest")
    found = dock._target.data.copy()
    rerun(dock, qtbot, config)
    assert np.array_equal(dock._target.data, found)


def test_only_the_slice_of_the_run_is_drawn_anew(viewer, qtbot):
    image = np.stack([drawn(), drawn()])
    dock = run_grid(viewer, qtbot, image)
    first = dock._target.data[0].copy()
    assert not dock._target.data[1].any()
    viewer.dims.set_current_step(0, 1)
    rerun(dock, qtbot)
    viewer.dims.set_current_step(0, 0)
    choose(dock, qtbot, level="largest")
    assert np.array_equal(dock._target.data[0], first)
    assert sorted(np.unique(dock._target.data[1])) == [0, 5, 6]


def test_modes_without_candidates_have_no_sliders(viewer, qtbot):
    dock = open_everything(viewer)
    assert dock.levels.isHidden()
    rerun(dock, qtbot, EverythingConfig())
    assert dock.levels.isHidden()
    rerun(dock, qtbot)
    assert not dock.levels.isHidden()
    rerun(dock, qtbot, replace(GRID, mode="instances"))
    assert dock.levels.isHidden()


def test_masks_go_with_their_image(viewer, qtbot):
    dock = run_grid(viewer, qtbot)
    viewer.layers.remove("drawn")
    assert dock.levels.isHidden()
    assert dock.levels._masks is None
    dock.levels.editors["level"].value = "largest"
    assert not dock.levels.busy


def test_labels_of_an_earlier_run_are_not_shown(viewer, qtbot, monkeypatch):
    dock = run_grid(viewer, qtbot)
    draws, go_on, draw = threading.Event(), threading.Event(), DecodedMasks.labels

    def slow(masks, config):
        draws.set()
        go_on.wait(10)
        return draw(masks, config)

    monkeypatch.setattr(DecodedMasks, "labels", slow)
    dock.levels.editors["level"].value = "largest"
    assert draws.wait(10)
    monkeypatch.setattr(DecodedMasks, "labels", draw)
    dock.form.editors["level"].value = "smallest"
    rerun(dock, qtbot)
    found = dock._target.data.copy()
    go_on.set()
    qtbot.waitUntil(lambda: not dock.levels.busy)
    qtbot.wait(50)
    assert np.array_equal(dock._target.data, found)


def test_an_error_while_drawing_is_told(viewer, qtbot, monkeypatch):
    dock = run_grid(viewer, qtbot)

    def broken(masks, config):
        raise ValueError("the pens are dry")

    monkeypatch.setattr(DecodedMasks, "labels", broken)
    told = []
    notification_manager.notification_ready.connect(told.append)
    try:
        choose(dock, qtbot, level="largest")
        qtbot.waitUntil(lambda: bool(told))
    finally:
        notification_manager.notification_ready.disconnect(told.append)
    assert [note.message for note in told] == ["the pens are dry"]
