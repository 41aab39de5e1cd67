"""The thread behind a dock, when the program ends."""

import os
import subprocess
import sys

import pytest

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
