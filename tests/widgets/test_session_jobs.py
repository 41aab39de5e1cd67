"""The longer jobs of the dock "Segment": what they are asked for, and one at a time."""

import pytest
from napari.utils.notifications import notification_manager

from napari_sam.widgets.words import BUSY
from tests.oracle import OraclePredictor
from tests.widgets.test_changing_layers import commit_at, stack_dock


def test_everything_in_view_of_very_large_objects(dock, qtbot):
    dock.session.object_diameter = 5000
    dock.jobs.everything_in_view()
    qtbot.waitUntil(lambda: not dock.busy)
    assert dock.status.text().startswith("2 drafts")


@pytest.mark.parametrize("other", ["everything", "alike", "refine", "each", "propagate_here"])
def test_a_propagation_under_way_is_not_ended_by_another_job(viewer, qtbot, other):
    dock = stack_dock(viewer, qtbot, depth=6, predictor=OraclePredictor(seconds=0.05))
    labels = commit_at(dock, qtbot, (0, 8, 8), 100)
    dock.prompts.point_layer.add((0, 30, 30))
    qtbot.waitUntil(lambda: not dock.busy)
    told = []
    notification_manager.notification_ready.connect(told.append)
    dock.jobs.propagate()
    qtbot.waitUntil(labels.data[1].any)
    dock.jobs.actions()[other]()
    qtbot.waitUntil(lambda: not dock.busy)
    notification_manager.notification_ready.disconnect(told.append)
    assert [note.message for note in told] == [BUSY]
    assert labels.data.any((1, 2)).all()
    assert dock.status.text().startswith("Filled 5 slices")
