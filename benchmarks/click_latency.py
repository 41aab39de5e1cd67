"""How much a click costs beyond the decoder: GUI-thread work, and the way to pixels in the layer.

On a 2048 x 2048 uint16 image with `nano`, in a window if there is a display, else on Qt's offscreen
platform: N clicks through the dock, each answered and committed, side by side with the bare
decoder call for the same prompt. Then commits into layers of 512 and 8192 pixels a side.

What napari itself takes is measured beside it, in the same run: a window as large that shows the
same image and one Labels layer, without this package. After each click and commit, which change the
dock's window once each, a disc is painted there and painted away again with napari's own brush.

    python benchmarks/click_latency.py [--clicks 200] [--device cpu]
"""

from __future__ import annotations

import argparse
import os
import sys
import tempfile
import time

import napari
import numpy as np
from qtpy.QtCore import QTimer
from qtpy.QtTest import QTest
from qtpy.QtWidgets import QWidget
from scipy import ndimage

from napari_sam import Predictor
from napari_sam.viewer.labels_output import LabelsOutput
from napari_sam.viewer.layers import shown_plane
from napari_sam.widgets.segment import SegmentWidget


def cells(side: int, seed: int = 0) -> np.ndarray:
    """Draw bright discs on noise, uint16; returns the image."""
    rng = np.random.default_rng(seed)
    image = rng.normal(300, 30, (side, side))
    rows, cols = np.mgrid[-20:21, -20:21]
    disc = 900.0 * (np.hypot(rows, cols) < 17)
    for row in range(40, side - 40, 64):
        for col in range(40, side - 40, 64):
            image[row - 20 : row + 21, col - 20 : col + 21] += disc
    return ndimage.gaussian_filter(image, 1.0).clip(0, 65535).astype(np.uint16)


REST = 250
"""Milliseconds between a commit and the next click: nobody is quicker."""


class Heartbeat:
    """The gaps between turns of the event loop, seconds, by what was going on."""

    def __init__(self) -> None:
        self.gaps: dict[str, list[float]] = {}
        self.phase = ""
        self._last = time.perf_counter()
        self._timer = QTimer()
        self._timer.setInterval(2)
        self._timer.timeout.connect(self._beat)
        self._timer.start()

    def begin(self, phase: str) -> None:
        """Leave out what the benchmark itself did on this thread, and go on with a phase."""
        self.phase = phase
        self._last = time.perf_counter()

    def count(self, *phases: str) -> int:
        """Return how many gaps over 50 ms there were."""
        return sum(gap > 0.05 for phase in phases for gap in self.gaps[phase])

    def longest(self, *phases: str) -> np.ndarray:
        """Return the gaps, the longest first."""
        return np.sort([gap for phase in phases for gap in self.gaps[phase]])[::-1]

    def _beat(self) -> None:
        now = time.perf_counter()
        self.gaps.setdefault(self.phase, []).append(now - self._last)
        self._last = now


class Stopwatch:
    """Sums the time that the GUI thread spends in some methods, a click at a time."""

    def __init__(self, *places: tuple[object, str]) -> None:
        self.spent = 0.0
        self._inside = False
        for owner, name in places:
            setattr(owner, name, self._timed(getattr(owner, name)))

    def _timed(self, call):
        def timed(*arguments, **options):
            if self._inside:
                return call(*arguments, **options)
            self._inside = True
            started = time.perf_counter()
            try:
                return call(*arguments, **options)
            finally:
                self._inside = False
                self.spent += time.perf_counter() - started

        return timed


def wait(condition, seconds: float = 120) -> None:
    end = time.perf_counter() + seconds
    while not condition():
        if time.perf_counter() > end:
            raise TimeoutError
        QTest.qWait(1)


class Bare:
    """A window of napari that shows the same image and one Labels layer, without this package.

    An empty dock of the same width leaves the canvas as large.
    """

    def __init__(self, image: np.ndarray, like: napari.Viewer, dock) -> None:
        self.viewer = napari.Viewer()
        self.viewer.add_image(image, name="cells")
        self.labels = self.viewer.add_labels(np.zeros(image.shape, np.uint16), name="labels")
        self.labels.brush_size = 34
        empty = QWidget()
        empty.setMinimumWidth(dock.width())
        self.viewer.window.add_dock_widget(empty)
        self.viewer.window.resize(*like.window.geometry()[2:])
        QTest.qWait(500)

    def paint(self, place: tuple[int, int], label: int) -> None:
        """Paint a disc as napari's brush does."""
        self.labels.paint(place, label)


