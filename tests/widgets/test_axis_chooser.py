"""The axis that propagation goes along: offered where there is a choice."""

import numpy as np
import pytest
from napari.layers import Image
from qtpy.QtWidgets import QFormLayout, QWidget

from napari_sam.widgets.axis_chooser import AxisChooser
from napari_sam.widgets.choosers import LayerChooser
from tests.widgets.person import press
from tests.widgets.test_docks import drawn, has_mask, open_segment


@pytest.fixture
def chooser(viewer, qtbot):
    dock = QWidget()
    qtbot.addWidget(dock)
    chooser = AxisChooser(viewer, LayerChooser(viewer, (Image,), parent=dock), QFormLayout(dock))
    dock.show()
    yield chooser
    chooser.detach()


def offered(chooser) -> list[str]:
    return [chooser.itemText(index) for index in range(chooser.count())]


def test_there_is_nothing_to_choose_for_a_stack_or_an_image(viewer, chooser):
    assert chooser.axis is None
    viewer.add_image(np.zeros((40, 50)))
    assert chooser.axis is None
    assert not chooser.isVisible()
    viewer.add_image(np.zeros((9, 40, 50)))
    chooser._image.choose(viewer.layers[-1])
    assert chooser.axis == 0
    assert not chooser.isVisible()


def test_channels_come_last_and_default_labels_are_numbered(viewer, chooser):
    layer = viewer.add_image(np.zeros((9, 2, 40, 50)), axis_labels=("z", "c", "y", "x"))
    assert offered(chooser) == ["z (9)", "c (2)"]
    assert chooser.isVisible()
    viewer.layers.remove(layer)
    viewer.add_image(np.zeros((9, 2, 40, 50)))
    assert offered(chooser) == ["axis 1 (2)", "axis 0 (9)"]


def test_it_follows_the_displayed_axes_and_keeps_what_was_chosen(viewer, chooser):
    viewer.add_image(np.zeros((3, 9, 40, 50)))
    chooser.setCurrentIndex(1)
    assert chooser.axis == 0
    viewer.dims.order = (0, 2, 1, 3)
    assert offered(chooser) == ["axis 2 (40)", "axis 0 (3)"]
    assert chooser.axis == 0
    viewer.dims.order = (2, 3, 0, 1)
    assert chooser.axis == 3


def test_the_dock_carries_along_the_chosen_axis(viewer, qtbot):
    dock = open_segment(viewer, np.stack([np.stack([drawn()] * 4)] * 3))
    viewer.dims.set_current_step((0, 1), (1, 2))
    layer = dock.prompts.new_points()
    qtbot.waitUntil(lambda: dock.session is not None)
    layer.add((1, 2, 8, 8))
    qtbot.waitUntil(lambda: has_mask(dock, 100))
    dock.commit()
    assert dock.output.along.axis == 1
    dock.output.along.setCurrentIndex(1)
    press(layer, "K")
    qtbot.waitUntil(lambda: dock.status.text().startswith("Filled"))
    filled = np.argwhere(dock.output.labels.layer.data.any((2, 3))).tolist()
    assert filled == [[0, 2], [1, 2], [2, 2]]
