"""Drive a real napari window with mouse and keys; write what came of it as JSON.

Run by test_window.py under Xvfb: ``python tests/e2e/window.py FOLDER PART``.
"""

from __future__ import annotations

import json
import os
import signal
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import napari
import numpy as np
from qtpy.QtCore import QPoint, QPointF, Qt
from qtpy.QtGui import QMouseEvent, QWheelEvent
from qtpy.QtTest import QTest
from qtpy.QtWidgets import QApplication, QPushButton

from napari_sam.viewer.layers import camera_of
from napari_sam.viewer.sample_data import draw_nuclei

COIN = (50, 155)
OTHER_COIN = (123, 206)
BOXED_COIN = (45, 210, 22)
LASSOED_COIN = (50, 265, 24)
BESIDE = (90, 180)
DEEP_NUCLEUS = 11
"""Of the sample stack: it lies on eleven slices."""

NONE = Qt.KeyboardModifier.NoModifier
ALT = Qt.KeyboardModifier.AltModifier
SHIFT = Qt.KeyboardModifier.ShiftModifier
CONTROL = Qt.KeyboardModifier.ControlModifier
LEFT = Qt.MouseButton.LeftButton


def wait(condition: Callable[[], object], what: str, seconds: float = 60) -> None:
    """Let the window live until a condition holds."""
    end = time.monotonic() + seconds
    while not condition():
        if time.monotonic() > end:
            raise TimeoutError(what)
        QTest.qWait(20)


class Person:
    """A mouse and a keyboard at a viewer's canvas; places are (row, col) of the world."""

    def __init__(self, viewer: napari.Viewer) -> None:
        self.viewer = viewer
        self.canvas = viewer.window._qt_viewer.canvas

    def at(self, point: tuple[float, float]) -> QPoint:
        """Return where on the canvas a point is drawn."""
        x, y = self.canvas.view.scene.transform.map((point[1], point[0], 0, 1))[:2]
        return QPoint(round(x), round(y))

    def move(self, point: tuple[float, float]) -> None:
        """Move the mouse."""
        QTest.mouseMove(self.canvas.native, self.at(point))
        QTest.qWait(30)

    def click(self, point: tuple[float, float], modifier: Any = NONE) -> None:
        """Click."""
        self.move(point)
        QTest.mouseClick(self.canvas.native, LEFT, modifier, self.at(point))
        QTest.qWait(30)

    def drag(self, path: list[tuple[float, float]], modifier: Any = NONE) -> None:
        """Drag along a path."""
        self.move(path[0])
        QTest.mousePress(self.canvas.native, LEFT, modifier, self.at(path[0]))
        for point in path[1:]:
            self._send(QMouseEvent.Type.MouseMove, self.at(point), modifier)
            QTest.qWait(15)
        QTest.mouseRelease(self.canvas.native, LEFT, modifier, self.at(path[-1]))
        QTest.qWait(30)

    def wheel(self, point: tuple[float, float], steps: int, modifier: Any = NONE) -> None:
        """Turn the wheel."""
        place = QPointF(self.at(point))
        native = self.canvas.native
        event = QWheelEvent(
            place,
            QPointF(native.mapToGlobal(self.at(point))),
            QPoint(),
            QPoint(0, 120 * steps),
            Qt.MouseButton.NoButton,
            modifier,
            Qt.ScrollPhase.NoScrollPhase,
            False,
        )
        QApplication.sendEvent(native, event)
        QTest.qWait(30)

    def press(self, key: Qt.Key, modifier: Any = NONE) -> None:
        """Press a key on the canvas."""
        QTest.keyClick(self.canvas.native, key, modifier)
        QTest.qWait(50)

    def _send(self, kind: Any, place: QPoint, modifier: Any) -> None:
        native = self.canvas.native
        where = QPointF(place)
        event = QMouseEvent(
            kind, where, QPointF(native.mapToGlobal(place)), Qt.MouseButton.NoButton, LEFT, modifier
        )
        QApplication.sendEvent(native, event)


def push(dock: Any, name: str) -> None:
    """Click a button of a dock."""
    QTest.mouseClick(dock.findChild(QPushButton, name), LEFT)


def open_window(sample: str) -> tuple[napari.Viewer, Any, Person]:
    """Open a sample and the dock, and make a Points layer."""
    viewer = napari.Viewer()
    viewer.window.resize(1500, 950)
    viewer.open_sample("napari-sam", sample)
    _, dock = viewer.window.add_plugin_dock_widget("napari-sam", "Segment")
    QTest.qWait(300)
    dock.output.overlap.setCurrentIndex(0)
    push(dock, "new_points")
    wait(lambda: dock.session, "no session")
    wait(lambda: dock.session.ahead() is None, "no embedding")
    return viewer, dock, Person(viewer)


