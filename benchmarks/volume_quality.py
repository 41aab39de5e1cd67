"""What linking is worth: 3D AP of slices that are linked, against slices joined where they touch.

Each slice is segmented once, as a volume job does, with one contrast and one object diameter for
all. The same labels are then joined by plain overlap (whatever shares a pixel with the next slice),
by mutual-best overlap alone, and by `Linker`; once as they are, and once without objects smaller
than one cross section of the typical object. Volumes are those of the data pack that
NAPARI_SAM_DATA names; what was tuned was tuned on its train split.

    python benchmarks/volume_quality.py [--split train val] [--volumes embryo_8cell] [--model nano]
        [--iou-thresh 0.5] [--max-gap 1] [--tune] [--json FILE]
"""

from __future__ import annotations

import argparse
import csv
import json
import math
from collections.abc import Iterator
from dataclasses import asdict, dataclass, replace
from itertools import pairwise, product
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray
from pack import data_pack

from napari_sam.cli.learning import read_labelled_volume
from napari_sam.segmentation.everything import EverythingConfig, segment_everything
from napari_sam.segmentation.matching import DisjointSets, find_overlaps, match_labels
from napari_sam.segmentation.predictor import Predictor
from napari_sam.training.detection import Detection, detection
from napari_sam.volume import VolumeConfig, open_source
from napari_sam.volume.contrast import sample_volume, volume_diameter
from napari_sam.volume.gaps import fill_gaps
from napari_sam.volume.link import Linker
from napari_sam.volume.link_config import LinkConfig
from napari_sam.volume.linked_ids import block_offsets

Labels = NDArray[np.uint32]
TUNED = {"iou_thresh": (0.25, 0.35, 0.4, 0.45, 0.5, 0.55, 0.6), "max_gap": (0, 1, 2)}


@dataclass(frozen=True, kw_only=True)
class Segmented:
    """A volume, segmented slice by slice.

    Attributes
    ----------
    name, split : str
        As in the pack's index.
    labels, truth : numpy.ndarray
        (Z, Y, X); ids of `labels` count from 1 in every slice.
    least : int
        Voxels of one cross section of the typical object.
    """

    name: str
    split: str
    labels: Labels
    truth: NDArray[np.integer]
    least: int


def segment(predictor: Predictor, name: str, split: str, path: Path) -> Segmented:
    """Segment a volume as a volume job does."""
    source = open_source(path)
    limits = sample_volume(source).contrast_limits
    diameter = volume_diameter(
        predictor.estimate_diameter, source, limits, most=VolumeConfig.block_size
    )
    config = EverythingConfig(object_diameter=diameter)
    labels = [
        segment_everything(predictor, source.read(z), config, contrast_limits=limits)
        for z in range(source.shape[0])
    ]
    _, truth = read_labelled_volume(path)
    least = round(math.pi / 4 * (diameter or 0) ** 2)
    return Segmented(name=name, split=split, labels=np.stack(labels), truth=truth, least=least)


def joined(labels: Labels, iou_thresh: float | None) -> Labels:
    """Join slices by mutual-best overlap alone, or where they share any pixel."""
    offsets = block_offsets(labels.max((1, 2)))
    sets = DisjointSets(int(offsets[-1]))
    for z, (lower, upper) in enumerate(pairwise(labels)):
        if iou_thresh is None:
            overlaps = find_overlaps(lower, upper)
            pairs = np.stack([overlaps.first, overlaps.second], axis=1)
        else:
            pairs = match_labels(lower, upper, iou_thresh=iou_thresh)
        sets.union_pairs(pairs + offsets[z : z + 2] - 1)
    ids = np.append(0, sets.roots() + 1)
    return np.where(labels > 0, ids[labels + offsets[:-1, None, None]], 0).astype(np.uint32)


def linked(labels: Labels, config: LinkConfig) -> Labels:
    """Link slices as a volume job does."""
    linker = Linker(labels.max((1, 2)), config=config)
    for z, plane in enumerate(labels):
        linker.add_slice(0, z, plane, (slice(None), slice(None)))
    ids = linker.finish()
    planes = [ids.relabel(z, plane) for z, plane in enumerate(labels)]
    if config.smooth:
        planes = [
            fill_gaps(plane, ids.bridges_of(z), labels.__getitem__)
            for z, plane in enumerate(planes)
        ]
    return np.stack(planes)


