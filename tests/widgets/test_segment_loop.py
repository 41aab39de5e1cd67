"""The annotating loop: mouse, keys, hovering, drafts, undo into the layers, recovery."""

import time
from types import SimpleNamespace

import numpy as np
import pytest
from napari.utils.key_bindings import coerce_keybinding
from qtpy.QtCore import QSettings

from napari_sam.viewer.overlays import GESTURE_NAME
from napari_sam.viewer.preview import HOVER_NAME, PREVIEW_NAME
from napari_sam.widgets import SegmentWidget
from napari_sam.widgets.hovering import SLOW
from napari_sam.widgets.keys import ACTIONS, ALWAYS, KeyMap, KeysDialog
from napari_sam.widgets.object_table import ObjectTableWidget
from tests.oracle import OraclePredictor
from tests.widgets.test_docks import TOTAL, drawn, has_mask, open_segment


@pytest.fixture
def viewer(make_napari_viewer):
    return make_napari_viewer()


@pytest.fixture
def dock(viewer, qtbot):
    dock = open_segment(viewer)
    dock.prompts.new_points()
    qtbot.waitUntil(lambda: dock.session is not None)
    return dock


class Mouse:
    """Sends a layer what napari sends it."""

    def __init__(self, layer):
        self.layer = layer

    def drag(self, *path, modifiers=(), button=1):
        """Press at the first place, move over the others, release at the last."""
        event = SimpleNamespace(
            type="mouse_press",
            pos=np.array(path[0][::-1], float) * 10,
            position=path[0],
            modifiers=modifiers,
            button=button,
            handled=False,
        )
        running = []
        for callback in list(self.layer.mouse_drag_callbacks):
            step = callback(self.layer, event)
            if hasattr(step, "__next__") and next(step, "ended") != "ended":
                running.append(step)
        moves = [("mouse_move", at) for at in path[1:]] + [("mouse_release", path[-1])]
        for kind, at in moves:
            event.type, event.position = kind, at
            event.pos = np.array(at[::-1], float) * 10
            running = [step for step in running if next(step, "ended") != "ended"]

    def move(self, at):
        event = SimpleNamespace(position=at, modifiers=())
        for callback in list(self.layer.mouse_move_callbacks):
            if getattr(callback, "__name__", "") == "_move":
                callback(self.layer, event)

    def wheel(self, steps, modifiers=("Shift",)):
        event = SimpleNamespace(delta=np.array([0, steps]), modifiers=modifiers, handled=False)
        for callback in list(self.layer.mouse_wheel_callbacks):
            callback(self.layer, event)


def press(layer, key):
    """Call what a key is bound to on a layer; returns a generator for keys that are held."""
    return layer.keymap[coerce_keybinding(key)](layer)


def shown(dock, name):
    return np.asarray(dock.viewer.layers[name].data) > 0


def test_clicks_and_their_modifiers(dock, qtbot):
    mouse = Mouse(dock.prompts.point_layer)
    mouse.drag((8, 8))
    mouse.drag((30, 30))
    qtbot.waitUntil(lambda: has_mask(dock, TOTAL))
    mouse.drag((31, 31), modifiers=("Shift",))
    qtbot.waitUntil(lambda: has_mask(dock, 100))
    mouse.drag((21, 21), button=2)
    points = dock.prompts.point_layer
    assert list(points.features["prompt"]) == ["positive"] * 2 + ["negative"] * 2
    assert dock.prompts.polarity["positive"].isChecked()


def test_a_drag_is_a_box_and_takes_the_place_of_the_last(dock, qtbot):
    mouse = Mouse(dock.prompts.point_layer)
    mouse.drag((3, 3), (10, 10), (16, 16))
    qtbot.waitUntil(lambda: has_mask(dock, 100))
    mouse.drag((18, 18), (30, 30), (36, 46))
    qtbot.waitUntil(lambda: has_mask(dock, 15 * 25))
    assert len(dock.prompts.shape_layer.data) == 1
    assert dock.viewer.layers.selection.active is dock.prompts.point_layer
    assert not shown(dock, GESTURE_NAME).any()


