"""Find alike and semi-automatic in the dock: keys, table, what is said, progress and stop."""

import time

import numpy as np
import pytest
from napari.utils.key_bindings import coerce_keybinding
from qtpy.QtCore import Qt

from tests.oracle import OraclePredictor
from tests.widgets.person import Mouse, press
from tests.widgets.test_docks import has_mask, open_segment

PLACES = [(5, 5), (5, 30), (30, 5), (30, 30)]


def squares() -> np.ndarray:
    image = np.zeros((50, 50))
    for row, col in PLACES:
        image[row : row + 10, col : col + 10] = 1
    return image


def opened(viewer, qtbot, predictor=None):
    dock = open_segment(viewer, squares(), predictor)
    dock.prompts.new_points()
    qtbot.waitUntil(lambda: dock.session is not None)
    return dock


def commit(dock, qtbot, point):
    Mouse(dock.prompts.point_layer).drag(point)
    qtbot.waitUntil(lambda: has_mask(dock, 100))
    return dock.commit()


def test_others_like_the_last_commit_by_key_and_one_undo(viewer, qtbot):
    dock = opened(viewer, qtbot)
    commit(dock, qtbot, (8, 8))
    press(dock.prompts.point_layer, "O")
    qtbot.waitUntil(lambda: len(dock.session.objects.table) == 4)
    assert dock.status.text() == "3 drafts; Ctrl+Z takes them back, J reviews them"
    labels = dock.output.labels.layer
    assert (labels.data > 0).sum() == 400
    press(labels, "Ctrl+Z")
    assert (labels.data > 0).sum() == 100


def test_the_selected_objects_are_the_examples(viewer, qtbot, monkeypatch):
    dock = opened(viewer, qtbot)
    first = commit(dock, qtbot, (8, 8))
    commit(dock, qtbot, (8, 33))
    labels = dock.output.labels.layer
    labels.data[5:15, 30:40] = 0
    labels.data[20, 20:23] = 2  # somebody made the second one tiny
    dock.jobs.table.open()
    monkeypatch.setattr(dock.jobs.table.widget, "isVisible", lambda: True)  # no window is shown
    dock.jobs.table.widget.choose(first)
    dock.output.buttons["alike"].click()
    qtbot.waitUntil(lambda: dock.status.text().startswith("3 drafts"))
    assert (labels.data[5:15, 30:40] > 2).all()


def test_without_an_example_the_dock_says_what_to_do(viewer, qtbot):
    dock = opened(viewer, qtbot)
    press(dock.prompts.point_layer, "O")
    assert dock.status.text().startswith("There is no example to go by: commit an object")


def test_where_nothing_is_new_the_dock_says_so(viewer, qtbot):
    dock = opened(viewer, qtbot)
    for row, col in PLACES:
        commit(dock, qtbot, (row + 3, col + 3))
    press(dock.prompts.point_layer, "O")
    qtbot.waitUntil(lambda: dock.status.text() == "Nothing new was found")
    assert len(dock.session.objects.table) == 4


def test_finding_can_be_stopped(viewer, qtbot):
    class Slow(OraclePredictor):
        def instance_maps(self, embedding):
            time.sleep(0.3)
            return super().instance_maps(embedding)

    dock = opened(viewer, qtbot, Slow())
    commit(dock, qtbot, (8, 8))
    press(dock.prompts.point_layer, "O")
    assert not dock.job_bar.isHidden()
    dock.job_bar.stop.click()
    qtbot.wait(500)
    assert dock.status.text() == "Stopped"
    assert len(dock.session.objects.table) == 1


class Unsure(OraclePredictor):
    """Scores what lies in the right half low."""

    def decode(self, embedding, prompts, **options):
        logits, scores = super().decode(embedding, prompts, **options)
        right = [prompt.points[0][1] > 25 for prompt in prompts]
        scores[right] *= 0.3
        return logits, scores


def test_doubtful_places_are_left_and_counted(viewer, qtbot):
    dock = opened(viewer, qtbot, Unsure())
    press(dock.prompts.point_layer, "W")
    qtbot.waitUntil(lambda: len(dock.session.objects.table) == 2)
    told = "2 drafts, 2 doubtful places left; Ctrl+Z takes them back, J reviews them"
    assert dock.status.text() == told
    labels = dock.output.labels.layer
    assert not labels.data[:, 25:].any()
    press(labels, "Ctrl+Z")
    assert not labels.data.any()
    dock.output.max_doubt.setValue(1)
    press(dock.prompts.point_layer, "W")
    qtbot.waitUntil(lambda: len(dock.session.objects.table) == 4)
    dock.jobs.table.open()
    assert doubts(dock.jobs.table.widget) == pytest.approx([0.12, 0.12, 0.48, 0.48], abs=0.03)
    press(dock.prompts.point_layer, "J")
    assert ", doubt 0.4" in dock.status.text()
    assert "3 more to review" in dock.status.text()
    reviewed = [entry.bounds[1][0] for entry in dock.session.objects.table if entry.reviewed]
    assert reviewed == [30]


def doubts(table):
    across = Qt.Orientation.Horizontal
    titles = [table.model.headerData(i, across) for i in range(table.model.columnCount())]
    column = titles.index("Doubt")
    return [table.model.data(table.model.index(row, column)) for row in range(4)]


def test_the_key_is_free_on_all_layers_of_the_dock(viewer, qtbot):
    dock = opened(viewer, qtbot)
    labels = viewer.add_labels(np.zeros((50, 50), np.uint16))
    dock.output.labels.choose(labels)
    for layer in (dock.prompts.point_layer, dock.prompts.new_boxes(), labels):
        assert coerce_keybinding("O") not in type(layer).class_keymap
        assert coerce_keybinding("O") in layer.keymap
