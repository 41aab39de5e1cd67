"""Nothing that a person did is lost or goes elsewhere: journals, layers, pages, the 3D view."""

import time

import numpy as np
import pytest
from napari.utils.notifications import notification_manager

from napari_sam.viewer import recovery
from napari_sam.widgets import SegmentWidget
from tests.oracle import OraclePredictor
from tests.widgets.person import Mouse, press
from tests.widgets.test_docks import drawn, has_mask, open_everything, open_segment

SQUARE, BAR = 100, 375


@pytest.fixture
def told():
    """What napari tells people, as it comes."""
    messages = []

    def note(notification):
        messages.append(notification.message)

    notification_manager.notification_ready.connect(note)
    yield messages
    notification_manager.notification_ready.disconnect(note)


def committed(dock, qtbot, point, pixels):
    """Click an object and commit it."""
    Mouse(dock.prompts.point_layer).drag(point)
    qtbot.waitUntil(lambda: dock.session is not None and has_mask(dock, pixels))
    return dock.commit()


def settled(dock, qtbot):
    qtbot.waitUntil(lambda: dock.session is not None and not dock.busy)


@pytest.fixture
def stack_dock(viewer, qtbot):
    """A dock on a stack of three slices, with an object on the first."""
    dock = open_segment(viewer, np.stack([drawn()] * 3))
    viewer.dims.set_current_step(0, 0)
    dock.prompts.new_points()
    qtbot.waitUntil(lambda: dock.session is not None)
    committed(dock, qtbot, (0, 8, 8), SQUARE)
    return dock


def test_without_a_journal_the_dock_works(viewer, qtbot, monkeypatch, tmp_path, told):
    (tmp_path / "file").write_text("no folder")
    monkeypatch.setenv("NAPARI_SAM_JOURNALS", str(tmp_path / "file" / "journals"))
    dock = open_segment(viewer)
    dock.prompts.new_points()
    qtbot.waitUntil(lambda: dock.session is not None)
    assert any("not written down" in message for message in told)
    assert committed(dock, qtbot, (8, 8), SQUARE) == 1


@pytest.mark.parametrize("action", ["everything", "refine"])
@pytest.mark.parametrize("beside", [False, True])
def test_where_no_slice_is_shown_the_session_stays(stack_dock, viewer, qtbot, action, beside):
    session = stack_dock.session
    if beside:
        viewer.add_image(np.zeros((10, 40, 50)), name="longer")
        viewer.dims.set_current_step(0, 7)
    else:
        viewer.dims.ndisplay = 3
    stack_dock.output.buttons[action].click()
    qtbot.wait(200)
    assert stack_dock.session is session
    assert list(session.objects.table.entries) == [1]


class Slow(OraclePredictor):
    """Takes a while for an answer."""

    def predict(self, *arguments, **options):
        time.sleep(0.3)
        return super().predict(*arguments, **options)


def test_enter_commits_what_was_prompted_then_or_nothing(viewer, qtbot):
    dock = open_segment(viewer, np.stack([drawn()] * 3), predictor=Slow())
    viewer.dims.set_current_step(0, 0)
    dock.prompts.new_points()
    qtbot.waitUntil(lambda: dock.session is not None)
    mouse = Mouse(dock.prompts.point_layer)
    mouse.drag((0, 8, 8))
    assert dock.commit() is None
    viewer.dims.set_current_step(0, 1)
    qtbot.waitUntil(lambda: "Not committed" in dock.status.text())
    mouse.drag((1, 30, 30))
    qtbot.waitUntil(lambda: has_mask(dock, BAR))
    assert dock.session.labels is None
    mouse.drag((1, 30, 31))
    assert dock.commit() is None
    qtbot.waitUntil(lambda: dock.session.labels is not None)
    assert [int((plane > 0).sum()) for plane in dock.session.labels.data] == [0, BAR, 0]


def test_a_job_does_not_drop_the_answer_that_enter_waits_for(viewer, qtbot):
    dock = open_segment(viewer, predictor=Slow())
    dock.prompts.new_points()
    qtbot.waitUntil(lambda: dock.session is not None)
    Mouse(dock.prompts.point_layer).drag((8, 8))
    assert dock.commit() is None
    dock.output.buttons["everything"].click()
    qtbot.waitUntil(lambda: dock.session.labels is not None and not dock.busy)
    assert dock.session.objects.table[1].area == SQUARE