def test_what_is_drawn_is_seen(dock, qtbot):
    mouse = Mouse(dock.prompts.point_layer)
    seen = []
    dock.prompts.drawing.connect(
        lambda kind, _: seen.append((kind, kind and int(shown(dock, GESTURE_NAME).sum())))
    )
    mouse.drag((3, 3), (16, 16), (16, 20))
    assert seen[-1][0] == ""
    assert [kind for kind, _ in seen[:-1]] == ["box", "box"]
    assert seen[1][1] == 2 * (14 + 18) - 4


def test_a_lasso(dock, qtbot):
    mouse = Mouse(dock.prompts.point_layer)
    around = [(18, 18), (18, 47), (37, 47), (37, 18), (19, 18)]
    mouse.drag(*around, modifiers=("Alt",))
    qtbot.waitUntil(lambda: has_mask(dock, 15 * 25))
    assert dock.prompts.shape_layer.shape_type == ["polygon"]
    assert len(dock.session.prompts.outline) >= 4


def test_a_scribble_is_points_along_it(dock, qtbot):
    mouse = Mouse(dock.prompts.point_layer)
    path = [(22 + step, 22 + step) for step in range(12)]
    mouse.drag(*path, modifiers=("Control",))
    qtbot.waitUntil(lambda: has_mask(dock, 15 * 25))
    assert len(dock.prompts.point_layer.data) == 8


def test_hovering_shows_what_a_click_would_give(dock, qtbot):
    mouse = Mouse(dock.prompts.point_layer)
    qtbot.waitUntil(lambda: dock.session.ahead() is None)  # embedded
    mouse.move((8, 8))
    qtbot.waitUntil(lambda: HOVER_NAME in dock.viewer.layers and shown(dock, HOVER_NAME).any())
    assert shown(dock, HOVER_NAME).sum() == 100
    mouse.move((30, 30))
    qtbot.waitUntil(lambda: shown(dock, HOVER_NAME).sum() == 15 * 25)
    mouse.move((200, 8))
    assert not shown(dock, HOVER_NAME).any()
    mouse.move((8, 8))
    qtbot.waitUntil(lambda: shown(dock, HOVER_NAME).any())
    dock.hovering.setChecked(False)
    assert not shown(dock, HOVER_NAME).any()
    assert len(dock.prompts.point_layer.data) == 0
    assert dock.session.objects.history.done == []


def test_hovering_is_off_where_it_is_slow(dock, qtbot):
    answer = dock.session.ahead() or dock.session.snapshot()
    for _ in range(3):
        dock.hovering.show_answer(dock.session, answer.answer(), 2 * SLOW)
    assert not dock.hovering.isChecked()
    assert "too slow" in dock.status.text()


def test_granularity_by_wheel_and_keys(dock, qtbot):
    layer = dock.prompts.point_layer
    mouse = Mouse(layer)
    mouse.drag((8, 8))
    qtbot.waitUntil(lambda: has_mask(dock, 100))
    mouse.wheel(1)
    assert dock.session.candidate == 2  # dilated
    mouse.wheel(-1)
    press(layer, "9")
    assert dock.session.candidate == 1
    assert dock.candidates.buttons[1].isChecked()
    press(layer, "G")
    assert dock.session.candidate == 0
    mouse.wheel(1, modifiers=())  # the wheel alone zooms
    assert dock.session.candidate == 0


def test_keys_commit_drop_peek_and_turbo(dock, qtbot):
    layer = dock.prompts.point_layer
    mouse = Mouse(layer)
    mouse.drag((8, 8))
    qtbot.waitUntil(lambda: has_mask(dock, 100))
    press(layer, "Escape")
    assert dock.session.prediction is None
    assert len(layer.data) == 0
    mouse.drag((8, 8))
    qtbot.waitUntil(lambda: has_mask(dock, 100))
    press(layer, "N")
    labels = dock.output.labels.layer
    assert labels.data.sum() == 100
    held = press(layer, "H")
    next(held)
    assert not labels.visible
    assert not dock.viewer.layers[PREVIEW_NAME].visible
    next(held, None)
    assert labels.visible
    press(layer, "U")
    mouse.drag((30, 30))
    qtbot.waitUntil(lambda: (labels.data == 2).sum() == 15 * 25)