def mask_area(dock: Any) -> int:
    """Return the pixels of the shown candidate."""
    prediction = dock.session.prediction
    return 0 if prediction is None else int(prediction.areas[dock.session.candidate])


def answered(dock: Any, what: str) -> int:
    """Wait for an answer; returns its area."""
    wait(lambda: not dock.busy and dock.session.prediction is not None, what)
    return mask_area(dock)


def ring(middle: tuple[float, float, float], count: int = 14) -> list[tuple[float, float]]:
    """Return points around a middle (row, col, radius)."""
    row, col, radius = middle
    turns = np.linspace(0, 2 * np.pi, count)
    return [(row + radius * np.sin(turn), col + radius * np.cos(turn)) for turn in turns]


def annotate(folder: Path) -> dict[str, object]:
    """Hover, click, click, choose, commit, box, lasso, reopen, undo, redo; then be killed."""
    viewer, dock, person = open_window("coins")
    result = hover(folder, viewer, dock, person)
    result |= click_and_choose(folder, viewer, dock, person)
    result |= box_and_lasso(folder, viewer, dock, person)
    result |= change_and_undo(viewer, dock, person)
    person.click(OTHER_COIN)
    answered(dock, "no mask for the last click")
    dock.jobs.table.open()
    QTest.qWait(200)
    viewer.screenshot(str(folder / "table.png"), canvas_only=False)
    np.save(folder / "labels.npy", viewer.layers["SAM labels"].data)
    (folder / "annotate.json").write_text(json.dumps(result), encoding="utf-8")
    QTest.qWait(200)
    os.kill(os.getpid(), getattr(signal, "SIGKILL", signal.SIGTERM))
    return result


def hover(folder: Path, viewer: Any, dock: Any, person: Person) -> dict[str, object]:
    """Rest the mouse on a coin."""

    def seen() -> int:
        name = "SAM hover"
        return int((viewer.layers[name].data > 0).sum()) if name in viewer.layers else 0

    dock.hovering.setChecked(True)
    for step in range(3):
        person.move((COIN[0], COIN[1] - 2 + step))
    wait(lambda: seen() or not dock.hovering.isChecked(), "no hover preview", 20)
    found = {"hovered": seen(), "hover_switched_off": not dock.hovering.isChecked()}
    viewer.screenshot(str(folder / "hover.png"), canvas_only=False)
    dock.hovering.setChecked(False)
    return found


def click_and_choose(folder: Path, viewer: Any, dock: Any, person: Person) -> dict[str, object]:
    """Click in and beside a coin, step through the candidates, commit."""
    result: dict[str, object] = {}
    person.click(COIN)
    result["clicked"] = answered(dock, "no mask after a click")
    person.click(BESIDE, SHIFT)
    points = dock.prompts.point_layer
    wait(lambda: len(points.data) == 2, "no second point")
    result["kinds"] = list(points.features["prompt"])
    answered(dock, "no second answer")
    before = dock.session.candidate
    person.wheel(COIN, 1, SHIFT)
    result["stepped"] = dock.session.candidate != before
    person.press((Qt.Key.Key_8, Qt.Key.Key_9, Qt.Key.Key_0)[before])
    result["chosen"] = dock.session.candidate == before
    viewer.screenshot(str(folder / "clicked.png"), canvas_only=False)
    person.press(Qt.Key.Key_Return)
    wait(lambda: "SAM labels" in viewer.layers, "nothing was committed")
    result["committed"] = int((viewer.layers["SAM labels"].data == 1).sum())
    return result


def box_and_lasso(folder: Path, viewer: Any, dock: Any, person: Person) -> dict[str, object]:
    """Drag a box around a coin and a lasso around another; the view stays where it is."""
    result: dict[str, object] = {}
    centre = camera_of(viewer).center
    row, col, radius = BOXED_COIN
    person.drag([(row - radius, col - radius), (row, col), (row + radius, col + radius)])
    result["boxed"] = answered(dock, "no mask after a box")
    person.press(Qt.Key.Key_N)
    person.drag(ring(LASSOED_COIN), ALT)
    result["lassoed"] = answered(dock, "no mask after a lasso")
    viewer.screenshot(str(folder / "lasso.png"), canvas_only=False)
    person.press(Qt.Key.Key_N)
    result["objects"] = len(dock.session.objects.table)
    now = camera_of(viewer).center
    result["view_stays"] = bool(np.allclose(centre, now))
    return result


def change_and_undo(viewer: Any, dock: Any, person: Person) -> dict[str, object]:
    """Reopen the first object and commit it again; five steps back, five forth."""
    result: dict[str, object] = {}
    labels = viewer.layers["SAM labels"]
    person.click(COIN, ALT)
    wait(lambda: dock.session.prompts.label_id == 1, "object 1 was not reopened")
    answered(dock, "no mask for the reopened object")
    person.press(Qt.Key.Key_Return)
    result["after_reopening"] = int((labels.data == 1).sum())
    whole = labels.data.copy()
    states = []
    for _ in range(5):
        person.press(Qt.Key.Key_Z, CONTROL)
        states.append(len(dock.session.objects.table))
    result["undone"] = states
    for _ in range(5):
        person.press(Qt.Key.Key_Z, CONTROL | SHIFT)
    result["redone"] = bool(np.array_equal(labels.data, whole))
    return result


