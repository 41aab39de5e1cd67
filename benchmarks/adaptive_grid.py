"""What an adaptive grid finds of what the full one does, and at how many decoder calls.

On microscopy (the folder in NAPARI_SAM_DATA), with `nano`: every mask of the full grid of 32 x 32
points, after duplicates were dropped, counts as found if the adaptive grid has one with an IoU of
at least 0.5.

    NAPARI_SAM_DATA=... python benchmarks/adaptive_grid.py [--images 6] [--seed 1]
"""

from __future__ import annotations

import argparse
import os
from collections import defaultdict
from dataclasses import replace
from pathlib import Path

import numpy as np

from napari_sam import EverythingConfig, Predictor
from napari_sam.segmentation.grid import iter_masks
from napari_sam.segmentation.patches import MaskPatch
from napari_sam.segmentation.progress import run
from napari_sam.training.samples import read_pack

SOURCES = ("dsb2018", "usiigaci", "axonsem")
CONFIG = EverythingConfig(mode="grid", pred_iou_thresh=0.5, stability_score_thresh=0.7)


class Counting(Predictor):
    """A predictor that counts the points it decodes."""

    n_points = 0

    def iter_points(self, embedding, points, least_iou, *, screening=False):
        """Decode points, and count them."""
        self.n_points += len(points)
        yield from super().iter_points(embedding, points, least_iou, screening=screening)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--images", type=int, default=6, help="of each source")
    parser.add_argument("--seed", type=int, default=1)
    arguments = parser.parse_args()
    predictor = Counting("nano", "cpu")
    by_source = defaultdict(list)
    for sample in read_pack(Path(os.environ["NAPARI_SAM_DATA"]), split="val"):
        by_source[sample.source].append(sample)
    sums = defaultdict(lambda: [0, 0, 0, 0])
    for source in SOURCES:
        order = np.random.default_rng(arguments.seed).permutation(len(by_source[source]))
        for index in order[: arguments.images]:
            sample = by_source[source][index]
            diameter = predictor.estimate_diameter(sample.image)
            found, calls = [], []
            for points in ("full", "adaptive"):
                predictor.n_points = 0
                config = replace(CONFIG, points=points, object_diameter=diameter)
                records = run(iter_masks(predictor, sample.image, config))
                found.append([MaskPatch(mask=r.mask, corner=r.box[:2]) for r in records])
                calls.append(predictor.n_points)
            hits = sum(any(one.iou_with(other) >= 0.5 for other in found[1]) for one in found[0])
            for name in (source, "all"):
                for place, value in enumerate((hits, len(found[0]), calls[1], calls[0])):
                    sums[name][place] += value
    print("| source | masks of the full grid | found | decoder calls |\n|---|---|---|---|")
    for name, (hits, masks, fewer, every) in sums.items():
        print(f"| {name} | {masks} | {hits / max(masks, 1):.3f} | {fewer / every:.2f} |")


if __name__ == "__main__":
    main()
