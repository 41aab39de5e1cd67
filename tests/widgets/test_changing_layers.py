"""Layers that change under the docks: names, pixels, places; and what is shown of them."""

import threading

import numpy as np
import pytest
import zarr

from napari_sam.viewer import labels_output
from napari_sam.widgets import SegmentWidget, session_jobs
from napari_sam.widgets.words import READY
from tests.oracle import OraclePredictor
from tests.widgets.person import Mouse
from tests.widgets.test_docks import SQUARE, TOTAL, drawn, has_mask, open_everything, open_segment

BAR_PIXELS = TOTAL - 100


def stack(depth: int) -> np.ndarray:
    return np.stack([drawn()] * depth)


def commit_at(dock, qtbot, at, pixels):
    dock.prompts.point_layer.add(at)
    qtbot.waitUntil(lambda: has_mask(dock, pixels))
    assert dock.commit() is not None
    return dock.session.labels


def stack_dock(viewer, qtbot, depth=12, predictor=None, **options):
    dock = open_segment(viewer, stack(depth), predictor, **options)
    viewer.dims.set_current_step(0, 0)
    dock.prompts.new_points()
    qtbot.waitUntil(lambda: dock.session is not None)
    return dock


def rename(image):
    image.name = "nuclei"


def brighten(image):
    image.data = drawn() * 1.5


@pytest.mark.parametrize("change", [rename, brighten])
def test_objects_keep_their_journal_when_the_image_changes(dock, viewer, qtbot, change):
    commit_at(dock, qtbot, (8, 8), 100)
    path = dock.session.objects.journal.path
    change(viewer.layers["drawn"])
    dock.use_predictor(OraclePredictor())
    commit_at(dock, qtbot, (30, 30), BAR_PIXELS)
    assert dock.session.objects.journal.path == path
    assert sorted(dock.session.objects.table.entries) == [1, 2]
    dock.undo()
    dock.undo()
    dock.undo()
    assert not dock.session.labels.data.any()


def test_what_is_erased_while_the_dock_is_closed_stays_erased(dock, viewer, qtbot):
    labels = commit_at(dock, qtbot, (8, 8), 100)
    points = dock.prompts.point_layer
    viewer.window.remove_dock_widget(dock)
    labels.data[labels.data == 1] = 0
    again = SegmentWidget(viewer)
    viewer.window.add_dock_widget(again)
    again.use_predictor(OraclePredictor())
    again.show()
    again.prompts.points.choose(points)
    qtbot.waitUntil(lambda: again.session is not None)
    assert again.session.labels is labels
    assert not labels.data.any()
    assert "Ctrl+Z" in {str(key) for key in labels.keymap}


def test_a_commit_under_a_hidden_dock_commits_what_was_prompted(dock, qtbot):
    points = dock.prompts.point_layer
    points.add((8, 8))
    qtbot.waitUntil(lambda: has_mask(dock, 100))
    dock.hide()
    points.add((30, 30))
    dock.commit()
    qtbot.waitUntil(lambda: dock.session.labels is not None)
    assert dock.session.labels.data.sum() == TOTAL


def test_prompts_are_answered_anew_on_other_data(dock, viewer, qtbot):
    dock.prompts.point_layer.add((8, 8))
    qtbot.waitUntil(lambda: has_mask(dock, 100))
    smaller = np.zeros((40, 50))
    smaller[6:10, 6:10] = 1
    viewer.layers["drawn"].data = smaller
    qtbot.waitUntil(lambda: has_mask(dock, 16))


def test_pixels_that_were_edited_in_place_are_seen(dock, viewer, qtbot):
    commit_at(dock, qtbot, (8, 8), 100)
    image = viewer.layers["drawn"]
    image.data[...] = 0
    image.data[5:9, 5:9] = 1
    image.refresh()
    dock.prompts.point_layer.add((7, 7))
    qtbot.waitUntil(lambda: has_mask(dock, 16))


def test_drafts_of_the_image_before_are_not_written(viewer, qtbot):
    dock = open_segment(viewer, predictor=OraclePredictor(seconds=0.3))
    dock.prompts.new_points()
    qtbot.waitUntil(lambda: dock.session is not None and not dock.busy)
    dock.jobs.everything_in_view()
    viewer.layers["drawn"].data = np.zeros((40, 50))
    assert dock.status.text() == "Stopped: the image has other data now"
    qtbot.waitUntil(lambda: not dock.busy)
    assert dock.session.labels is None


def test_a_slice_of_the_image_before_is_not_shown(viewer, qtbot):
    dock = open_everything(viewer, stack(4), OraclePredictor(seconds=0.3))
    viewer.dims.set_current_step(0, 3)
    dock.run()
    qtbot.waitUntil(lambda: dock._runner.busy)
    viewer.layers["drawn"].data = np.zeros((2, 20, 20))
    assert "other data" in dock.status.text()
    qtbot.wait(500)
    assert len(viewer.layers) == 1


def test_a_job_ends_when_its_image_is_replaced_although_another_one_is_chosen(viewer, qtbot):
    dock = open_everything(viewer, predictor=OraclePredictor(seconds=0.3))
    image = viewer.layers["drawn"]
    dock.run()
    qtbot.waitUntil(lambda: dock._runner.busy)
    dock.image.choose(viewer.add_image(drawn(), name="other"))
    image.data = drawn() * 0
    assert "other data" in dock.status.text()
    qtbot.wait(500)
    assert len(viewer.layers) == 2