def test_undo_puts_prompts_back_into_the_layers(dock, qtbot):
    layer = dock.prompts.point_layer
    mouse = Mouse(layer)
    mouse.drag((8, 8))
    qtbot.waitUntil(lambda: has_mask(dock, 100))
    mouse.drag((18, 18), (30, 30), (36, 46))
    qtbot.waitUntil(lambda: dock.session.prompts.box is not None and not dock.busy)
    assert dock.commit() == 1
    assert len(layer.data) == len(dock.prompts.shape_layer.data) == 0
    labels = dock.output.labels.layer
    press(layer, "Ctrl+Z")
    assert not labels.data.any()
    assert len(layer.data) == len(dock.prompts.shape_layer.data) == 1
    press(labels, "Ctrl+Z")
    assert (len(layer.data), len(dock.prompts.shape_layer.data)) == (1, 0)
    qtbot.waitUntil(lambda: has_mask(dock, 100))
    press(layer, "Ctrl+Z")
    assert len(layer.data) == 0
    for _ in range(3):
        press(layer, "Ctrl+Shift+Z")
    assert labels.data.any()
    qtbot.wait(50)
    assert dock.session.objects.history.undone == []
    assert [c.kind for c in dock.session.objects.history.done] == ["prompts", "prompts", "commit"]


def test_reopening_by_alt_click(dock, qtbot):
    mouse = Mouse(dock.prompts.point_layer)
    mouse.drag((8, 8))
    qtbot.waitUntil(lambda: has_mask(dock, 100))
    dock.commit()
    mouse.drag((10, 10), modifiers=("Alt",))
    assert len(dock.prompts.point_layer.data) == 1
    qtbot.waitUntil(lambda: has_mask(dock, 100))
    dock.candidates.buttons[1].click()
    assert dock.commit() == 1
    assert dock.output.labels.layer.data.sum() == 64
    mouse.drag((0, 0), modifiers=("Alt",))
    assert "no object to reopen" in dock.status.text()


def test_one_object_for_each_box_and_point(dock, qtbot):
    shapes = dock.prompts.new_boxes()
    shapes.add_rectangles([[[3, 3], [16, 16]], [[18, 18], [36, 46]]])
    qtbot.waitUntil(lambda: not dock.busy)
    dock.output.buttons["each"].click()
    qtbot.waitUntil(lambda: dock.output.labels.layer is not None)
    labels = dock.output.labels.layer
    assert sorted(np.unique(labels.data, return_counts=True)[1][1:]) == [100, 15 * 25]
    assert len(dock.session.objects.table) == 2
    dock.undo()
    assert not labels.data.any()


def test_objects_of_another_tool_are_refined(dock, viewer, qtbot):
    labels = viewer.add_labels(np.zeros((40, 50), np.int32), name="mine")
    labels.data[7:13, 6:14] = 5  # a part of the square
    labels.data[22:38, 22:43] = 9  # beside the bar, and over its rim
    dock.output.labels.choose(labels)
    qtbot.waitUntil(lambda: not dock.busy)
    dock.output.buttons["refine"].click()
    qtbot.waitUntil(lambda: len(dock.session.objects.table) == 2)
    expected = np.zeros((40, 50), np.int32)
    expected[5:15, 5:15], expected[20:35, 20:45] = 5, 9
    assert np.array_equal(labels.data, expected)
    dock.undo()
    assert (labels.data == 5).sum() == 48
    assert (labels.data == 9).sum() == 16 * 21


