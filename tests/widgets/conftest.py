"""A viewer, a dock in it with a session on a drawn image, and a bare widget."""

import pytest
from qtpy.QtWidgets import QWidget


@pytest.fixture
def viewer(make_napari_viewer):
    return make_napari_viewer()


@pytest.fixture
def dock(viewer, qtbot):
    from tests.widgets.test_docks import open_segment

    dock = open_segment(viewer)
    dock.prompts.new_points()
    qtbot.waitUntil(lambda: dock.session is not None)
    return dock


@pytest.fixture
def parent(qtbot):
    widget = QWidget()
    qtbot.addWidget(widget)
    return widget
