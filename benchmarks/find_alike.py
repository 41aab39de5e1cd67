"""How well others like two examples are found: precision, recall and F1 at an IoU of 0.5.

The examples are two objects of the ground truth, drawn by chance from those that the image's edge
does not cut; all other objects are to be found. The image is embedded at the estimated size of its
objects; or at that of the examples where it is another one, as the dock does. The plain way
segments everything in mode "instances" and keeps what is at most some times larger or smaller than
the examples. Images are those of the data pack that NAPARI_SAM_DATA names.

    python benchmarks/find_alike.py [--sources dsb2018 usiigaci axonsem] [--images 20]
        [--draws 1] [--split val] [--model nano] [--threads 1]
"""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence

import numpy as np
import torch
from pack import data_pack, image_parser

from napari_sam.segmentation.alike import AlikeConfig, find_alike
from napari_sam.segmentation.embedding import ImageEmbedding
from napari_sam.segmentation.everything import EverythingConfig, instances_in
from napari_sam.segmentation.likeness import better_scale
from napari_sam.segmentation.patches import MaskPatch, patches_of
from napari_sam.segmentation.predictor import Predictor
from napari_sam.training.metrics import count_matches
from napari_sam.training.samples import Sample, read_pack

Finder = Callable[[ImageEmbedding, Sequence[MaskPatch]], list[MaskPatch]]

FEWEST = 6
"""Objects of an image."""
SMALLEST = 12
"""Pixels of an example."""


def plain(predictor: Predictor, ratio: float) -> Finder:
    """Segment everything, and filter by size."""

    def found(embedding: ImageEmbedding, examples: Sequence[MaskPatch]) -> list[MaskPatch]:
        low = min(one.area for one in examples) / ratio
        high = max(one.area for one in examples) * ratio
        patches = patches_of(instances_in(predictor, embedding, EverythingConfig()))
        return [
            patch
            for patch in patches
            if low <= patch.area <= high
            and all(patch.share_with(example) <= 0.5 for example in examples)
        ]

    return found


def alike(predictor: Predictor, config: AlikeConfig) -> Finder:
    """Find alike."""

    def found(embedding: ImageEmbedding, examples: Sequence[MaskPatch]) -> list[MaskPatch]:
        return [one.patch for one in find_alike(predictor, embedding, examples, config)]

    return found


def is_whole(patch: MaskPatch, shape: tuple[int, int]) -> bool:
    """Tell whether the image's edge leaves an object alone."""
    top, left, bottom, right = patch.box
    return top > 0 and left > 0 and bottom < shape[0] - 1 and right < shape[1] - 1


def scores(found: Sequence[MaskPatch], truth: Sequence[MaskPatch]) -> tuple[float, float, float]:
    """Return precision, recall and F1."""
    iou = np.array([[one.iou_with(other) for other in truth] for one in found])
    matched = count_matches(iou, 0.5) if iou.size else 0
    return (
        matched / max(len(found), 1),
        matched / max(len(truth), 1),
        2 * matched / max(len(found) + len(truth), 1),
    )


def measure(
    predictor: Predictor,
    samples: Sequence[Sample],
    finders: dict[tuple[str, str], Finder],
    seed: int,
) -> dict[tuple[str, str], list[tuple[float, ...]]]:
    """Return precision, recall, F1 and seconds of every finder on every image."""
    rng = np.random.default_rng(seed)
    rows: dict[tuple[str, str], list[tuple[float, ...]]] = {name: [] for name in finders}
    for sample in samples:
        objects = patches_of(sample.labels)
        shape = (sample.labels.shape[0], sample.labels.shape[1])
        whole = [one for one in objects if is_whole(one, shape) and one.area >= SMALLEST]
        examples = [whole[index] for index in rng.choice(len(whole), 2, replace=False)]
        others = [one for one in objects if all(one is not example for example in examples)]
        estimated = predictor.embed(sample.image)
        better = better_scale(examples, estimated.object_diameter)
        embeddings = {
            "estimated": estimated,
            "examples": estimated
            if better is None
            else predictor.embed(sample.image, object_diameter=better),
        }
        for name, find in finders.items():
            started = time.perf_counter()
            found = find(embeddings[name[1]], examples)
            seconds = time.perf_counter() - started
            rows[name].append((*scores(found, others), seconds))
    return rows


def chosen(samples: Sequence[Sample], count: int, seed: int) -> list[Sample]:
    """Choose images with enough objects."""
    many = [sample for sample in samples if len(np.unique(sample.labels)) > FEWEST]
    order = np.random.default_rng(seed).permutation(len(many))[:count]
    return [many[index] for index in order]


def main() -> None:
    parser = image_parser(__doc__, sources=("dsb2018", "usiigaci", "axonsem"), images=20)
    parser.add_argument("--draws", type=int, default=1, help="of examples, for each image")
    parser.add_argument("--seed", type=int, default=0)
    arguments = parser.parse_args()
    pack = data_pack("images of these sources")
    torch.set_num_threads(arguments.threads)
    predictor = Predictor(arguments.model, "cpu")
    config = AlikeConfig()
    everything, found = plain(predictor, config.max_area_ratio), alike(predictor, config)
    finders = {
        ("everything, filtered by size", "estimated"): everything,
        ("everything, filtered by size", "examples"): everything,
        ("find alike", "estimated"): found,
        ("find alike", "examples"): found,
        ("find alike, by points alone", "examples"): alike(
            predictor, AlikeConfig(use_instances=False)
        ),
    }
    print("| images | way | size | precision | recall | F1 | seconds |")
    print("|---|---|---|---|---|---|---|")
    for source in arguments.sources:
        samples = read_pack(pack, split=arguments.split, sources=[source])
        samples = chosen(samples, arguments.images, arguments.seed)
        rows = measure(predictor, samples * arguments.draws, finders, arguments.seed)
        for (name, size), values in rows.items():
            precision, recall, f1, seconds = np.mean(values, axis=0)
            print(
                f"| {source}, {len(samples)} | {name} | {size} | {precision:.2f} | {recall:.2f} | "
                f"{f1:.2f} | {seconds:.1f} |",
                flush=True,
            )


if __name__ == "__main__":
    main()
