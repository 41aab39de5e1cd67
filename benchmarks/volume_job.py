"""A volume job's memory, pace and trust, with a cheap oracle in place of the network.

python benchmarks/volume_job.py memory 100 1000    peak memory and cost per slice at these depths
python benchmarks/volume_job.py busy               share of time that a model of 200 ms works
python benchmarks/volume_job.py kills 25           SIGKILL at random instants, in every stage
python benchmarks/volume_job.py nano 4             peak memory with the network that ships
"""

from __future__ import annotations

import argparse
import hashlib
import json
import os
import resource  # not on Windows
import signal
import subprocess
import sys
import tempfile
import threading
import time
from collections import defaultdict
from pathlib import Path

import numpy as np
from scipy import ndimage

from napari_sam import Predictor
from napari_sam.volume import blocks, iter_volume, segment_volume

SIDE = 2048
MODEL_SECONDS = 0.2


class DrawnStack:
    """A stack (Z, SIDE, SIDE) uint16 of bright rods that is drawn when it is read."""

    dtype = np.dtype(np.uint16)

    def __init__(self, depth: int, side: int = SIDE) -> None:
        self.shape = (depth, side, side)
        rng = np.random.default_rng(5)
        centres = rng.uniform(20, side - 20, (side // 6, 2))
        plane = np.zeros((side, side), np.uint16)
        rows, cols = np.mgrid[-14:15, -14:15]
        disc = np.hypot(rows, cols) < 11
        for row, col in centres.astype(int):
            top, left = max(row - 14, 0), max(col - 14, 0)
            part = plane[top : row + 15, left : col + 15]
            part[disc[: part.shape[0], : part.shape[1]]] = 1000
        self._plane = plane + rng.integers(0, 40, plane.shape, dtype=np.uint16)

    def __getitem__(self, selection: tuple) -> np.ndarray:
        """Return slice z, rolled a little, so that rods drift."""
        z, *window = selection
        return np.roll(self._plane, (z // 7, z // 5), (0, 1))[tuple(window)]


class Oracle:
    """What a job asks of a predictor; `segment_everything` is replaced by a threshold."""

    model_digest = "threshold"
    device = "cpu"

    def estimate_diameter(self, _image: np.ndarray, **_options: object) -> float:
        """Return the rods' diameter."""
        return 22.0


def threshold(_predictor: object, image: np.ndarray, *_settings: object, **_more: object):
    """Label what is bright."""
    return ndimage.label(image > 500)[0].astype(np.uint32)


def run(depth: int, output: str, *, seconds: float = 0.0, side: int = SIDE) -> dict:
    """Run a job; returns times per step of each stage, peak memory and time in the model."""
    busy = [0.0]

    def segment(*given: object, **more: object) -> np.ndarray:
        started = time.perf_counter()
        labels = threshold(*given, **more)
        time.sleep(max(0.0, seconds - (time.perf_counter() - started)))
        busy[0] += time.perf_counter() - started
        return labels

    blocks.segment_everything = segment
    times = defaultdict(list)
    last = time.perf_counter()
    job = iter_volume(Oracle(), DrawnStack(depth, side), output)
    for event in job:
        now = time.perf_counter()
        times[event.stage].append(now - last)
        last = now
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024
    return {"times": times, "peak": peak, "busy": busy[0]}


def in_process(*words: str) -> dict:
    """Run a part of this script in a process of its own."""
    done = subprocess.run(
        [sys.executable, __file__, *words], check=True, capture_output=True, text=True
    )
    return json.loads(done.stdout.splitlines()[-1])


def memory(depths: list[int]) -> None:
    """Print peak memory and cost per slice at several depths."""
    print("| slices | peak GB | segment s | link s | write s | slope of segment, % |")
    print("|---|---|---|---|---|---|")
    for depth in depths:
        found = in_process("one", str(depth))
        segment = np.array(found["times"]["segment"])[3:]
        fit = np.polyfit(np.arange(segment.size), segment, 1)
        slope = 100 * fit[0] * segment.size / np.median(segment)
        sums = [sum(found["times"][stage]) for stage in ("segment", "link", "write")]
        cells = " | ".join(f"{value / depth:.3f}" for value in sums)
        print(f"| {depth} | {found['peak'] / 1e9:.2f} | {cells} | {slope:.1f} |", flush=True)


def busy(depth: int) -> None:
    """Print the share of the segment stage in which the model works."""
    with tempfile.TemporaryDirectory() as folder:
        found = run(depth, folder + "/out.zarr", seconds=MODEL_SECONDS)
    wall = sum(found["times"]["segment"])
    print(f"{depth} slices of {SIDE} x {SIDE}, {MODEL_SECONDS * 1000:.0f} ms each: the model works")
    print(f"{100 * found['busy'] / wall:.1f} % of {wall:.1f} s")


def digest(folder: Path) -> str:
    """Return a digest of all files of an output."""
    total = hashlib.sha256()
    for path in sorted(folder.rglob("*")):
        if path.is_file():
            total.update(path.relative_to(folder).as_posix().encode() + path.read_bytes())
    return total.hexdigest()


def kills(count: int) -> None:
    """Kill a job at random instants in every stage, again and again, until each run resumed."""
    seed = time.time_ns() % 10**6
    chance = np.random.default_rng(seed)
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        run(40, str(folder / "whole.zarr"), side=512)
        expected = digest(folder / "whole.zarr")
        stages = ["segment", "link", "write", "finish"]
        hits, same, output = defaultdict(int), 0, folder / "out.zarr"
        for index in range(count):
            stage = stages[index % 4]
            hits[stage] += killed(output, stage, chance.random())
            if index % 4 == 3:
                in_process("slow", str(output), "none", "0")
                same += digest(output) == expected
                output = folder / f"{index}.zarr"
        in_process("slow", str(output), "none", "0")
        same += digest(output) == expected
    runs = count // 4 + 1
    print(f"{dict(hits)} of {count} kills hit; {same} of {runs} resumed jobs equal (seed {seed})")


def killed(output: Path, stage: str, moment: float) -> bool:
    """Kill a job a moment after a stage began; tells whether it was still running."""
    words = [sys.executable, __file__, "slow", str(output), stage, str(moment)]
    process = subprocess.run(words, check=False, capture_output=True)
    return process.returncode == -signal.SIGKILL


def slow(output: str, stage: str, moment: float) -> None:
    """Run a job that kills itself from a thread, a moment after a stage has begun."""
    blocks.segment_everything = threshold
    lengths = {"segment": 1.0, "link": 0.6, "write": 0.3, "finish": 0.02}
    armed = False
    for event in iter_volume(Oracle(), DrawnStack(40, 512), output):
        begins = event.stage == stage or (stage == "finish" and event.stage == "write")
        if begins and not event.resumed and not armed:
            armed = True
            delay = moment * lengths[stage]
            threading.Timer(delay, os.kill, (os.getpid(), signal.SIGKILL)).start()
    print(json.dumps({}))


def nano(depth: int) -> None:
    """Print peak memory of a job with the network that ships."""
    with tempfile.TemporaryDirectory() as folder:
        report = segment_volume(Predictor("nano", "cpu"), DrawnStack(depth), folder + "/out.zarr")
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024
    print(f"{depth} slices with nano: {report.n_objects} objects, peak {peak / 1e9:.2f} GB")


def main() -> None:
    """Run what the words ask for."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("what", choices=("memory", "busy", "kills", "nano", "one", "slow"))
    parser.add_argument("words", nargs="*")
    given = parser.parse_args()
    words = given.words
    if given.what == "memory":
        memory([int(word) for word in words] or [100, 1000])
    elif given.what == "one":
        with tempfile.TemporaryDirectory() as folder:
            print(json.dumps(run(int(words[0]), folder + "/out.zarr")))
    elif given.what == "slow":
        slow(words[0], words[1], float(words[2]))
    else:
        {"busy": busy, "kills": kills, "nano": nano}[given.what](int(words[0]) if words else 60)


if __name__ == "__main__":
    main()
