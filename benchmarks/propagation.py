"""How well objects are carried through volumes: 3D IoU with the truth, two kinds of prompts.

Every object is annotated with its true mask in its middle slice, or in two slices, and carried both
ways; the network sees all slices at the scale of the true objects. Volumes are those of the data
pack that NAPARI_SAM_DATA names.

    python benchmarks/propagation.py [--volumes embryo_8cell ovule_cells] [--model nano]
        [--threads 1] [--alone] [--objects]
"""

from __future__ import annotations

import argparse
import time
from collections.abc import Callable, Mapping
from functools import partial
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray
from pack import data_pack

from napari_sam.cli.learning import read_labelled_volume
from napari_sam.segmentation.embedding import ImageEmbedding
from napari_sam.segmentation.images import contrast_range
from napari_sam.segmentation.predictor import Predictor
from napari_sam.segmentation.progress import run
from napari_sam.segmentation.propagation import PropagateConfig, PropagatedSlice, iter_propagate
from napari_sam.training.samples import typical_diameter

Embeddings = Callable[[int], ImageEmbedding]
Annotated = Mapping[int, Mapping[int, NDArray[np.bool_]]]

PLACES = {"the middle slice": (0.5,), "two slices": (0.2, 0.8)}
"""Which slices of an object are annotated, as shares of its extent."""


def annotations(labels: NDArray[np.integer], places: tuple[float, ...]) -> Annotated:
    """Take true masks of every object at some of its slices."""
    annotated = {}
    for label in np.unique(labels[labels > 0]).tolist():
        extent = np.flatnonzero((labels == label).any((1, 2))).tolist()
        chosen = {extent[int(place * len(extent))] for place in places}
        annotated[label] = {index: labels[index] == label for index in sorted(chosen)}
    return annotated


def carried(
    predictor: Predictor,
    embed: Embeddings,
    annotated: Annotated,
    shape: tuple[int, ...],
    config: PropagateConfig,
) -> dict[int, NDArray[np.bool_]]:
    """Carry objects through a volume; return their masks (Z, H, W)."""
    masks = {label: np.zeros(shape, bool) for label in annotated}
    for label, slices in annotated.items():
        for index, mask in slices.items():
            masks[label][index] = mask

    def show(turn: PropagatedSlice) -> None:
        for mask in turn.masks:
            masks[mask.label][turn.index] = mask.patch.full_mask(shape[1:])

    run(iter_propagate(embed, predictor, annotated, n_slices=shape[0], config=config), show)
    return masks


def scores(
    carry: Callable[[Annotated], dict[int, NDArray[np.bool_]]],
    annotated: Annotated,
    labels: NDArray[np.integer],
    *,
    alone: bool,
) -> dict[int, float]:
    """Return the 3D IoU of each object, carried together or each alone."""
    groups = [{label: slices} for label, slices in annotated.items()] if alone else [annotated]
    found = {}
    for group in groups:
        for label, mask in carry(group).items():
            truth = labels == label
            found[label] = (mask & truth).sum() / (mask | truth).sum()
    return found


def measure(predictor: Predictor, path: Path, *, alone: bool, listed: bool) -> None:
    """Print the table of one volume."""
    image, labels = read_labelled_volume(path)
    limits = contrast_range(image)
    diameter = typical_diameter(labels[len(labels) // 2])
    embeddings = [
        predictor.embed(plane, contrast_limits=limits, object_diameter=diameter) for plane in image
    ]
    print(f"\n{path.stem}: {labels.shape}, objects of {diameter:.0f} pixels\n")
    print("| annotated | prompts | objects | mean 3D IoU | median 3D IoU | seconds |")
    print("|---|---|---|---|---|---|")
    details = {}
    for name, places in PLACES.items():
        annotated = annotations(labels, places)
        for prompts in ("mask", "box"):
            carry = partial(
                carried,
                predictor,
                embeddings.__getitem__,
                shape=labels.shape,
                config=PropagateConfig(prompts=prompts),
            )
            started = time.perf_counter()
            found = scores(carry, annotated, labels, alone=alone)
            seconds = time.perf_counter() - started
            values = list(found.values())
            print(
                f"| {name} | {prompts} | {len(values)} | {np.mean(values):.3f} | "
                f"{np.median(values):.3f} | {seconds:.0f} |"
            )
            details[name, prompts] = found
    if listed:
        print("\n| object | " + " | ".join(f"{name}, {kind}" for name, kind in details) + " |")
        print("|---" * (1 + len(details)) + "|")
        for label in annotated:
            row = [f"{found[label]:.3f}" for found in details.values()]
            print(f"| {label} | " + " | ".join(row) + " |")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--volumes", nargs="+", default=["embryo_8cell", "ovule_cells"])
    parser.add_argument("--model", default="nano")
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("--alone", action="store_true", help="each object in a run of its own")
    parser.add_argument("--objects", action="store_true", help="list every object, too")
    arguments = parser.parse_args()
    pack = data_pack("volumes/NAME.zarr")
    torch.set_num_threads(arguments.threads)
    predictor = Predictor(arguments.model, "cpu")
    for name in arguments.volumes:
        path = pack / "volumes" / f"{name}.zarr"
        measure(predictor, path, alone=arguments.alone, listed=arguments.objects)


if __name__ == "__main__":
    main()
