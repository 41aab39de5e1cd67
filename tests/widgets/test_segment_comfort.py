"""What a person sees and presses in the dock "Segment": sizes, refusals, focus, words."""

import numpy as np
import pytest
from napari.utils.notifications import notification_manager
from qtpy.QtCore import Qt
from qtpy.QtWidgets import QAbstractSpinBox, QComboBox, QPushButton

from napari_sam.viewer.layers import camera_of
from napari_sam.viewer.overlays import GESTURE_NAME
from napari_sam.viewer.preview import PREVIEW_NAME
from napari_sam.widgets import SegmentWidget
from napari_sam.widgets.prompt_layers import POINT_PIXELS
from napari_sam.widgets.words import INVITATION, NO_IMAGE, READY, is_of_an_answer
from tests.widgets.person import Mouse, press
from tests.widgets.test_changing_layers import stack_dock
from tests.widgets.test_docks import drawn, has_mask


@pytest.fixture
def told():
    notes = []
    notification_manager.notification_ready.connect(notes.append)
    yield notes
    notification_manager.notification_ready.disconnect(notes.append)


def test_points_and_boxes_are_as_large_on_the_screen_at_every_zoom(dock, qtbot):
    points = dock.prompts.point_layer
    assert tuple(points.canvas_size_limits) == POINT_PIXELS
    mouse = Mouse(points)
    for zoom in (1, 20):
        camera_of(dock.viewer).zoom = zoom
        mouse.drag((3, 3), (10, 10), (16, 16))
        assert dock.prompts.shape_layer.edge_width[-1] * zoom == pytest.approx(2)


def test_a_click_outside_of_the_image_is_refused_and_the_next_is_answered(dock, qtbot):
    mouse = Mouse(dock.prompts.point_layer)
    mouse.drag((-10, 8))
    assert "outside of the image" in dock.status.text()
    mouse.drag((8, 8))
    qtbot.waitUntil(lambda: has_mask(dock, 100))
    assert len(dock.session.prompts.points) == 1


@pytest.mark.parametrize("modifiers", [(), ("Alt",), ("Control",)])
def test_what_is_drawn_outside_of_the_image_is_refused(dock, qtbot, modifiers):
    mouse = Mouse(dock.prompts.point_layer)
    mouse.drag((-20, 8), (-15, 12), (-10, 18), modifiers=modifiers)
    assert "outside of the image" in dock.status.text()
    mouse.drag((8, 8))
    qtbot.waitUntil(lambda: has_mask(dock, 100))


def test_a_scribble_that_leaves_the_image_counts_inside(dock, qtbot):
    path = [(8, 8 - 2 * step) for step in range(8)]
    Mouse(dock.prompts.point_layer).drag(*path, modifiers=("Control",))
    qtbot.waitUntil(lambda: has_mask(dock, 100))
    assert (np.array(dock.prompts.point_layer.data) >= -0.5).all()


@pytest.mark.parametrize("field", ["category", "reach", "max_doubt", "label_id", "overlap"])
@pytest.mark.parametrize("key", [Qt.Key.Key_Return, Qt.Key.Key_Escape])
def test_the_end_of_an_entry_neither_commits_nor_drops(dock, qtbot, field, key):
    Mouse(dock.prompts.point_layer).drag((8, 8))
    qtbot.waitUntil(lambda: has_mask(dock, 100) and not dock.busy)
    qtbot.keyClick(getattr(dock.output, field), key)
    assert len(dock.session.objects.table) == 0
    assert has_mask(dock, 100)


def test_a_class_that_is_typed_and_ended_is_the_next_objects(dock, qtbot):
    Mouse(dock.prompts.point_layer).drag((8, 8))
    qtbot.waitUntil(lambda: has_mask(dock, 100) and not dock.busy)
    line = dock.output.category.lineEdit()
    qtbot.keyClicks(line, "mitosis")
    qtbot.keyClick(dock.output.category, Qt.Key.Key_Return)
    dock.commit()
    assert [entry.category for entry in dock.session.objects.table] == ["mitosis"]


