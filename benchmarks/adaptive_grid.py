"""What an adaptive grid finds of what the full one does, and at how many decoder calls.

On microscopy (the folder in NAPARI_SAM_DATA), with `nano`: every mask of the full grid of 32 x 32
points, after duplicates were dropped, counts as found if the adaptive grid has one with an IoU of
at least 0.5. The same for those masks that match an object of the ground truth at that IoU. Decoder
calls are all points that the adaptive grid decodes, of 1,024.

    NAPARI_SAM_DATA=... python benchmarks/adaptive_grid.py [--images 6] [--seed 1] [--split val]
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
from napari_sam.training.samples import Sample, read_pack

SOURCES = ("dsb2018", "usiigaci", "axonsem")
CONFIG = EverythingConfig(mode="grid", pred_iou_thresh=0.5, stability_score_thresh=0.7)
ENOUGH = 0.5
"""IoU of what is the same object."""


class Counting(Predictor):
    """A predictor that counts the points it decodes."""

    n_points = 0

    def iter_points(self, embedding, points, least_iou, *, screening=False):
        """Decode points, and count them."""
        self.n_points += len(points)
        yield from super().iter_points(embedding, points, least_iou, screening=screening)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--images", type=int, default=6, help="of each source, at most")
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--split", default="val")
    arguments = parser.parse_args()
    predictor = Counting("nano", "cpu")
    by_source = defaultdict(list)
    for sample in read_pack(Path(os.environ["NAPARI_SAM_DATA"]), split=arguments.split):
        by_source[sample.source].append(sample)
    sums = defaultdict(lambda: np.zeros(7, int))
    for source in SOURCES:
        order = np.random.default_rng(arguments.seed).permutation(len(by_source[source]))
        for index in order[: arguments.images]:
            counts = measure(predictor, by_source[source][index])
            print(source, by_source[source][index].name, *counts, flush=True)
            sums[source] += (1, *counts)
            sums["all"] += (1, *counts)
    print(
        "| source | images | masks of the full grid | found | true ones | found | decoder calls |"
    )
    print("|---|---|---|---|---|---|---|")
    for name in (*SOURCES, "all"):
        images, masks, found, true, true_found, calls, every = sums[name]
        shares = found / max(masks, 1), true_found / max(true, 1), calls / every
        print(
            f"| {name} | {images} | {masks:,} | {shares[0]:.3f} | {true:,} | {shares[1]:.3f} "
            f"| {shares[2]:.2f} |"
        )


def measure(predictor: Counting, sample: Sample) -> tuple[int, int, int, int, int, int]:
    """Count the full grid's masks, those found, the same of true ones, and calls of both grids."""
    diameter = predictor.estimate_diameter(sample.image)
    masks, calls = [], []
    for points in ("full", "adaptive"):
        predictor.n_points = 0
        config = replace(CONFIG, points=points, object_diameter=diameter)
        records = run(iter_masks(predictor, sample.image, config))
        masks.append([MaskPatch(mask=r.mask, corner=r.box[:2]) for r in records])
        calls.append(predictor.n_points)
    full, adaptive = masks
    hit = np.array([any(one.iou_with(other) >= ENOUGH for other in adaptive) for one in full], bool)
    true = np.array([is_object(one, sample) for one in full], bool)
    return len(full), hit.sum(), true.sum(), (hit & true).sum(), calls[1], calls[0]


def is_object(mask: MaskPatch, sample: Sample) -> bool:
    """Tell whether a mask is an object of the ground truth."""
    window = tuple(
        slice(first, first + length)
        for first, length in zip(mask.corner, mask.mask.shape, strict=True)
    )
    for labels in (sample.labels, sample.nested):
        if labels is not None:
            areas = np.bincount(labels.ravel())
            common = np.bincount(labels[window][mask.mask], minlength=len(areas))
            iou = common / (areas + mask.mask.sum() - common)
            if (iou[1:] >= ENOUGH).any():
                return True
    return False


if __name__ == "__main__":
    main()
