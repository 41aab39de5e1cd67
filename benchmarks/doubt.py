"""How well doubt tells masks that are right from those that are not, and what a limit of it keeps.

Everything is found in each image, and the mask decoder judges each mask, as "Everything in view"
does. A mask is right at an IoU of 0.5 with an object. Images are those of the data pack that
NAPARI_SAM_DATA names; large ones are cut to their middle.

    python benchmarks/doubt.py [--sources dsb2018 axonsem usiigaci] [--images 12] [--split val]
        [--model nano] [--threads 1]
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import torch
from numpy.typing import NDArray
from pack import data_pack, image_parser

from napari_sam.segmentation.doubt import iter_confidence
from napari_sam.segmentation.everything import EverythingConfig, segment_everything
from napari_sam.segmentation.patches import patches_of
from napari_sam.segmentation.predictor import Predictor
from napari_sam.segmentation.progress import run
from napari_sam.training.metrics import iou_matrix
from napari_sam.training.samples import read_pack

SIDE = 700
LIMITS = (0.2, 0.3, 0.4)


def middle(array: NDArray[np.generic]) -> NDArray[np.generic]:
    """Cut the middle out of an image."""
    top, left = (max(0, length - SIDE) // 2 for length in array.shape[:2])
    return array[top : top + SIDE, left : left + SIDE]


def judged(
    predictor: Predictor, image: NDArray[np.generic], labels: NDArray[np.integer]
) -> list[tuple[float, bool]]:
    """Return each found mask's doubt, and whether it is right."""
    found = segment_everything(predictor, image, EverythingConfig())
    if not found.any():
        return []
    right = iou_matrix(labels, found).max(0, initial=0) >= 0.5
    confidences = run(iter_confidence(predictor, predictor.embed(image), patches_of(found)))
    return [(one.doubt, bool(good)) for one, good in zip(confidences, right, strict=True)]


def area_under_curve(doubts: NDArray[np.floating], right: NDArray[np.bool_]) -> float:
    """Return how often a mask that is right is in less doubt than one that is not."""
    good, bad = doubts[right][:, None], doubts[~right][None]
    return float(((good < bad) + 0.5 * (good == bad)).mean()) if good.size and bad.size else 1.0


def row(source: str, pairs: Sequence[tuple[float, bool]]) -> str:
    """Return a line of the table."""
    doubts = np.array([doubt for doubt, _ in pairs])
    right = np.array([good for _, good in pairs])
    cells = [source, f"{len(pairs)}", f"{right.mean():.0%}"]
    for limit in LIMITS:
        kept = doubts <= limit
        precision = right[kept].mean() if kept.any() else 0.0
        cells.append(f"{precision:.0%}, {(right & kept).sum() / max(1, right.sum()):.0%}")
    cells.append(f"{area_under_curve(doubts, right):.2f}")
    return f"| {' | '.join(cells)} |"


def main() -> None:
    sources = ("dsb2018", "axonsem", "usiigaci")
    arguments = image_parser(__doc__, sources=sources, images=12).parse_args()
    pack = data_pack("images of these sources")
    torch.set_num_threads(arguments.threads)
    predictor = Predictor(arguments.model, "cpu")
    limits = " | ".join(f"up to a doubt of {limit}: right, of all right ones" for limit in LIMITS)
    print(f"| images | masks | right | {limits} | area under the curve |")
    print(f"|{'---|' * (len(LIMITS) + 4)}")
    for source in arguments.sources:
        samples = read_pack(pack, split=arguments.split, sources=[source])
        order = np.random.default_rng(0).permutation(len(samples))[: arguments.images]
        pairs = [
            pair
            for index in order
            for pair in judged(
                predictor, middle(samples[index].image), middle(samples[index].labels)
            )
        ]
        print(row(f"{source}, {len(order)}", pairs), flush=True)


if __name__ == "__main__":
    main()
