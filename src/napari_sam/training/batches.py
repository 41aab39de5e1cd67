"""Training batches: views of samples, the objects chosen in them, and the right answers."""

from __future__ import annotations

import dataclasses
import math
import zlib
from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple, TypeVar

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor
from torch.nn import functional

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
_TRIES = 1000
_WHOLES = 0.3
"""How often an object that contains others is asked for, to one of those others."""


@dataclass(frozen=True, kw_only=True, eq=False)
class Regions:
    """Objects and pieces of background, by what kind they are.

    Attributes
    ----------
    weights : Tensor
        (R, S / 8, S / 8) share of each token that the region covers.
    views : Tensor
        (R,) index of the view that each region is in.
    kinds : Tensor
        (R,) equal for objects of one kind in one view; 0 is background.
    sources : Tensor
        (R,) a number for the source of the view.
    """

    weights: Tensor
    views: Tensor
    kinds: Tensor
    sources: Tensor


@dataclass(frozen=True, kw_only=True, eq=False)
class Batch:
    """One part of a step: views and objects.

    As drawn, images are bytes and other values of pixels in half precision, since batches travel
    between processes and devices; `to` makes them float32.

    Attributes
    ----------
    images : Tensor
        (B, 3, S, S), 0 ... 255.
    instances : Tensor
        (B, 3, S, S) targets of the instance decoder.
    octaves : Tensor
        (B,) binary logarithm of the typical diameter over the network's own.
    judged : Tensor
        (B, S / 32, S / 32) share of each cell that shows the sample and not its surroundings; zero
        in views whose scale was not drawn widely, from which only what is usual would be learned.
    regions : Regions
        Where the kind decoder's embeddings are compared.
    object_masks : Tensor
        (K, 4 w, 4 w) targets of the mask decoder in 0 ... 1, at a quarter of the tokens' stride.
    object_images : Tensor
        (K,) index of the view that each object is in.
    object_windows : Tensor
        (K, 2) row and column of each object's window, tokens.
    window : int
        Side of the windows, w, tokens.
    rounds : int
        Prompt rounds.
    seed : int
        For the chances inside the step.
    """

    images: Tensor
    instances: Tensor
    octaves: Tensor
    judged: Tensor
    regions: Regions
    object_masks: Tensor
    object_images: Tensor
    object_windows: Tensor
    window: int
    rounds: int
    seed: int

    def to(self, device: torch.device) -> Batch:
        """Return the batch on a device, pixels in float32."""
        moved = _moved(self, device, regions=_moved(self.regions, device))
        return dataclasses.replace(
            moved,
            images=moved.images.float(),
            instances=moved.instances.float(),
            object_masks=moved.object_masks.float(),
        )


Moved = TypeVar("Moved", "Regions", "Batch")


def _moved(values: Moved, device: torch.device, **given: Any) -> Moved:
    """Return a dataclass with its tensors on a device."""
    fields = {name: value for name, value in vars(values).items() if isinstance(value, Tensor)}
    moved: dict[str, Any] = {name: value.to(device) for name, value in fields.items()}
    return dataclasses.replace(values, **moved, **given)


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
            return draw_scene(int(rng.integers(2**31)))
        clusters = sorted(self._groups[name])
        sizes = np.sqrt([len(self._groups[name][cluster]) for cluster in clusters])
        items = self._groups[name][clusters[rng.choice(len(clusters), p=sizes / sizes.sum())]]
        return items[rng.integers(len(items))]


def draw_batch(
    source: SampleSource, recipe: Recipe, views: ViewConfig, step: int, part: int = 0
) -> Batch:
    """Draw a part of a step's batch; the same part of the same recipe is always the same.

    Parts of a step have windows and rounds in common, so that none waits for another. Where views
    show few objects, some are asked for again: a GPU plans anew for every new shape of tensors.
    """
    common = np.random.default_rng([recipe.seed, step])
    window, rounds = _choose(views.windows, common), _choose(recipe.rounds, common)
    rng = np.random.default_rng([recipe.seed, step, 1 + part])
    drawn = [_draw_view(source, recipe, views, rng) for _ in range(recipe.part_size)]
    crops = [view.crop for view in drawn]
    count = max(recipe.part_size, int(recipe.objects_per_part * (16 / window) ** 1.4))
    chosen = [
        (image, *found)
        for image, crop in enumerate(crops)
        for found in _choose_objects(crop, rng, -(-count // len(crops)), window, views.stride)
    ]
    missing = -(-count // len(crops)) * len(crops) - len(chosen)
    chosen += [chosen[again] for again in rng.choice(len(chosen), missing)]
    masks = torch.from_numpy(np.stack([mask for _, mask, _ in chosen])).float()
    cells = np.stack([view.crop.inside & view.wide for view in drawn])
    known = views.diameter or recipe.diameter
    return Batch(
        images=torch.from_numpy(np.stack([crop.image for crop in crops])).round().byte(),
        instances=_instance_targets(crops) if views.instances else torch.empty(0),
        octaves=torch.tensor([math.log2(crop.diameter / known) for crop in crops]),
        judged=functional.avg_pool2d(torch.from_numpy(cells).float(), 32),
        regions=_choose_regions(drawn, rng),
        object_masks=functional.avg_pool2d(masks, views.pooling).half(),
        object_images=torch.tensor([image for image, _, _ in chosen]),
        object_windows=torch.tensor(np.array([corner for _, _, corner in chosen])),
        window=window,
        rounds=rounds,
        seed=int(rng.integers(2**31)),
    )


def _instance_targets(crops: Sequence[Crop]) -> Tensor:
    return torch.from_numpy(np.stack([instance_targets(crop.labels) for crop in crops])).half()


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
    side = mask.shape[0] // 8
    return np.asarray(mask.reshape(side, 8, side, 8).mean((1, 3)), np.float32)


def _choose_objects(
    crop: Crop, rng: np.random.Generator, count: int, window: int, stride: int
) -> list[tuple[NDArray[np.bool_], tuple[int, ...]]]:
    """Choose objects (with repetition if there are few) and a window that shows part of each."""
    layers = [(crop.labels, 1.0)]
    if crop.nested is not None:
        layers.append((crop.nested, _WHOLES))
    candidates = []
    for layer, weight in layers:
        areas = np.bincount(layer.ravel())
        areas[0] = 0
        large = np.flatnonzero(areas >= _SMALLEST_OBJECT)
        candidates += [(layer, label, weight) for label in large]
    shares = np.array([weight for _, _, weight in candidates])
    number = min(count, 3 * len(candidates))
    chosen = []
    for index in rng.choice(len(candidates), number, replace=True, p=shares / shares.sum()):
        layer, label, _ = candidates[index]
        pixels = np.flatnonzero(layer.ravel() == label)
        row, col = divmod(int(pixels[rng.integers(len(pixels))]), layer.shape[1])
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
