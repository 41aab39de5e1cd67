"""A real window, with a real mouse, where Xvfb is installed."""

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


@pytest.mark.skipif(shutil.which("xvfb-run") is None, reason="Xvfb is not installed")
def test_click_to_label_in_a_window(tmp_path):
    environment = {**os.environ, "QT_QPA_PLATFORM": "xcb"}
    screen = ["xvfb-run", "-a", "-s", "-screen 0 1600x1000x24"]
    done = subprocess.run(
        [*screen, sys.executable, str(SCRIPT), str(tmp_path)],
        env=environment,
        capture_output=True,
        text=True,
        timeout=240,
        check=False,
    )
    assert done.returncode == 0, done.stderr[-4000:]
    result = json.loads((tmp_path / "result.json").read_text())
    assert 0.6 < result["clicked"] / COIN_AREA < 1.6
    assert result["kinds"] == ["positive", "negative"]
    assert result["polarity_shown"]
    assert 0.6 < result["committed"] / COIN_AREA < 1.6
    assert result["after_undo"] == 0
    assert result["second"] > 0
    assert result["everything"] >= 20
    for name in ("clicked.png", "everything.png"):
        picture = iio.imread(tmp_path / name)
        assert picture.shape[0] > 600
        assert np.ptp(picture[200:600, 400:900]) > 100  # the canvas is drawn