def without_small(volume: Labels, least: int) -> Labels:
    """Remove objects by their voxels."""
    return np.where(np.bincount(volume.ravel())[volume] >= least, volume, 0)


def compared(volume: Segmented, config: LinkConfig) -> Iterator[tuple[str, bool, Detection]]:
    """Yield the name of each way to join slices, whether small objects are gone, and the result."""
    ways = {
        "plain overlap": joined(volume.labels, None),
        "mutual best": joined(volume.labels, config.iou_thresh),
        "linked": linked(volume.labels, config),
    }
    for sized, (way, found) in product((False, True), ways.items()):
        sifted = without_small(found, volume.least) if sized else found
        yield way, sized, detection(volume.truth, sifted)


def tune(volumes: list[Segmented], config: LinkConfig) -> None:
    """Print the mean over volumes for several settings."""
    print("\n| " + " | ".join(TUNED) + " | AP50 | mean AP | AP50, sized | mean AP, sized |")
    print("|---" * (len(TUNED) + 4) + "|")
    for values in product(*TUNED.values()):
        setting = replace(config, **dict(zip(TUNED, values, strict=True)))
        scores = []
        for volume in volumes:
            found = linked(volume.labels, setting)
            both = (
                detection(volume.truth, found),
                detection(volume.truth, without_small(found, volume.least)),
            )
            scores.append([value for one in both for value in (one.ap50, one.mean_ap)])
        means = [f"{mean:.3f}" for mean in np.mean(scores, axis=0)]
        print("| " + " | ".join([*map(str, values), *means]) + " |", flush=True)


def listed(pack: Path, splits: list[str], names: list[str] | None) -> Iterator[tuple[str, str]]:
    """Yield names and splits of the pack's volumes."""
    with (pack / "index.csv").open(encoding="utf-8", newline="") as file:
        for row in csv.DictReader(file):
            chosen = row["id"] in names if names else row["split"] in splits
            if row["dim"] == "3" and chosen:
                yield row["id"], row["split"]


def report(volumes: list[Segmented], config: LinkConfig) -> list[dict[str, object]]:
    """Print the table, and return its rows."""
    print(
        "| volume | split | joined by | small | objects | AP50 | mean AP | precision | recall ",
        end="",
    )
    print("| split | merged |\n" + "|---" * 11 + "|")
    rows: list[dict[str, object]] = []
    for volume in volumes:
        for way, sized, found in compared(volume, config):
            print(
                f"| {volume.name} | {volume.split} | {way} | {'removed' if sized else 'kept'} "
                f"| {found.n_predicted} of {found.n_true} | {found.ap50:.3f} | {found.mean_ap:.3f} "
                f"| {found.precision:.2f} | {found.recall:.2f} | {found.n_split} "
                f"| {found.n_merged} |",
                flush=True,
            )
            rows.append(
                {
                    "volume": volume.name,
                    "split": volume.split,
                    "way": way,
                    "sized": sized,
                    **asdict(found),
                    "precision": found.precision,
                    "recall": found.recall,
                }
            )
    return rows


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--split", nargs="+", default=["train", "val"])
    parser.add_argument("--volumes", nargs="+", help="by name, whatever their split")
    parser.add_argument("--model", default="nano")
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("--iou-thresh", type=float, default=LinkConfig.iou_thresh)
    parser.add_argument("--max-gap", type=int, default=LinkConfig.max_gap)
    parser.add_argument("--tune", action="store_true", help="go through settings, too")
    parser.add_argument("--json", type=Path, help="write the table's rows to a file")
    options = parser.parse_args()
    pack = data_pack("volumes/NAME.zarr")
    torch.set_num_threads(options.threads)
    predictor = Predictor(options.model, "cpu")
    config = LinkConfig(iou_thresh=options.iou_thresh, max_gap=options.max_gap)
    volumes = [
        segment(predictor, name, split, pack / "volumes" / f"{name}.zarr")
        for name, split in listed(pack, options.split, options.volumes)
    ]
    rows = report(volumes, config)
    if options.json is not None:
        options.json.write_text(json.dumps(rows, indent=1), encoding="utf-8")
    if options.tune:
        tune(volumes, config)


if __name__ == "__main__":
    main()
