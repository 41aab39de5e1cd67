"""Who draws: a thread or processes, in which order, and what becomes of them."""

import dataclasses
import multiprocessing
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest
import torch

from napari_sam.training.batches import SampleSource
from napari_sam.training.drawing import ProcessDrawer, ThreadDrawer, draw_of_step
from napari_sam.training.views import view_config
from tests.training.toys import TINY

ECHOED = dataclasses.replace(TINY, repeats=3)
VIEWS = view_config(TINY, TINY.sam_config())
GIVEN = SampleSource([], TINY.sources), TINY, VIEWS, (0, 1)
SCRIPT = """
from napari_sam.training.drawing import ProcessDrawer
from tests.training.test_drawing import GIVEN
import multiprocessing, time

if __name__ == "__main__":
    drawer = ProcessDrawer(*GIVEN, processes=1)
    drawer.draw(0)
    print(*(process.pid for process in multiprocessing.active_children()), flush=True)
    time.sleep(60)
"""


def test_steps_that_use_the_same_views_lie_apart():
    uses = [draw_of_step(step, 3) for step in range(96)]
    assert sorted(uses) == sorted((draw, turn) for draw in range(32) for turn in range(3))
    at = {use: step for step, use in enumerate(uses)}
    assert all(at[draw, turn + 1] - at[draw, turn] == 8 for draw in range(32) for turn in (0, 1))
    assert [draw_of_step(step, 1) for step in (0, 9)] == [(0, 0), (9, 0)]


@pytest.mark.parametrize("recipe", [TINY, ECHOED], ids=["once", "again"])
def test_processes_draw_what_a_thread_draws(recipe):
    given = SampleSource([], recipe.sources), recipe, VIEWS, (0, 1)
    drawers = ThreadDrawer(*given), ProcessDrawer(*given, processes=2)
    for step in (1, 2, 0, 9, 10):
        one, other = (drawer.draw(step) for drawer in drawers)
        for here, there in zip(one, other, strict=True):
            assert here.seed == there.seed
            assert torch.equal(here.images, there.images)
            assert torch.equal(here.object_masks, there.object_masks)
            assert torch.equal(here.regions.weights, there.regions.weights)
    for drawer in drawers:
        drawer.close()


def test_whoever_starts_in_the_middle_gets_the_same():
    drawer = ThreadDrawer(SampleSource([], ECHOED.sources), ECHOED, VIEWS, (0,))
    in_a_row = [drawer.draw(step)[0].seed for step in range(30)]
    drawer.close()
    late = ThreadDrawer(SampleSource([], ECHOED.sources), ECHOED, VIEWS, (0,))
    assert [late.draw(step)[0].seed for step in range(11, 30)] == in_a_row[11:]
    late.close()


def test_a_process_that_draws_and_dies_is_told_of():
    drawer = ProcessDrawer(*GIVEN, processes=1)
    drawer.draw(0)
    for process in multiprocessing.active_children():
        process.kill()
        process.join()
    with pytest.raises(RuntimeError, match="start again to resume"):
        list(map(drawer.draw, range(1, 40)))
    drawer.close()


@pytest.mark.skipif(sys.platform == "win32", reason="no process can be killed by a signal there")
def test_processes_that_draw_end_with_the_one_that_trains(tmp_path):
    script = tmp_path / "train.py"
    script.write_text(SCRIPT, encoding="utf-8")
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join([str(Path.cwd()), *sys.path])}
    trainer = subprocess.Popen(
        [sys.executable, str(script)], stdout=subprocess.PIPE, env=environment, text=True
    )
    drawing = [int(pid) for pid in trainer.stdout.readline().split()]
    trainer.send_signal(signal.SIGKILL)
    trainer.communicate()
    deadline = time.monotonic() + 20
    while any(map(_runs, drawing)) and time.monotonic() < deadline:
        time.sleep(0.1)
    assert drawing
    assert not any(map(_runs, drawing))


def _runs(pid: int) -> bool:
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    return True
