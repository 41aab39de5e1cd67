"""Peak resident memory of everything on 4096 x 4096 pixels, beyond the model: the bar is 3 GB.

Run: python benchmarks/everything_memory.py [--side 4096] [--modes instances prompts grid]

Discs of about 40 pixels are seen in tiles; discs of about 200 pixels, at which the network sees the
image well as a whole, show what one tile of the largest kind costs. Each row runs in a process of
its own. The grid has 16 points along a side of each tile.
"""

from __future__ import annotations

import argparse
import resource  # not on Windows
import subprocess
import sys
import time

import numpy as np

from napari_sam.segmentation.everything import EverythingConfig, segment_everything
from napari_sam.segmentation.predictor import Predictor

BAR_GB = 3


def peak_gb() -> float:
    """Return the peak resident size of this process, GB."""
    unit = 1 if sys.platform == "darwin" else 1024
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * unit / 1e9


def discs(side: int, diameter: int) -> np.ndarray:
    """Draw noisy discs on a lattice, (side, side) uint16."""
    spacing = round(1.6 * diameter)
    rng = np.random.default_rng(0)
    image = rng.normal(300, 20, (side, side)).astype(np.float32)
    rows, cols = np.mgrid[:spacing, :spacing] - spacing / 2
    for top in range(0, side - spacing, spacing):
        for left in range(0, side - spacing, spacing):
            radius = diameter / 2 * rng.uniform(0.8, 1.2)
            image[top : top + spacing, left : left + spacing] += 900 * (
                rows**2 + cols**2 < radius**2
            )
    return image.astype(np.uint16)


def measure(mode: str, diameter: int, side: int) -> None:
    predictor = Predictor("nano", "cpu")
    loaded = peak_gb()
    image = discs(side, diameter)
    config = EverythingConfig(
        mode=mode,
        object_diameter=diameter,
        points_per_side=16,
        pred_iou_thresh=0.5,
        stability_score_thresh=0.5,
    )
    started = time.perf_counter()
    labels = segment_everything(predictor, image, config)
    seconds = time.perf_counter() - started
    beyond = peak_gb() - loaded
    print(
        f"| {mode} | {diameter} | {labels.max()} | {beyond:.2f} GB | {seconds:.0f} s |", flush=True
    )
    if beyond > BAR_GB:
        raise SystemExit("above the bar")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--side", type=int, default=4096)
    parser.add_argument("--modes", nargs="+", default=["instances", "prompts"])
    parser.add_argument("--diameters", nargs="+", type=int, default=[40, 200])
    parser.add_argument("--one", action="store_true", help="measure in this process")
    options = parser.parse_args()
    if options.one:
        measure(options.modes[0], options.diameters[0], options.side)
        return
    print(f"Peak beyond the model, bar {BAR_GB} GB; {options.side} x {options.side} uint16\n")
    print("| mode | diameter | objects | peak | time |\n|---|---|---|---|---|", flush=True)
    failed = 0
    for mode in options.modes:
        for diameter in options.diameters:
            words = ["--one", "--side", options.side, "--modes", mode, "--diameters", diameter]
            command = [sys.executable, __file__, *map(str, words)]
            failed += subprocess.run(command, check=False).returncode != 0
    if failed:
        raise SystemExit(f"{failed} above the bar")


if __name__ == "__main__":
    main()
