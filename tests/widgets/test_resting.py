"""A camera that moved and rests is noticed once."""

import pytest

pytest.importorskip("qtpy.QtWidgets", reason="there is no Qt")

from napari.components import ViewerModel
from qtpy.QtCore import QObject

from napari_sam.viewer.layers import camera_of
from napari_sam.widgets.resting import Resting


def test_a_moving_camera_is_noticed_when_it_rests(qtbot):
    viewer, calls = ViewerModel(), []
    parent = QObject()
    resting = Resting(viewer, lambda: calls.append(1), parent)
    for zoom in (2.0, 3.0, 4.0):
        camera_of(viewer).zoom = zoom
        qtbot.wait(20)
    assert not calls
    qtbot.waitUntil(lambda: calls == [1], timeout=2000)
    camera_of(viewer).center = (0, 5, 5)
    resting.end()
    resting.end()
    camera_of(viewer).zoom = 9.0
    qtbot.wait(400)
    assert calls == [1]