def test_everything_in_view_makes_drafts_to_review(dock, qtbot):
    press(dock.prompts.point_layer, "W")
    qtbot.waitUntil(lambda: len(dock.session.objects.table) == 2)
    assert {entry.origin for entry in dock.session.objects.table} == {"everything"}
    press(dock.prompts.point_layer, "J")
    assert "Object" in dock.status.text()
    press(dock.prompts.point_layer, "J")
    press(dock.prompts.point_layer, "J")
    assert dock.status.text() == "Every object is reviewed"


def test_propagating_by_key_with_progress_and_stop(viewer, qtbot):
    predictor = OraclePredictor(seconds=0.02)
    dock = open_segment(viewer, np.stack([drawn()] * 30), predictor)
    viewer.dims.set_current_step(0, 15)
    layer = dock.prompts.new_points()
    qtbot.waitUntil(lambda: dock.session is not None)
    Mouse(layer).drag((15, 8, 8))
    qtbot.waitUntil(lambda: has_mask(dock, 100))
    dock.commit()
    labels = dock.output.labels.layer
    press(layer, "K")
    qtbot.waitUntil(lambda: dock.job_bar.bar.value() >= 4)
    assert not dock.job_bar.isHidden()
    dock.job_bar.stop.click()
    qtbot.wait(200)
    some = np.count_nonzero(labels.data.any((1, 2)))
    assert 4 <= some < 30  # what was written stays
    assert dock.job_bar.isHidden()
    press(layer, "K")
    qtbot.waitUntil(lambda: dock.status.text().startswith("Filled 29 slices of 1 objects"))
    assert (labels.data[:, 5:15, 5:15] == 1).all()
    press(layer, "Ctrl+Z")
    assert np.count_nonzero(labels.data.any((1, 2))) == some


def test_the_table_follows_and_edits(dock, qtbot):
    mouse = Mouse(dock.prompts.point_layer)
    for point in [(8, 8), (30, 30)]:
        mouse.drag(point)
        qtbot.waitUntil(lambda: dock.session.prediction is not None)
        dock.commit()
    dock.jobs.table.open()
    table = dock.jobs.table.widget
    assert isinstance(table, ObjectTableWidget)
    assert table.model.rowCount() == 2
    table.choose(2)
    assert table.chosen == [2]
    assert dock.output.labels.layer.selected_label == 2
    table.findChild(type(dock.anew), "delete").click()
    assert table.model.rowCount() == 1
    assert not (dock.output.labels.layer.data == 2).any()
    dock.undo()
    assert table.model.rowCount() == 2
    dock.prompts.new_boxes().add_paths([[18, 30], [37, 30]])
    qtbot.waitUntil(lambda: not dock.busy)
    table.choose(2)
    table.findChild(type(dock.anew), "split").click()
    assert table.model.rowCount() == 3
    assert table.count.text() == "3 objects, 3 not reviewed"


def test_keys_leave_napari_s_alone(dock, viewer):
    shapes = dock.prompts.new_boxes()
    taken = {coerce_keybinding(key) for key in type(shapes).class_keymap}
    ours = {coerce_keybinding(k) for a in ACTIONS if a.name not in ALWAYS for k in a.keys}
    assert not taken & ours & set(shapes.keymap)
    assert coerce_keybinding("N") in shapes.keymap
    assert not {coerce_keybinding(key) for a in ACTIONS for key in a.keys} & set(viewer.keymap)
    labels = viewer.add_labels(np.zeros((40, 50), np.uint16))
    dock.output.labels.choose(labels)
    assert coerce_keybinding("Ctrl+Z") in labels.keymap
    dock.output.labels.setCurrentIndex(0)
    assert not labels.keymap


def test_keys_can_be_changed(dock, tmp_path, qtbot):
    settings = QSettings(str(tmp_path / "keys.ini"), QSettings.Format.IniFormat)
    keymap = KeyMap(settings)
    dialog = KeysDialog(keymap)
    qtbot.addWidget(dialog)
    dialog.edits["turbo"].setKeySequence("Y")
    dialog.accept()
    turbo = next(action for action in ACTIONS if action.name == "turbo")
    assert KeyMap(settings).keys(turbo) == ("Y",)
    again = KeysDialog(keymap)
    qtbot.addWidget(again)
    again.restore()
    again.accept()
    assert KeyMap(settings).keys(turbo) == ("U",)
    settings.setValue("keys/turbo", "garbage")
    assert KeyMap(settings).keys(turbo) == ("U",)


