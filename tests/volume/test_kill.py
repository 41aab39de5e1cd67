"""A killed job resumes to the same bytes, wherever it was killed."""

import random
import signal
import subprocess
import sys
import textwrap
import threading
from pathlib import Path

import numpy as np
import pytest

from napari_sam.volume import segment_volume
from tests.oracle import OraclePredictor
from tests.volume.toys import drawn_volume, tree

ROOT = Path(__file__).parents[2]

SLOW_JOB = """
    import sys
    import time
    from napari_sam.volume import iter_volume
    from tests.oracle import OraclePredictor
    from tests.volume.toys import drawn_volume

    predictor = OraclePredictor(threshold=100, seconds=0.02)
    for event in iter_volume(predictor, drawn_volume(), sys.argv[1]):
        print(event.stage, event.z, flush=True)
        time.sleep(0.01)
"""


STRIDE = 7
"""Changes on disk from one kill to the next; each run of the tests begins at another one."""


class Killed(BaseException):
    """Stands for the end of the process; no code but the test's expects it."""


class Killer:
    """Ends all work on files below a folder from the n-th change of a file or folder on.

    An audit hook sees every opening for writing, renaming, removal and making of a folder just
    before it happens, in all threads (removals may name a file relative to an open folder). Hooks
    cannot be taken off again, so there is one, and it is armed.
    """

    EVENTS = frozenset({"open", "os.rename", "os.remove", "os.mkdir", "os.rmdir", "os.truncate"})

    def __init__(self):
        self._lock = threading.Lock()
        self.disarm()
        sys.addaudithook(self._see)

    def arm(self, folder, changes):
        """Let this many changes happen, then none."""
        self.folder, self.left = str(folder), changes

    def disarm(self):
        """Let everything happen."""
        self.folder, self.left = None, 0

    def _see(self, event, args):
        if self.folder is None or event not in self.EVENTS:
            return
        is_reading = event == "open" and args[1] in ("r", "rb")
        is_below = str(args[0]).startswith(self.folder)
        is_in_open_folder = event in ("os.remove", "os.rmdir") and args[-1] >= 0
        if is_reading or not (is_below or is_in_open_folder):
            return
        with self._lock:
            self.left -= 1
            if self.left < 0:
                raise Killed


@pytest.fixture(scope="module")
def killer():
    killer = Killer()
    yield killer
    killer.disarm()


def small_volume():
    """Return 3 slices of 300 x 8, of which the last is empty: two levels, few files."""
    volume = np.zeros((3, 300, 8), np.uint8)
    volume[:2, 4:90, 2:6] = 200
    return volume


def run_until_killed(killer, output, changes, **options):
    """Run the job for so many changes on disk; return whether it was killed."""
    killer.arm(output, changes)
    try:
        segment_volume(OraclePredictor(threshold=100), small_volume(), output, **options)
    except Killed:
        return True
    finally:
        killer.disarm()
    return False


def test_killed_before_changes_on_disk(killer, tmp_path):
    segment_volume(OraclePredictor(threshold=100), small_volume(), tmp_path / "whole.zarr")
    expected = tree(tmp_path / "whole.zarr")
    changes = first = random.randrange(STRIDE)
    while run_until_killed(killer, tmp_path / f"{changes}.zarr", changes):
        segment_volume(OraclePredictor(threshold=100), small_volume(), tmp_path / f"{changes}.zarr")
        assert tree(tmp_path / f"{changes}.zarr") == expected, f"killed after {changes} changes"
        changes += STRIDE
    assert changes - first > 40


def test_killed_while_starting_over(killer, tmp_path):
    output = tmp_path / "out.zarr"
    segment_volume(OraclePredictor(threshold=100), small_volume(), output)
    expected = tree(output)
    changes = first = random.randrange(STRIDE)
    while run_until_killed(killer, output, changes, resume=False):
        segment_volume(OraclePredictor(threshold=100), small_volume(), output)
        assert tree(output) == expected, f"killed after {changes} changes"
        changes += STRIDE
    assert changes - first > 40


@pytest.mark.skipif(sys.platform == "win32", reason="SIGKILL is of POSIX")
def test_killed_three_times_by_the_system(tmp_path):
    segment_volume(OraclePredictor(threshold=100), drawn_volume(), tmp_path / "whole.zarr")
    output = tmp_path / "out.zarr"
    seed = random.randrange(10**6)
    moments = random.Random(seed)
    for stage, steps in (("segment", 4), ("link", 4), ("write", 1)):
        kill_after(f"{stage} {moments.randrange(steps)}", moments.uniform(0, 0.03), output)
    segment_volume(OraclePredictor(threshold=100), drawn_volume(), output)
    assert tree(output) == tree(tmp_path / "whole.zarr"), f"moments were drawn with seed {seed}"


def kill_after(line, delay, output):
    """Run the slow job in a process of its own; kill it a moment after it printed a line."""
    process = subprocess.Popen(
        [sys.executable, "-c", textwrap.dedent(SLOW_JOB), str(output)],
        cwd=ROOT,
        stdout=subprocess.PIPE,
        text=True,
    )
    with process:
        lines = iter(process.stdout.readline, "")
        assert any(printed.strip() == line for printed in lines), f"the job never said {line!r}"
        threading.Event().wait(delay)
        process.kill()
    assert process.returncode == -signal.SIGKILL
