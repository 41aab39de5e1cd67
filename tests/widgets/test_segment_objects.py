"""Objects in the dock: drafts, table, propagation, keys, recovery, layers that come and go."""

import time

import numpy as np
from napari.utils.key_bindings import coerce_keybinding
from qtpy.QtCore import QSettings

from napari_sam.widgets import SegmentWidget
from napari_sam.widgets.keys import ACTIONS, ALWAYS, KeyMap, KeysDialog
from napari_sam.widgets.object_table import ObjectTableWidget
from napari_sam.widgets.words import INVITATION
from tests.oracle import OraclePredictor
from tests.widgets.person import Mouse, press
from tests.widgets.test_docks import TOTAL, drawn, has_mask, open_segment


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
    qtbot.waitUntil(lambda: dock.session is not None and not dock.busy)
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
    qtbot.waitUntil(lambda: dock.status.text().startswith("Filled 29 slices of 1 object;"))
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
    qtbot.waitUntil(lambda: table.model.rowCount() == 1)
    assert not (dock.output.labels.layer.data == 2).any()
    dock.undo()
    qtbot.waitUntil(lambda: table.model.rowCount() == 2)
    dock.prompts.new_boxes().add_paths([[18, 30], [37, 30]])
    qtbot.waitUntil(lambda: not dock.busy)
    table.choose(2)
    table.findChild(type(dock.anew), "split").click()
    qtbot.waitUntil(lambda: table.model.rowCount() == 3)
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
    dock.status.setText("Answered in 20 ms")
    other = viewer.add_image(drawn()[::-1], name="other")
    dock.image.choose(other)
    assert before.objects.journal is None
    assert dock.status.text() == INVITATION  # the answer was of the other image
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


def test_objects_of_a_file_are_taken_up_into_the_table(dock, viewer, qtbot):
    labels = viewer.add_labels(np.zeros((40, 50), np.int32), name="mine")
    labels.data[7:13, 6:14], labels.data[22:30, 22:43] = 5, 9
    dock.jobs.table.take_up()
    assert dock.status.text() == "There is no Labels layer to take objects up from: choose one"
    dock.output.labels.choose(labels)
    qtbot.waitUntil(lambda: dock.session is not None and dock.session.labels is labels)
    dock.jobs.table.open()
    table = dock.jobs.table.widget
    table.findChild(type(dock.anew), "take up").click()
    qtbot.waitUntil(lambda: table.model.rowCount() == 2)
    assert dock.status.text() == "Took up 2 objects of the layer"
    shown = [table.model.index(0, column).data() for column in (2, 3, 4)]
    assert shown == ["", "", 48]  # nobody told of its IoU, so not of doubt
    table.choose(5)
    table.findChild(type(dock.anew), "delete").click()
    assert np.unique(labels.data).tolist() == [0, 9]
    table.findChild(type(dock.anew), "take up").click()
    qtbot.waitUntil(lambda: dock.status.text() == "All objects of the layer are listed")
    dock.undo()
    dock.undo()
    qtbot.waitUntil(lambda: table.model.rowCount() == 0)
    assert np.unique(labels.data).tolist() == [0, 5, 9]


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
