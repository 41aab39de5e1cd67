"""The model box: one load at a time, callers wait, choosing anew stops a download."""

import functools
import threading
import time
from typing import ClassVar

import pytest

from napari_sam.widgets.models import ModelBox


class SlowPredictor:
    """Loads as a long download does; can be stopped only where it tells its progress."""

    loads: ClassVar[list[str]] = []
    digested: ClassVar[list[threading.Thread]] = []
    stopped = threading.Event()

    def __init__(self, name, device, *, on_progress):
        self.loads.append(name)
        self.device = device
        if name == "vit_h":
            try:
                for done in range(1000):
                    on_progress(done, 1000)
                    time.sleep(0.01)
            except InterruptedError:
                self.stopped.set()
                raise

    @functools.cached_property
    def model_digest(self):
        self.digested.append(threading.current_thread())
        return "slow"


@pytest.fixture
def box(parent, monkeypatch):
    monkeypatch.setattr("napari_sam.segmentation.predictor.Predictor", SlowPredictor)
    for records in ("loads", "digested"):
        monkeypatch.setattr(SlowPredictor, records, [])
    SlowPredictor.stopped.clear()
    return ModelBox(parent)


def choose(box, name):
    index = box.model.findData(name)
    box.model.setCurrentIndex(index)
    box.model.activated.emit(index)


def test_many_callers_wait_for_one_load(box, qtbot):
    called = []
    for number in range(3):
        box.when_loaded(lambda _, number=number: called.append(number))
    qtbot.waitUntil(lambda: called == [0, 1, 2])
    box.when_loaded(lambda _: called.append("at once"))
    assert called[-1] == "at once"
    assert SlowPredictor.loads == ["nano"]


def test_choosing_another_model_stops_a_download(box, qtbot):
    choose(box, "vit_h")
    called = []
    said = []
    box.status.connect(said.append)
    box.when_loaded(called.append)
    qtbot.waitUntil(lambda: any("Downloading" in text for text in said))
    choose(box, "nano")
    qtbot.waitUntil(SlowPredictor.stopped.is_set)
    assert called == []
    box.when_loaded(called.append)
    qtbot.waitUntil(lambda: len(called) == 1)
    assert SlowPredictor.loads == ["vit_h", "nano"]


def test_all_weights_are_read_beside_the_gui_thread(box, qtbot):
    loaded = []
    box.when_loaded(loaded.append)
    qtbot.waitUntil(lambda: len(loaded) == 1)
    assert loaded[0].model_digest == "slow"
    assert len(SlowPredictor.digested) == 1
    assert SlowPredictor.digested[0] is not threading.main_thread()
