"""Where clicks go is told while another layer is selected."""

import numpy as np

from tests.widgets.person import Mouse
from tests.widgets.test_docks import has_mask

HINT = "Clicks go to 'other': select 'SAM points' to click objects"


def test_another_layer_that_is_selected_is_told_and_the_words_before_come_back(dock, viewer, qtbot):
    points = dock.prompts.point_layer
    Mouse(points).drag((8, 8))
    qtbot.waitUntil(lambda: has_mask(dock, 100))
    before = dock.status.text()
    other = viewer.add_image(np.zeros((40, 50)), name="other")  # napari selects it
    qtbot.waitUntil(lambda: dock.status.text() == HINT)
    viewer.layers.selection.active = points
    qtbot.waitUntil(lambda: dock.status.text() == before)
    viewer.layers.selection.active = other
    qtbot.waitUntil(lambda: dock.status.text() == HINT)
    dock.commit()  # says something newer
    newer = dock.status.text()
    viewer.layers.selection.active = points
    qtbot.wait(20)
    assert dock.status.text() == newer != HINT


def test_layers_that_come_and_go_by_themselves_and_boxes_are_no_others(dock, viewer, qtbot):
    before = dock.status.text()
    shapes = dock.prompts.new_boxes()
    viewer.layers.selection.active = shapes
    qtbot.wait(20)
    assert "Clicks go to" not in dock.status.text()
    viewer.layers.selection.active = dock.prompts.point_layer
    Mouse(dock.prompts.point_layer).drag((8, 8))
    qtbot.waitUntil(lambda: has_mask(dock, 100))
    dock.commit()
    qtbot.wait(20)
    assert "Clicks go to" not in dock.status.text()
    assert before


def test_nothing_is_told_without_points_or_after_the_dock_is_closed(dock, viewer, qtbot):
    dock.shut()
    said = dock.status.text()
    viewer.add_image(np.zeros((40, 50)), name="other")
    qtbot.wait(20)
    assert dock.status.text() == said