def test_a_session_is_recovered_by_the_dock(make_napari_viewer, qtbot):
    first = make_napari_viewer()
    dock = open_segment(first)
    dock.prompts.new_points().add((8, 8))
    qtbot.waitUntil(lambda: has_mask(dock, 100))
    dock.commit()
    dock.prompts.point_layer.add((30, 30))
    qtbot.waitUntil(lambda: has_mask(dock, 15 * 25))
    dock.session.close()
    again = open_segment(make_napari_viewer())
    again.prompts.new_points()
    qtbot.waitUntil(lambda: has_mask(again, 15 * 25))
    assert again.session.objects.table[1].area == 100
    assert again.session.labels.data.sum() == 100
    assert len(again.prompts.point_layer.data) == 1


def test_starting_over(dock, journals_folder, qtbot):
    Mouse(dock.prompts.point_layer).drag((8, 8))
    qtbot.waitUntil(lambda: has_mask(dock, 100))
    dock.commit()
    dock.anew.click()
    qtbot.waitUntil(lambda: dock.session is not None and not dock.busy)
    assert len(dock.session.objects.table) == 0
    assert dock.session.objects.history.done == []
    assert len(list(journals_folder.glob("*.old.jsonl"))) == 1


def test_the_next_slices_are_embedded_ahead(viewer, qtbot):
    predictor = OraclePredictor()
    dock = open_segment(viewer, np.stack([drawn()] * 5), predictor)
    viewer.dims.set_current_step(0, 0)
    dock.prompts.new_points()
    qtbot.waitUntil(lambda: predictor.n_embed == 3)
    viewer.dims.set_current_step(0, 4)
    qtbot.waitUntil(lambda: predictor.n_embed == 4)


def test_a_new_image_closes_the_session(dock, viewer, qtbot):
    before = dock.session
    other = viewer.add_image(drawn()[::-1], name="other")
    dock.image.choose(other)
    assert before.objects.journal is None
    qtbot.waitUntil(lambda: dock.session is not None and dock.session is not before)


def test_the_dock_needs_an_image(viewer):
    dock = SegmentWidget(viewer)
    viewer.window.add_dock_widget(dock)
    dock.prompts.new_points()
    assert dock.status.text() == "Open an image first"


def committed(dock, qtbot, point, pixels):
    Mouse(dock.prompts.point_layer).drag(point)
    qtbot.waitUntil(lambda: dock.session is not None and has_mask(dock, pixels))
    return dock.commit()


def test_a_commit_after_recovery_goes_on_in_the_same_layer(make_napari_viewer, qtbot):
    dock = open_segment(make_napari_viewer())
    dock.prompts.new_points()
    qtbot.waitUntil(lambda: dock.session is not None)
    assert committed(dock, qtbot, (8, 8), 100) == 1
    dock.session.close()
    again = open_segment(make_napari_viewer())
    again.prompts.new_points()
    qtbot.waitUntil(lambda: again.session is not None)
    assert committed(again, qtbot, (30, 30), 15 * 25) == 2
    assert sorted(again.session.objects.table.entries) == [1, 2]
    assert sum(layer.name.startswith("SAM labels") for layer in again.viewer.layers) == 1


def test_every_labels_layer_has_its_own_objects(dock, viewer, qtbot):
    committed(dock, qtbot, (8, 8), 100)
    first = dock.output.labels.layer
    other = viewer.add_labels(np.zeros((40, 50), np.uint16), name="other")
    dock.output.labels.choose(other)
    qtbot.waitUntil(lambda: dock.session is not None and not dock.busy)
    assert len(dock.session.objects.table) == 0
    dock.undo()
    assert first.data.sum() == 100  # nothing of the other layer's history
    assert committed(dock, qtbot, (30, 30), 15 * 25) == 1
    first.data[0, 0] = 9  # somebody paints
    dock.output.labels.choose(first)
    qtbot.waitUntil(lambda: dock.session is not None and not dock.busy)
    assert list(dock.session.objects.table.entries) == [1]
    assert first.data[0, 0] == 9
    dock.undo()
    assert first.data.sum() == 9
    assert (other.data == 1).sum() == 15 * 25