def test_sliders_go_with_the_data_although_another_image_is_chosen(viewer, qtbot):
    dock = open_everything(viewer)
    dock.form.editors["mode"].value = "grid"
    dock.form.editors["points_per_side"].value = 16
    dock.run()
    qtbot.waitUntil(lambda: not dock.levels.isHidden(), timeout=20_000)
    dock.image.choose(viewer.add_image(drawn(), name="other"))
    viewer.layers["drawn"].data = drawn() * 0
    assert dock.levels.isHidden()
    assert dock.levels._masks is None


def test_the_results_of_two_images_of_like_names_go_to_two_layers(viewer, qtbot):
    dock = open_everything(viewer)
    first = viewer.layers["drawn"]
    first.name = "nuclei"
    second = viewer.add_image(drawn() * 2, name="nuclei 2")
    for image in (second, first):
        dock.image.choose(image)
        dock.run()
        qtbot.waitUntil(dock.run_box.start.isEnabled)
    names = [layer.name for layer in viewer.layers[2:]]
    assert names == ["SAM everything: nuclei 2", "SAM everything: nuclei"]
    first.name = "cells"
    dock.run()
    qtbot.waitUntil(dock.run_box.start.isEnabled)
    assert len(viewer.layers) == 4


def test_labels_that_lie_elsewhere_are_not_refined_nor_carried(viewer, qtbot):
    dock = stack_dock(viewer, qtbot, scale=(2, 1, 1))
    labels = viewer.add_labels(np.zeros((12, 40, 50), np.uint16), name="mine")
    labels.data[3, 22:30, 22:30] = 7
    dock.output.labels.choose(labels)
    viewer.dims.set_point(0, 6)
    qtbot.waitUntil(lambda: dock.session is not None and dock.session.labels is labels)
    dock.jobs.refine()
    assert "scale and position" in dock.status.text()
    assert not dock.busy
    assert (labels.data > 0).sum() == 64


def test_what_was_painted_on_a_slice_is_kept_when_objects_are_carried_again(viewer, qtbot):
    dock = stack_dock(viewer, qtbot, depth=6)
    labels = commit_at(dock, qtbot, (0, 8, 8), 100)
    dock.jobs.propagate()
    qtbot.waitUntil(lambda: not dock.busy and labels.data[5].any())
    viewer.dims.set_current_step(0, 3)
    labels.brush_size = 5
    labels.paint((3, 30, 10), 1)
    painted = int((labels.data[3, 25:] == 1).sum())
    assert painted > 4
    viewer.dims.set_current_step(0, 0)
    dock.jobs.propagate()
    qtbot.waitUntil(lambda: not dock.busy)
    assert (labels.data[3, 25:] == 1).sum() == painted
    assert dock.session.objects.table[1].annotated == ((0, None, None), (3, None, None))


def test_undo_ends_a_propagation_that_is_under_way(viewer, qtbot):
    dock = stack_dock(viewer, qtbot, predictor=OraclePredictor(seconds=0.05))
    labels = commit_at(dock, qtbot, (0, 8, 8), 100)
    dock.jobs.propagate()
    qtbot.waitUntil(labels.data[2].any)
    dock.undo()
    qtbot.waitUntil(lambda: not dock.busy)
    qtbot.wait(200)
    assert np.nonzero(labels.data.any((1, 2)))[0].tolist() == [0]
    dock.redo()
    assert labels.data[2].any()


def test_the_preview_follows_an_image_that_is_scaled(dock, viewer, qtbot):
    dock.prompts.point_layer.add((8, 8))
    qtbot.waitUntil(lambda: has_mask(dock, 100))
    viewer.layers["drawn"].scale = (2, 2)
    dock.prompts.point_layer.data = np.array([[60.0, 60.0]])
    qtbot.waitUntil(lambda: has_mask(dock, BAR_PIXELS))
    preview = dock.session.overlays._preview.layer
    rows, cols = np.nonzero(np.asarray(preview.data))
    corner = preview.data_to_world((rows.min(), cols.min()))
    np.testing.assert_allclose(corner, (40, 40), atol=1)


def test_an_answer_to_hovering_that_comes_in_3d_is_dropped(viewer, qtbot):
    dock = stack_dock(viewer, qtbot, predictor=OraclePredictor(seconds=0.1))
    qtbot.waitUntil(lambda: not dock.busy)
    qtbot.wait(700)
    Mouse(dock.prompts.point_layer).move((0, 8, 8))
    viewer.dims.ndisplay = 3
    with qtbot.capture_exceptions() as raised:
        qtbot.wait(500)
    assert raised == []


def test_a_point_beside_the_image_is_told_and_nothing_raised(dock, qtbot):
    dock.prompts.point_layer.add([(8, 8), (300, 300)])
    qtbot.waitUntil(lambda: not dock.busy and dock.status.text() != READY)
    for job in (dock.jobs.everything_in_view, dock.jobs.each_alone):
        dock.status.clear()
        job()
        assert "lies outside the image" in dock.status.text()


def test_labels_on_disk_are_counted_in_the_background(viewer, qtbot, tmp_path, monkeypatch):
    dock = open_segment(viewer)
    stored = zarr.create_array(tmp_path / "l.zarr", shape=(40, 50), chunks=(40, 50), dtype="u2")
    stored[:5, :5] = 9
    dock.output.labels.choose(viewer.add_labels(stored, name="disk"))
    read_by = []

    def highest(data):
        read_by.append(threading.current_thread())
        return int(np.asarray(data[:]).max())

    for module in (labels_output, session_jobs):
        monkeypatch.setattr(module, "highest_label", highest)
    dock.jobs.everything_in_view()
    qtbot.waitUntil(lambda: np.asarray(stored[SQUARE]).any())
    assert sorted(np.unique(stored[:])) == [0, 9, 10, 11]
    assert threading.main_thread() not in read_by
    assert read_by
