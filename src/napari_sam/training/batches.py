"""Drawing of training batches: views of samples, and the objects chosen in them."""

from __future__ import annotations

import dataclasses
import math
import zlib
from collections import defaultdict
from collections.abc import Sequence
from functools import lru_cache
from typing import Any, NamedTuple

import numpy as np
import torch
from numpy.typing import NDArray
from scipy import ndimage
from torch import Tensor
from torch.nn import functional

from napari_sam.training.batch import Batch, Regions
from napari_sam.training.crops import Crop, draw_crop
from napari_sam.training.recipe import Recipe
from napari_sam.training.samples import Sample
from napari_sam.training.synthetic import draw_scene
from napari_sam.training.targets import instance_targets
from napari_sam.training.views import ViewConfig

_SMALLEST_OBJECT = 24
_REGIONS = 8
"""Objects, and pieces of background, of a view that embeddings of kinds are compared on."""
_WIDE = math.log(5)
_SCENES = 500
"""How many scenes are generated: so many that each can be drawn again, and kept."""
_TRIES = 1000
_WHOLES = 0.3
"""How often an object that contains others is asked for, to one of those others."""


class SampleSource:
    """Draws samples: a source, then a cluster of alike items (rare ones more often), then an item.

    Parameters
    ----------
    samples : sequence of Sample
        All real samples.
    weights : dict of str to float
        How often a source is drawn; sources without samples are left out. `synthetic` is generated.
    """

    def __init__(self, samples: Sequence[Sample], weights: dict[str, float]) -> None:
        groups: dict[str, dict[str, list[Sample]]] = defaultdict(lambda: defaultdict(list))
        for sample in samples:
            groups[sample.source][sample.tags.get("cluster", "")].append(sample)
        present = {s: w for s, w in weights.items() if s == "synthetic" or s in groups}
        unlisted = groups.keys() - weights.keys()
        present.update(dict.fromkeys(unlisted, 1.0 if not present else max(present.values())))
        if not present:
            raise ValueError("There is nothing to train on: no samples and no synthetic scenes")
        self._groups = {source: dict(clusters) for source, clusters in groups.items()}
        self._names = sorted(present)
        self._weights = np.array([present[name] for name in self._names])
        self._weights /= self._weights.sum()

    def draw(self, rng: np.random.Generator) -> Sample:
        """Draw a sample."""
        name = self._names[rng.choice(len(self._names), p=self._weights)]
        if name == "synthetic" and name not in self._groups:
            return _scene(int(rng.integers(_SCENES)))
        clusters = sorted(self._groups[name])
        sizes = np.sqrt([len(self._groups[name][cluster]) for cluster in clusters])
        items = self._groups[name][clusters[rng.choice(len(clusters), p=sizes / sizes.sum())]]
        return items[rng.integers(len(items))]


def draw_batches(
    source: SampleSource, recipe: Recipe, views: ViewConfig, draw: int, part: int = 0
) -> list[Batch]:
    """Draw views, and objects in them for each of the steps that they are used in.

    The same part of the same draw of the same recipe is always the same. Parts of a step have
    windows and rounds in common, so that none waits for another.
    """
    rng = np.random.default_rng([recipe.seed, draw, 1 + part])
    common = np.random.default_rng([recipe.seed, draw])
    drawn = [_draw_view(source, recipe, views, rng) for _ in range(recipe.part_size)]
    crops = [view.crop for view in drawn]
    cells = np.stack([view.crop.inside & view.wide for view in drawn])
    known = views.diameter or recipe.diameter
    shown: dict[str, Any] = {
        "images": torch.from_numpy(np.stack([_as_bytes(crop.image) for crop in crops])),
        "grays": tuple(len(crop.image) == 1 for crop in crops),
        "inside": torch.from_numpy(np.stack([crop.inside for crop in crops])),
        "instances": _instance_targets(crops) if views.instances else torch.empty(0),
        "octaves": torch.tensor([math.log2(crop.diameter / known) for crop in crops]),
        "judged": functional.avg_pool2d(torch.from_numpy(cells).float(), 32),
        "regions": _choose_regions(drawn, rng),
    }
    candidates = [_candidates(crop) for crop in crops]
    return [
        Batch(
            **shown,
            **_objects(candidates, recipe, views, _choose(views.windows, common), rng),
            rounds=_choose(recipe.rounds, common),
            seed=int(rng.integers(2**31)),
            turned=turn > 0,
        )
        for turn in range(recipe.repeats)
    ]