def test_a_refusal_is_a_word_and_no_error(dock, qtbot, told):
    dock.commit()
    assert dock.status.text() == told[-1].message
    Mouse(dock.prompts.point_layer).drag((8, 8))
    qtbot.waitUntil(lambda: has_mask(dock, 100) and not dock.busy)
    dock.commit()
    dock.jobs.propagate()
    assert dock.status.text() == told[-1].message
    assert [str(note.severity) for note in told] == ["warning"] * 2


def test_propagation_cannot_end_in_a_single_image(dock, qtbot):
    Mouse(dock.prompts.point_layer).drag((8, 8))
    qtbot.waitUntil(lambda: has_mask(dock, 100) and not dock.busy)
    dock.commit()
    press(dock.prompts.point_layer, "Q")
    assert "no slices" in dock.status.text()


def test_the_dock_says_what_to_begin_with(viewer):
    dock = SegmentWidget(viewer)
    viewer.window.add_dock_widget(dock, name="Segment")
    assert dock.status.text() == NO_IMAGE
    image = viewer.add_image(drawn())
    assert dock.status.text() == INVITATION
    viewer.layers.remove(image)
    assert dock.status.text() == NO_IMAGE


def test_no_answer_is_told_of_on_a_slice_without_prompts(viewer, qtbot):
    dock = stack_dock(viewer, qtbot, depth=4)
    Mouse(dock.prompts.point_layer).drag((0, 8, 8))
    qtbot.waitUntil(lambda: has_mask(dock, 100) and is_of_an_answer(dock.status.text()))
    viewer.dims.set_current_step(0, 1)
    qtbot.waitUntil(lambda: dock.status.text() == READY)


def test_what_the_first_click_and_box_need_is_there_before(dock, qtbot):
    layers = dock.viewer.layers
    qtbot.waitUntil(lambda: GESTURE_NAME in layers)
    assert layers[PREVIEW_NAME].visible
    assert not layers[GESTURE_NAME].visible
    assert layers.selection.active is dock.prompts.point_layer


def test_a_low_window_scrolls_and_keeps_what_the_dock_says(dock, qtbot):
    assert dock.minimumSizeHint().height() < 400
    page = dock.image.parentWidget()
    assert dock.minimumSizeHint().width() >= page.minimumSizeHint().width()
    assert not page.isAncestorOf(dock.status)
    assert not page.isAncestorOf(dock.job_bar)


def test_everything_tells_what_it_is_for(dock):
    kinds = (QComboBox, QAbstractSpinBox, QPushButton)
    silent = [part for kind in kinds for part in dock.findChildren(kind) if not part.toolTip()]
    assert silent == []


def test_a_person_who_chooses_an_image_may_click_in_it_at_once(dock):
    dock.viewer.add_image(drawn(), name="other")  # napari selects it
    dock.image.setCurrentText("other")
    dock.image.activated.emit(dock.image.currentIndex())
    assert dock.viewer.layers.selection.active is dock.prompts.point_layer


def test_prompts_of_a_larger_image_are_told_with_a_way_out(viewer, qtbot):
    dock = stack_dock(viewer, qtbot, depth=2)
    viewer.add_image(np.zeros((2, 20, 20)), name="small")
    Mouse(dock.prompts.point_layer).drag((0, 30, 30))
    qtbot.waitUntil(lambda: has_mask(dock, 375))
    dock.image.setCurrentText("small")
    qtbot.waitUntil(lambda: "Escape drops" in dock.status.text())
    press(dock.prompts.point_layer, "Escape")
    assert len(dock.prompts.point_layer.data) == 0


def test_what_was_done_in_the_table_is_told(dock, qtbot):
    Mouse(dock.prompts.point_layer).drag((8, 8))
    qtbot.waitUntil(lambda: has_mask(dock, 100) and not dock.busy)
    dock.commit()
    dock.jobs.table.open()
    table = dock.jobs.table.widget
    table.choose(1)
    qtbot.mouseClick(table.findChild(QPushButton, "delete"), Qt.MouseButton.LeftButton)
    assert dock.status.text() == "Deleted object 1; Ctrl+Z takes it back"
