"""A real window, with a real mouse and keys, where Xvfb is installed."""

import json
import os
import shutil
import subprocess
import sys
from pathlib import Path

import imageio.v3 as iio
import numpy as np
import pytest

SCRIPT = Path(__file__).with_name("window.py")
COIN_AREA = 1450

pytestmark = pytest.mark.skipif(shutil.which("xvfb-run") is None, reason="Xvfb is not installed")


def run_part(part, folder, journals, *, killed=False):
    """Run a part of the script in a window of its own; returns what it wrote."""
    environment = {**os.environ, "QT_QPA_PLATFORM": "xcb", "NAPARI_SAM_JOURNALS": str(journals)}
    screen = ["xvfb-run", "-a", "-s", "-screen 0 1600x1000x24"]
    done = subprocess.run(
        [*screen, sys.executable, str(SCRIPT), str(folder), part],
        env=environment,
        capture_output=True,
        text=True,
        timeout=240,
        check=False,
    )
    assert (done.returncode != 0) == killed, done.stderr[-4000:]
    return json.loads((folder / f"{part}.json").read_text())


def is_drawn(picture):
    """Tell whether a screenshot shows a window with a picture in it."""
    pixels = iio.imread(picture)
    return pixels.shape[0] > 600 and np.ptp(pixels[200:600, 400:900]) > 100


def test_annotating_a_kill_and_going_on(tmp_path, journals_folder):
    result = run_part("annotate", tmp_path, journals_folder, killed=True)
    assert result["hover_switched_off"] or 0.6 < result["hovered"] / COIN_AREA < 1.6
    assert 0.6 < result["clicked"] / COIN_AREA < 1.6
    assert result["kinds"] == ["positive", "negative"]
    assert result["stepped"]
    assert result["chosen"]
    assert 0.6 < result["committed"] / COIN_AREA < 1.6
    assert 0.6 < result["boxed"] / COIN_AREA < 1.6
    assert 0.3 < result["lassoed"] / COIN_AREA < 1.6
    assert result["view_stays"]
    assert result["objects"] == 3
    assert 0.6 < result["after_reopening"] / COIN_AREA < 1.6
    assert result["undone"][0] == 3
    assert result["undone"][-1] < 3
    assert result["redone"]
    again = run_part("reopen", tmp_path, journals_folder)
    assert again["same"]
    assert again["last_click"] > 300
    assert np.allclose(again["points"], [(123, 206)], atol=1)
    assert again["everything"] >= 20
    for name in ("hover", "clicked", "lasso", "table", "reopened", "everything"):
        assert is_drawn(tmp_path / f"{name}.png")


def test_propagating_over_eight_slices_a_kill_and_going_on(tmp_path, journals_folder):
    result = run_part("propagate", tmp_path, journals_folder, killed=True)
    assert result["clicked"] > 50
    assert 8 <= len(result["slices"]) <= 9
    assert result["slices"] == list(range(result["slices"][0], result["slices"][-1] + 1))
    assert result["after_undo"] == 1
    assert result["after_redo"] == len(result["slices"])
    again = run_part("reopen_stack", tmp_path, journals_folder)
    assert again["same"]
    assert again["after_undo"] == 1
    for name in ("propagated", "stack_reopened"):
        assert is_drawn(tmp_path / f"{name}.png")