def test_points_of_ones_own_stay_when_a_journal_is_found(make_napari_viewer, qtbot):
    before = make_napari_viewer()
    dock = open_segment(before)
    dock.prompts.new_points()
    qtbot.waitUntil(lambda: dock.session is not None)
    committed(dock, qtbot, (8, 8), SQUARE)
    before.window.remove_dock_widget(dock)
    viewer = make_napari_viewer()
    dock = open_segment(viewer)
    places = np.random.default_rng(0).uniform(0, 39, (50, 2))
    points = viewer.add_points(places, features={"score": np.arange(50)}, name="detections")
    dock.prompts.points.choose(points)
    qtbot.waitUntil(lambda: dock.session is not None)
    settled(dock, qtbot)
    assert np.array_equal(points.data, places)
    assert points.features["score"].tolist() == list(range(50))
    assert len(dock.session.objects.table) == 1


def test_points_without_our_column_take_points_outside(viewer, qtbot):
    dock = open_segment(viewer)
    points = viewer.add_points(np.array([[30.0, 30.0]]), features={"score": [0.3]}, name="mine")
    dock.prompts.points.choose(points)
    settled(dock, qtbot)
    points.mode = "add"
    Mouse(points).drag((8, 8), modifiers=("Shift",))
    qtbot.waitUntil(lambda: len(points.data) == 2)
    assert points.features["prompt"].tolist() == ["positive", "negative"]
    assert points.features["score"].iloc[0] == 0.3


def test_each_image_has_a_layer_of_its_own(dock, viewer, qtbot):
    committed(dock, qtbot, (8, 8), SQUARE)
    first = dock.output.labels.layer
    other = viewer.add_image(np.roll(drawn(), 3, 1), name="other")
    dock.image.choose(other)
    settled(dock, qtbot)
    assert dock.output.labels.layer is None
    committed(dock, qtbot, (30, 30), BAR)
    second = dock.output.labels.layer
    assert second is not first
    assert np.unique(first.data).tolist() == [0, 1]
    for image, layer in (("drawn", first), ("other", second)):
        dock.image.choose(viewer.layers[image])
        settled(dock, qtbot)
        assert dock.session.labels is layer
        assert list(dock.session.objects.table.entries) == [1]


def test_a_second_set_of_objects_has_a_journal_of_its_own(dock, viewer, qtbot, journals_folder):
    committed(dock, qtbot, (8, 8), SQUARE)
    first = dock.output.labels.layer
    dock.output.labels.setCurrentIndex(0)
    settled(dock, qtbot)
    assert dock.session.labels is None
    committed(dock, qtbot, (30, 30), BAR)
    second = dock.session.labels
    assert (first.name, second.name) == ("SAM labels", "SAM labels 2")
    for layer, pixels in ((first, SQUARE), (second, BAR)):
        dock.output.labels.choose(layer)
        settled(dock, qtbot)
        assert [entry.area for entry in dock.session.objects.table] == [pixels]
        assert int((layer.data > 0).sum()) == pixels
    assert len(list(journals_folder.glob("*.jsonl"))) == 2


def test_all_sets_of_objects_are_there_after_a_restart(dock, make_napari_viewer, qtbot):
    committed(dock, qtbot, (8, 8), SQUARE)
    dock.output.labels.setCurrentIndex(0)
    settled(dock, qtbot)
    committed(dock, qtbot, (30, 30), BAR)
    dock.session.close()
    again = open_segment(make_napari_viewer())
    again.prompts.new_points()
    settled(again, qtbot)
    first, second = (again.viewer.layers[name] for name in ("SAM labels", "SAM labels 2"))
    assert again.session.labels is first
    assert [int((layer.data > 0).sum()) for layer in (first, second)] == [SQUARE, BAR]
    assert again.status.text().endswith("Further objects of this image: SAM labels 2")
    again.output.labels.choose(second)
    settled(again, qtbot)
    assert [entry.area for entry in again.session.objects.table] == [BAR]
    again.undo()
    assert not second.data.any()
    assert int((first.data > 0).sum()) == SQUARE
    again.viewer.layers.remove(second)
    again.output.labels.setCurrentIndex(0)
    settled(again, qtbot)
    assert again.session.labels is None