def test_enter_waits_for_the_answer_under_way(viewer, qtbot):
    class Slow(OraclePredictor):
        def predict(self, *arguments, **options):
            time.sleep(0.15)
            return super().predict(*arguments, **options)

    dock = open_segment(viewer, predictor=Slow())
    dock.prompts.new_points()
    qtbot.waitUntil(lambda: dock.session is not None)
    mouse = Mouse(dock.prompts.point_layer)
    mouse.drag((8, 8))
    qtbot.waitUntil(lambda: has_mask(dock, 100))
    mouse.drag((30, 30))
    assert dock.commit() is None
    qtbot.waitUntil(lambda: dock.output.labels.layer is not None)
    assert dock.output.labels.layer.data.sum() == TOTAL
    assert len(dock.session.objects.table[1].prompts.points) == 2


def test_turbo_leaves_undo_and_reopening_alone(dock, qtbot):
    press(dock.prompts.point_layer, "U")
    Mouse(dock.prompts.point_layer).drag((8, 8))
    qtbot.waitUntil(lambda: dock.output.labels.layer is not None)
    labels = dock.output.labels.layer
    dock.undo()
    qtbot.wait(100)
    assert not labels.data.any()
    assert len(dock.session.objects.history.undone) == 1
    dock.redo()
    Mouse(dock.prompts.point_layer).drag((9, 9), modifiers=("Alt",))
    qtbot.waitUntil(lambda: has_mask(dock, 100))
    qtbot.wait(50)
    assert dock.session.prompts.label_id == 1


def test_closing_the_dock_lets_go_of_layers_and_journal(viewer, qtbot):
    dock = open_segment(viewer)
    points = dock.prompts.new_points()
    qtbot.waitUntil(lambda: dock.session is not None)
    committed(dock, qtbot, (8, 8), 100)
    viewer.window.remove_dock_widget(dock)
    assert dock.session is None
    assert not [c for c in points.mouse_drag_callbacks if getattr(c, "__name__", "") == "_drag"]
    again = SegmentWidget(viewer)
    viewer.window.add_dock_widget(again)
    again.show()
    again.use_predictor(OraclePredictor())
    again.output.labels.choose(viewer.layers["SAM labels"])
    again.prompts.points.choose(points)
    qtbot.waitUntil(lambda: again.session is not None)
    assert list(again.session.objects.table.entries) == [1]
    Mouse(points).drag((30, 30))
    qtbot.waitUntil(lambda: has_mask(again, 15 * 25))
    assert len(points.data) == 1


def test_the_table_opens_again_after_it_was_closed(dock, viewer, qtbot):
    committed(dock, qtbot, (8, 8), 100)
    dock.jobs.table.open()
    viewer.window.remove_dock_widget(dock.jobs.table.widget)
    dock.jobs.table.open()
    assert dock.jobs.table.widget.model.rowCount() == 1


def test_napari_s_own_undo_where_the_session_knows_nothing(dock, viewer):
    labels = viewer.add_labels(np.zeros((40, 50), np.uint16))
    labels.paint((5, 5), 3)
    dock.output.labels.choose(labels)
    press(labels, "Ctrl+Z")
    assert not labels.data.any()


def test_removing_every_layer_under_an_open_session(dock, viewer, qtbot):
    committed(dock, qtbot, (8, 8), 100)
    Mouse(dock.prompts.point_layer).drag((30, 30))
    qtbot.waitUntil(lambda: has_mask(dock, 15 * 25))
    viewer.layers.clear()
    qtbot.wait(100)
    assert dock.session is None
