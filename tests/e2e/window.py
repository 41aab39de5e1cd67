"""Drive a real napari window with mouse and keys; print what came of it as JSON.

Run by test_window.py under Xvfb: ``python tests/e2e/window.py FOLDER``.
"""

from __future__ import annotations

import json
import sys
import time
from collections.abc import Callable
from pathlib import Path

import napari
from qtpy.QtCore import QPoint, Qt
from qtpy.QtTest import QTest
from qtpy.QtWidgets import QPushButton

COIN = (50, 155)
OTHER_COIN = (123, 206)
BESIDE = (90, 180)


def wait(condition: Callable[[], object], what: str, seconds: float = 60) -> None:
    """Let the window live until a condition holds."""
    end = time.monotonic() + seconds
    while not condition():
        if time.monotonic() > end:
            raise TimeoutError(what)
        QTest.qWait(20)


def canvas_position(viewer: napari.Viewer, point: tuple[float, float]) -> QPoint:
    """Return where on the canvas a point (row, col) of the world is drawn."""
    canvas = viewer.window._qt_viewer.canvas
    transform = canvas.view.scene.transform
    x, y = transform.map((point[1], point[0], 0, 1))[:2]
    return QPoint(round(x), round(y))


def click(viewer: napari.Viewer, point: tuple[float, float]) -> None:
    """Click on the canvas as a person does."""
    native = viewer.window._qt_viewer.canvas.native
    position = canvas_position(viewer, point)
    QTest.mouseMove(native, position)
    QTest.qWait(30)
    left, none = Qt.MouseButton.LeftButton, Qt.KeyboardModifier.NoModifier
    QTest.mouseClick(native, left, none, position)
    QTest.qWait(30)


def press(viewer: napari.Viewer, key: Qt.Key, *, control: bool = False) -> None:
    """Press a key on the canvas."""
    modifier = Qt.KeyboardModifier.ControlModifier if control else Qt.KeyboardModifier.NoModifier
    QTest.keyClick(viewer.window._qt_viewer.canvas.native, key, modifier)
    QTest.qWait(50)


def push(dock: object, name: str) -> None:
    """Click a button of a dock."""
    QTest.mouseClick(dock.findChild(QPushButton, name), Qt.MouseButton.LeftButton)


def main(folder: Path) -> None:
    viewer = napari.Viewer()
    viewer.window.resize(1500, 950)
    viewer.open_sample("napari-sam", "coins")
    _, segment = viewer.window.add_plugin_dock_widget("napari-sam", "Segment")
    QTest.qWait(300)
    result: dict[str, object] = {}

    push(segment, "new_points")
    click(viewer, COIN)
    wait(lambda: segment.session and segment.session.prediction, "no mask after a click")
    result["clicked"] = int(segment.session.prediction.masks[segment.session.candidate].sum())
    viewer.screenshot(str(folder / "clicked.png"), canvas_only=False)

    press(viewer, Qt.Key.Key_T)
    click(viewer, BESIDE)
    points = viewer.layers["SAM points"]
    wait(lambda: len(points.data) == 2, "no second point")
    result["kinds"] = list(points.features["prompt"])
    wait(lambda: not segment._runner.busy and not segment._timer.isActive(), "no second answer")
    result["polarity_shown"] = segment.polarity["negative"].isChecked()

    press(viewer, Qt.Key.Key_Return)
    wait(lambda: "SAM labels" in viewer.layers, "nothing was committed")
    labels = viewer.layers["SAM labels"]
    result["committed"] = int((labels.data == 1).sum())
    press(viewer, Qt.Key.Key_Z, control=True)
    result["after_undo"] = int((labels.data == 1).sum())

    press(viewer, Qt.Key.Key_T)
    click(viewer, OTHER_COIN)
    wait(lambda: segment.session.prediction, "no mask after the other click")
    segment.candidates.buttons[1].click()
    push(segment, "commit")
    result["second"] = int((labels.data == 1).sum())

    _, everything = viewer.window.add_plugin_dock_widget("napari-sam", "Everything", tabify=True)
    QTest.qWait(200)
    QTest.mouseClick(everything.start_button, Qt.MouseButton.LeftButton)
    wait(lambda: everything._target is not None, "everything found nothing")
    result["everything"] = int(everything._target.data.max())
    QTest.qWait(300)
    viewer.screenshot(str(folder / "everything.png"), canvas_only=False)
    result["layers"] = [layer.name for layer in viewer.layers]
    viewer.close()
    (folder / "result.json").write_text(json.dumps(result), encoding="utf-8")


if __name__ == "__main__":
    main(Path(sys.argv[1]))