def reopen(folder: Path) -> dict[str, object]:
    """Open the same image again: everything is there; then find everything in it."""
    viewer, dock, _ = open_window("coins")
    result: dict[str, object] = {"status": dock.status.text()}
    area = answered(dock, "the last click is not answered again")
    result["last_click"] = area
    result["points"] = dock.prompts.point_layer.data.tolist()
    labels = viewer.layers["SAM labels"]
    result["same"] = bool(np.array_equal(labels.data, np.load(folder / "labels.npy")))
    viewer.screenshot(str(folder / "reopened.png"), canvas_only=False)
    _, everything = viewer.window.add_plugin_dock_widget("napari-sam", "Everything", tabify=True)
    QTest.qWait(200)
    QTest.mouseClick(everything.start_button, LEFT)
    wait(lambda: everything._target is not None, "everything found nothing")
    result["everything"] = int(everything._target.data.max())
    QTest.qWait(300)
    viewer.screenshot(str(folder / "everything.png"), canvas_only=False)
    viewer.close()
    return result


def propagate(folder: Path) -> dict[str, object]:
    """Carry a nucleus of the sample stack through eight slices; undo, redo; then be killed."""
    viewer, dock, person = open_window("nuclei")
    image = dock.image.layer
    _, truth = draw_nuclei()
    inside = truth == DEEP_NUCLEUS
    occupied = np.flatnonzero(inside.any((1, 2)))
    middle = int(occupied[len(occupied) // 2])
    viewer.dims.set_current_step(0, middle)
    wait(lambda: dock.session.ahead() is None, "no embedding")
    row, col = np.argwhere(inside[middle]).mean(0)
    world = image.data_to_world((middle, row, col))
    person.click((world[-2], world[-1]))
    clicked = answered(dock, "no mask after a click on a nucleus")
    person.press(Qt.Key.Key_Return)
    wait(lambda: "SAM labels" in viewer.layers, "nothing was committed")
    dock.output.reach.setValue(4)
    person.press(Qt.Key.Key_K)
    wait(lambda: dock.status.text().startswith("Filled"), "propagation did not end", 120)
    labels = viewer.layers["SAM labels"].data
    filled = np.flatnonzero(labels.any((1, 2)))
    viewer.dims.set_current_step(0, int(filled[0]))
    QTest.qWait(200)
    viewer.screenshot(str(folder / "propagated.png"), canvas_only=False)
    result: dict[str, object] = {
        "clicked": clicked,
        "slices": filled.tolist(),
        "areas": [int((labels[z] > 0).sum()) for z in filled],
        "status": dock.status.text(),
    }
    person.press(Qt.Key.Key_Z, CONTROL)
    result["after_undo"] = int(labels.any((1, 2)).sum())
    person.press(Qt.Key.Key_Z, CONTROL | SHIFT)
    result["after_redo"] = int(labels.any((1, 2)).sum())
    np.save(folder / "stack.npy", labels)
    (folder / "propagate.json").write_text(json.dumps(result), encoding="utf-8")
    QTest.qWait(200)
    os.kill(os.getpid(), getattr(signal, "SIGKILL", signal.SIGTERM))
    return result


def reopen_stack(folder: Path) -> dict[str, object]:
    """Open the same stack again: what was propagated is there, and can still be taken back."""
    viewer, dock, person = open_window("nuclei")
    wait(lambda: "SAM labels" in viewer.layers, "no objects came back")
    labels = viewer.layers["SAM labels"].data
    result: dict[str, object] = {
        "same": bool(np.array_equal(labels, np.load(folder / "stack.npy"))),
        "status": dock.status.text(),
    }
    viewer.dims.set_current_step(0, int(np.flatnonzero(labels.any((1, 2)))[0]))
    QTest.qWait(300)
    viewer.screenshot(str(folder / "stack_reopened.png"), canvas_only=False)
    person.press(Qt.Key.Key_Z, CONTROL)
    result["after_undo"] = int(labels.any((1, 2)).sum())
    viewer.close()
    return result


PARTS = {
    "annotate": annotate,
    "reopen": reopen,
    "propagate": propagate,
    "reopen_stack": reopen_stack,
}

if __name__ == "__main__":
    where, part = Path(sys.argv[1]), sys.argv[2]
    outcome = PARTS[part](where)
    (where / f"{part}.json").write_text(json.dumps(outcome), encoding="utf-8")