def clicks(dock, bare: Bare, heart: Heartbeat, count: int) -> dict[str, np.ndarray]:
    """Click on discs one after the other, commit each; returns seconds of each click."""
    session = dock.session
    watch = Stopwatch(
        (dock.prompts, "read"), (session, "take"), (session, "snapshot"), (session, "apply")
    )
    places = [(row, col) for row in range(40, 2000, 64) for col in range(40, 2000, 64)]
    gui, pixels, decoder = [], [], []
    shown: list[float] = []
    session.shown.connect(lambda: shown.append(time.perf_counter()))
    for label, place in enumerate(places[: count + 1]):
        watch.spent = 0.0
        heart.begin("click")
        started = time.perf_counter()
        dock.prompts.click(np.array(place, float))
        wait(lambda: session.prediction is not None)
        pixels.append(shown[-1] - started)
        QTest.qWait(REST)
        gui.append(watch.spent)
        asked = session.snapshot().prompts  # within the window that was looked at
        started = time.perf_counter()
        session.predictor.predict(session.embedding, asked)
        decoder.append(time.perf_counter() - started)
        heart.begin("commit")
        dock.commit()
        QTest.qWait(REST)
        heart.begin("napari")
        bare.paint(place, label + 1)
        QTest.qWait(REST)
        bare.paint(place, 0)
        QTest.qWait(REST)
        if not label:  # the first makes the layers
            heart.gaps.clear()
    return {name: np.array(v) for name, v in (("gui", gui), ("pixels", pixels), ("bare", decoder))}


def painting(side: int, count: int = 20) -> float:
    """Return the median seconds of committing a mask into a layer of so many pixels a side."""
    viewer = napari.Viewer()
    image = viewer.add_image(np.zeros((side, side), np.uint8))
    viewer.add_labels(np.zeros((side, side), np.uint16), name="labels")
    QTest.qWait(300)
    output = LabelsOutput(viewer, image)
    output.layer = viewer.layers["labels"]
    mask = np.hypot(*np.mgrid[-30:31, -30:31]) < 28
    plane, spent = shown_plane(viewer, image), []
    for step in range(count):
        started = time.perf_counter()
        corner = (20 + 10 * step, 30)
        _, patch = output.mask_patch(plane, mask, corner, step + 1, overlap="overwrite")
        output.write([patch])
        spent.append(time.perf_counter() - started)
        QTest.qWait(20)
    viewer.close()
    return float(np.median(spent))


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--clicks", type=int, default=200)
    parser.add_argument("--device", default="auto")
    arguments = parser.parse_args()
    os.environ["NAPARI_SAM_JOURNALS"] = tempfile.mkdtemp()  # nothing to go on from
    if sys.platform == "linux" and not os.environ.get("DISPLAY"):
        os.environ.setdefault("QT_QPA_PLATFORM", "offscreen")
    image = cells(2048)
    viewer = napari.Viewer()
    viewer.add_image(image, name="cells")
    dock = SegmentWidget(viewer)
    viewer.window.add_dock_widget(dock)
    dock.use_predictor(Predictor("nano", arguments.device))
    dock.hovering.setChecked(False)
    dock.prompts.new_points()
    wait(lambda: dock.session is not None and dock.session.ahead() is None)
    bare = Bare(image, viewer, dock)
    heart = Heartbeat()
    found = clicks(dock, bare, heart, arguments.clicks)
    viewer.close()
    bare.viewer.close()
    small, large = painting(512), painting(8192)
    ratio = np.median(found["pixels"]) / np.median(found["bare"])
    print(f"| click, {arguments.clicks} times | figure |\n|---|---|")
    print(f"| GUI-thread work of the dock, 95th percentile | {_ms(found['gui'], 95)} |")
    print(f"| bare decoder call, median | {_ms(found['bare'], 50)} |")
    print(f"| click to pixels in the preview, median | {_ms(found['pixels'], 50)} |")
    print(f"| the latter over the former | {ratio:.2f} |")
    for name, phases in (("click and commit", ("click", "commit")), ("bare napari", ("napari",))):
        longest = heart.longest(*phases)
        each = heart.count(*phases) / (2 * arguments.clicks)
        typical = np.median(longest[: 2 * arguments.clicks]) * 1000
        print(f"| {name}: gaps of the event loop over 50 ms, each change | {each:.2f} |")
        print(f"| {name}: the longest gap of a change, median | {typical:.0f} ms |")
        print(f"| {name}: the longest gap of all | {longest[0] * 1000:.0f} ms |")
    print(f"| commit into 8192 x 8192 over 512 x 512 | {large / small:.2f} |")


def _ms(seconds: np.ndarray, percentile: float) -> str:
    return f"{np.percentile(seconds, percentile) * 1000:.1f} ms"


if __name__ == "__main__":
    main()