def _objects(
    candidates: Sequence[list[_Candidate]],
    recipe: Recipe,
    views: ViewConfig,
    window: int,
    rng: np.random.Generator,
) -> dict[str, Any]:
    """Choose the objects of a batch.

    Where views show few objects, some are asked for again: a GPU plans anew for every new shape of
    tensors.
    """
    count = max(recipe.part_size, int(recipe.objects_per_part * (16 / window) ** 1.4))
    each = -(-count // len(candidates))
    chosen = [
        (image, *found)
        for image, there in enumerate(candidates)
        for found in _choose_objects(there, rng, each, window, views.stride)
    ]
    missing = each * len(candidates) - len(chosen)
    chosen += [chosen[again] for again in rng.choice(len(chosen), missing)]
    masks = np.stack([_pooled(mask, views.pooling) for _, mask, _ in chosen])
    return {
        "object_masks": torch.from_numpy(np.rint(masks * 255).astype(np.uint8)),
        "object_images": torch.tensor([image for image, _, _ in chosen]),
        "object_windows": torch.tensor(np.array([corner for _, _, corner in chosen])),
        "window": window,
        "stride": views.stride,
    }


def _as_bytes(image: NDArray[np.float32]) -> NDArray[np.uint8]:
    """Return an image (1 or 3, S, S) in 0 ... 1 as bytes (3, S, S)."""
    return np.broadcast_to(np.rint(image * 255).astype(np.uint8), (3, *image.shape[1:]))


@lru_cache(maxsize=_SCENES)
def _scene(seed: int) -> Sample:
    scene = draw_scene(seed)
    narrow: dict[str, Any] = {"labels": scene.labels.astype(np.uint16)}
    if scene.nested is not None:
        narrow["nested"] = scene.nested.astype(np.uint16)
    return dataclasses.replace(scene, **narrow)


def _instance_targets(crops: Sequence[Crop]) -> Tensor:
    targets = [np.rint(instance_targets(crop.labels) * 255).astype(np.uint8) for crop in crops]
    return torch.from_numpy(np.stack(targets))


def _choose(options: Sequence[tuple[int, float]], rng: np.random.Generator) -> int:
    chances = np.array([chance for _, chance in options])
    return int(options[rng.choice(len(options), p=chances / chances.sum())][0])


class _View(NamedTuple):
    """A crop, the source of its sample, and whether its scale was drawn widely."""

    crop: Crop
    source: str
    wide: bool


def _draw_view(
    source: SampleSource, recipe: Recipe, views: ViewConfig, rng: np.random.Generator
) -> _View:
    """Draw views until one shows an object."""
    for _ in range(_TRIES):
        sample = source.draw(rng)
        wide = bool(rng.random() < recipe.wide_share)
        diameter = views.diameter or _as_whole(sample, views.size)
        diameter *= math.exp(rng.uniform(-_WIDE, _WIDE)) if wide else 1
        spread = 0.0 if wide else recipe.spread
        crop = draw_crop(sample, rng, size=views.size, diameter=diameter, spread=spread)
        if np.bincount(crop.labels.ravel())[1:].max(initial=0) >= _SMALLEST_OBJECT:
            return _View(crop, sample.source, wide)
    raise ValueError(
        f"{_TRIES} views showed no object of {_SMALLEST_OBJECT} pixels; are the labels empty?"
    )


def _as_whole(sample: Sample, size: int) -> float:
    """Return the typical diameter of objects where the whole image fits a view, pixels."""
    return sample.diameter * float(size / max(sample.labels.shape))


def _choose_regions(views: Sequence[_View], rng: np.random.Generator) -> Regions:
    """Choose objects and tokens of background to compare the embeddings of."""
    weights, regions = [], []
    for view, (crop, source, _) in enumerate(views):
        origin = zlib.crc32(source.encode()) & 0xFFFF
        areas = np.bincount(crop.labels.ravel(), minlength=1)
        areas[0] = 0
        objects = np.flatnonzero(areas >= _SMALLEST_OBJECT)
        chosen = rng.choice(objects, min(_REGIONS, len(objects)), replace=False)
        masks = [crop.labels == label for label in chosen]
        covered = [_cover(mask) for mask in masks]
        regions += [(view, int(crop.kinds[label]), origin) for label in chosen]
        empty = np.argwhere((_cover(crop.labels > 0) == 0) & (_cover(crop.inside) == 1))
        for row, col in empty[rng.permutation(len(empty))[:_REGIONS]]:
            token = np.zeros_like(covered[0])
            token[row, col] = 1
            covered.append(token)
            regions.append((view, 0, origin))
        weights += covered
    table = torch.tensor(regions)
    return Regions(
        weights=torch.from_numpy(np.stack(weights)).float(),
        views=table[:, 0],
        kinds=table[:, 1],
        sources=table[:, 2],
    )


def _cover(mask: NDArray[np.bool_]) -> NDArray[np.float32]:
    """Return the share of each token (S / 8, S / 8) that a mask (S, S) covers."""
    return _pooled(mask, 8)


def _pooled(mask: NDArray[np.bool_], side: int) -> NDArray[np.float32]:
    """Return the share that a mask covers of each square of this side: 1, 2, 4 or 8 pixels."""
    counts = mask.astype(np.uint8)
    for _ in range(side.bit_length() - 1):
        counts = counts[::2] + counts[1::2]
        counts = counts[:, ::2] + counts[:, 1::2]
    return np.asarray(counts / np.float32(side**2), np.float32)


class _Candidate(NamedTuple):
    """An object that may be asked for: its label in a layer (S, S), its bounds, and how often."""

    layer: NDArray[np.int32]
    label: int
    box: tuple[slice, slice]
    weight: float


def _candidates(crop: Crop) -> list[_Candidate]:
    layers = [(crop.labels, 1.0)]
    if crop.nested is not None:
        layers.append((crop.nested, _WHOLES))
    return [
        _Candidate(layer, label, box, weight)
        for layer, weight in layers
        for label, box in enumerate(ndimage.find_objects(layer), start=1)
        if box is not None and (layer[box] == label).sum() >= _SMALLEST_OBJECT
    ]


def _choose_objects(
    candidates: Sequence[_Candidate],
    rng: np.random.Generator,
    count: int,
    window: int,
    stride: int,
) -> list[tuple[NDArray[np.bool_], tuple[int, ...]]]:
    """Choose objects (with repetition if there are few) and a window that shows part of each."""
    shares = np.array([candidate.weight for candidate in candidates])
    number = min(count, 3 * len(candidates))
    chosen = []
    for index in rng.choice(len(candidates), number, replace=True, p=shares / shares.sum()):
        layer, label, box, _ = candidates[index]
        pixels = np.argwhere(layer[box] == label)
        row, col = pixels[rng.integers(len(pixels))] + [side.start for side in box]
        tokens = layer.shape[0] // stride
        corner = tuple(_place_window(at // stride, tokens, rng, window) for at in (row, col))
        top, left, side = corner[0] * stride, corner[1] * stride, window * stride
        mask = layer[top : top + side, left : left + side] == label
        chosen.append((mask, corner))
    return chosen


def _place_window(position: int, tokens: int, rng: np.random.Generator, window: int) -> int:
    margin = min(2, (window - 1) // 2)
    first = position - int(rng.integers(margin, window - margin))
    return int(np.clip(first, 0, tokens - window))
