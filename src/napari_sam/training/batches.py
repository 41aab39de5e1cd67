"""Training batches: views of samples, the objects chosen in them, and the right answers."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from napari_sam.training.crops import Crop, draw_crop
from napari_sam.training.recipe import Recipe
from napari_sam.training.samples import Sample
from napari_sam.training.synthetic import draw_scene
from napari_sam.training.targets import instance_targets

_SMALLEST_OBJECT = 24


@dataclass(frozen=True, kw_only=True, eq=False)
class Batch:
    """One step's views and objects.

    Attributes
    ----------
    images : Tensor
        (B, 3, S, S), 0 ... 255.
    instances : Tensor
        (B, 3, S / 2, S / 2) targets of the instance decoder.
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
    object_masks: Tensor
    object_images: Tensor
    object_windows: Tensor
    window: int
    rounds: int
    seed: int


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
        self._groups = groups
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


def draw_batch(source: SampleSource, recipe: Recipe, step: int) -> Batch:
    """Draw the batch of a step; the same step of the same recipe gives the same batch."""
    rng = np.random.default_rng([recipe.seed, step])
    crops = [_draw_view(source, recipe, rng) for _ in range(recipe.batch_size)]
    window = _choose(recipe.windows, rng)
    count = max(recipe.batch_size, int(recipe.objects_per_step * (16 / window) ** 1.4))
    chosen = [
        (image, *found)
        for image, crop in enumerate(crops)
        for found in _choose_objects(crop, rng, -(-count // len(crops)), window)
    ]
    masks = np.stack([mask for _, mask, _ in chosen])
    pooled = torch.from_numpy(masks).float().unflatten(1, (-1, 2)).unflatten(3, (-1, 2))
    targets = np.stack([instance_targets(crop.labels[::2, ::2]) for crop in crops])
    return Batch(
        images=torch.from_numpy(np.stack([crop.image for crop in crops])),
        instances=torch.from_numpy(targets),
        object_masks=pooled.mean((2, 4)),
        object_images=torch.tensor([image for image, _, _ in chosen]),
        object_windows=torch.tensor(np.array([corner for _, _, corner in chosen])),
        window=window,
        rounds=_choose(recipe.rounds, rng),
        seed=int(rng.integers(2**31)),
    )


def _choose(options: Sequence[tuple[int, float]], rng: np.random.Generator) -> int:
    chances = np.array([chance for _, chance in options])
    return int(options[rng.choice(len(options), p=chances / chances.sum())][0])


def _draw_view(source: SampleSource, recipe: Recipe, rng: np.random.Generator) -> Crop:
    """Draw views until one shows an object."""
    diameter = recipe.network.get("object_diameter") or 36.0
    while True:
        crop = draw_crop(
            source.draw(rng), rng, size=recipe.crop_size, diameter=diameter, spread=recipe.spread
        )
        if np.bincount(crop.labels.ravel())[1:].max(initial=0) >= _SMALLEST_OBJECT:
            return crop


def _choose_objects(
    crop: Crop, rng: np.random.Generator, count: int, window: int
) -> list[tuple[NDArray[np.bool_], tuple[int, int]]]:
    """Choose objects (with repetition if there are few) and a window that shows part of each."""
    layers = [crop.labels] if crop.nested is None else [crop.labels, crop.nested]
    candidates = []
    for layer in layers:
        areas = np.bincount(layer.ravel())
        areas[0] = 0
        candidates += [(layer, label) for label in np.flatnonzero(areas >= _SMALLEST_OBJECT)]
    chosen = []
    for index in rng.choice(len(candidates), min(count, 3 * len(candidates)), replace=True):
        layer, label = candidates[index]
        pixels = np.flatnonzero(layer.ravel() == label)
        row, col = divmod(int(pixels[rng.integers(len(pixels))]), layer.shape[1])
        corner = _place_window(row, layer, rng, window), _place_window(col, layer, rng, window)
        top, left, side = corner[0] * 8, corner[1] * 8, window * 8
        mask = layer[top : top + side, left : left + side] == label
        chosen.append((mask, corner))
    return chosen


def _place_window(
    position: int, layer: NDArray[np.int32], rng: np.random.Generator, window: int
) -> int:
    tokens = layer.shape[0] // 8
    margin = min(2, (window - 1) // 2)
    first = position // 8 - int(rng.integers(margin, window - margin))
    return int(np.clip(first, 0, tokens - window))
