"""The thread behind a dock, when the program ends."""

import os
import subprocess
import sys
import time

import pytest
from qtpy.QtCore import QObject

from napari_sam.widgets.live import LatestWins

pytestmark = pytest.mark.needs_qt

PROGRAM = """
import threading
import torch
from qtpy.QtCore import QObject
from qtpy.QtWidgets import QApplication
from napari_sam.widgets.live import LatestWins

application = QApplication([])
owner = QObject()
live = LatestWins(("prompt",), owner)
begun = threading.Event()

def question():
    begun.set()
    many = torch.randn(1, 32, 512, 512)
    kernel = torch.randn(32, 32, 3, 3)
    for _ in range(12):
        many = torch.nn.functional.conv2d(many, kernel, padding=1).tanh()
    print("answered", flush=True)

live.ask("prompt", question)
begun.wait()
print("leaving", flush=True)
"""


def test_a_program_ends_after_the_answer_in_flight():
    """A thread that is stopped in the middle of torch takes the whole program down."""
    environment = {**os.environ, "QT_QPA_PLATFORM": "offscreen"}
    done = subprocess.run(
        [sys.executable, "-c", PROGRAM],
        env=environment,
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )
    assert done.returncode == 0, done.stderr[-2000:]
    assert done.stdout.split() == ["leaving", "answered"]


def test_an_answer_that_has_arrived_is_no_longer_asked(qtbot, monkeypatch):
    """A click that commits by itself looks at this, however slow the thread is to go on."""
    owner = QObject()
    next_question = LatestWins._next

    def late(live):
        time.sleep(0.2)
        return next_question(live)

    monkeypatch.setattr(LatestWins, "_next", late)
    live = LatestWins(("prompt",), owner)
    told = []
    live.answered.connect(lambda *_: told.append((live.is_asked("prompt"), live.busy)))
    live.failed.connect(lambda *_: told.append((live.is_asked("prompt"), live.busy)))
    for question in (lambda: 1, lambda: 1 / 0):
        live.ask("prompt", question)
        assert live.is_asked("prompt")
        known = len(told)
        qtbot.waitUntil(lambda known=known: len(told) > known)
    live.end()
    assert live.wait(5)
    assert told == [(False, False)] * 2