def test_further_sets_that_cannot_be_read_are_told_and_nothing_else(
    make_napari_viewer, qtbot, monkeypatch, told
):
    def damaged(*_, **__):
        raise OSError("the disk is gone")

    monkeypatch.setattr(recovery, "further_sets", damaged)
    dock = open_segment(make_napari_viewer())
    dock.prompts.new_points()
    qtbot.waitUntil(lambda: dock.session is not None)
    assert any("the disk is gone" in message for message in told)
    assert dock.session.objects.journal is not None


def test_a_layer_that_was_renamed_keeps_its_objects(dock, qtbot):
    committed(dock, qtbot, (8, 8), SQUARE)
    dock.session.labels.name = "cells of ann"
    dock.use_predictor(OraclePredictor())
    settled(dock, qtbot)
    assert list(dock.session.objects.table.entries) == [1]
    dock.undo()
    assert not dock.session.labels.data.any()


def test_a_dock_that_is_opened_again_goes_on_in_its_layer(dock, viewer, qtbot):
    committed(dock, qtbot, (8, 8), SQUARE)
    layer, points = dock.session.labels, dock.prompts.point_layer
    viewer.window.remove_dock_widget(dock)
    again = SegmentWidget(viewer)
    viewer.window.add_dock_widget(again)
    again.use_predictor(OraclePredictor())
    again.show()
    again.prompts.points.choose(points)
    assert again.output.labels.layer is layer
    qtbot.waitUntil(lambda: again.session is not None)
    assert again.session.labels is layer
    assert list(again.session.objects.table.entries) == [1]


def test_classes_and_scores_stand_in_the_layer(dock, qtbot):
    dock.output.category.setCurrentText("cell")
    committed(dock, qtbot, (8, 8), SQUARE)
    dock.output.category.setCurrentText("")
    committed(dock, qtbot, (30, 30), BAR)
    layer = dock.session.labels
    assert layer.features["index"].tolist() == [1, 2]
    assert layer.features["class"].tolist() == ["cell", ""]
    assert layer.features["predicted_iou"].between(0, 1).all()
    layer.features = layer.features.assign(note=["a", "b"])
    press(layer, "Control-Z")
    assert layer.features["index"].tolist() == [1]
    assert layer.features["note"].tolist() == ["a"]


def test_a_job_ends_with_the_dock_everything(viewer, qtbot):
    dock = open_everything(viewer, predictor=OraclePredictor(seconds=0.3))
    dock.run()
    qtbot.waitUntil(lambda: dock._runner.busy)
    viewer.window.remove_dock_widget(dock)
    assert not dock._runner.busy
    qtbot.wait(500)
    assert [layer.name for layer in viewer.layers] == ["drawn"]


def test_another_model_while_everything_waits_for_one(viewer, qtbot):
    dock = open_everything(viewer)
    dock.models._drop("")
    dock.run()
    assert not dock.start_button.isEnabled()
    dock.use_predictor(OraclePredictor())
    qtbot.waitUntil(lambda: dock._target is not None and not dock._runner.busy)
    assert dock.start_button.isEnabled()
    assert len(np.unique(dock._target.data)) == 3


def test_an_opening_that_nobody_waits_for_lets_go_of_the_journal(
    dock, qtbot, monkeypatch, journals_folder
):
    committed(dock, qtbot, (8, 8), SQUARE)
    open_at_once = recovery.open_journal

    def slow(*arguments, **options):
        found = open_at_once(*arguments, **options)
        time.sleep(0.3)
        return found

    monkeypatch.setattr(recovery, "open_journal", slow)
    dock.use_predictor(OraclePredictor())
    qtbot.wait(100)
    dock.use_predictor(OraclePredictor())
    settled(dock, qtbot)
    assert list(dock.session.objects.table.entries) == [1]
    assert len(list(journals_folder.glob("*.jsonl"))) == 1
