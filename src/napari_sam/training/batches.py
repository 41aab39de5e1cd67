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
from torch import Tensor
from torch.nn import functional

from napari_sam.training.batch import Batch
from napari_sam.training.crops import Crops, Look, Shelf, draw_crops, draw_look
from napari_sam.training.object_choice import Objects, choose_objects, choose_regions
from napari_sam.training.recipe import Recipe
from napari_sam.training.samples import Sample
from napari_sam.training.synthetic import draw_scene
from napari_sam.training.targets import instance_targets
from napari_sam.training.view_config import ViewConfig

_WIDE = math.log(5)
_SCENES = 500
"""How many scenes are generated: so many that each can be drawn again, and kept."""
_TRIES = 100


class SampleSource:
    """Draws samples: a source, then a cluster of alike items (rare ones more often), then an item.

    Parameters
    ----------
    samples : sequence of Sample
        All real samples.
    weights : dict of str to float
        How often a source is drawn; `synthetic` is generated. Sources that are not listed get the
        share of the listed ones that have no samples; if all have some, each is drawn as often as
        the most drawn listed one.

    Raises
    ------
    ValueError
        If there is nothing to draw.
    """

    def __init__(self, samples: Sequence[Sample], weights: dict[str, float]) -> None:
        groups: dict[str, dict[str, list[Sample]]] = defaultdict(lambda: defaultdict(list))
        for sample in samples:
            groups[sample.source][sample.tags.get("cluster", "")].append(sample)
        present = _shares(set(groups), weights)
        if not any(present.values()):
            raise ValueError(
                "There is nothing to train on: no samples and no synthetic scenes, or all with a "
                "share of 0"
            )
        self._clusters = {source: _by_root_of_size(there) for source, there in groups.items()}
        self._names = sorted(present)
        self._weights = np.array([present[name] for name in self._names])
        self._weights /= self._weights.sum()

    def draw(self, rng: np.random.Generator) -> Sample:
        """Draw a sample."""
        name = self._names[rng.choice(len(self._names), p=self._weights)]
        if name == "synthetic" and name not in self._clusters:
            return _scene(int(rng.integers(_SCENES)))
        clusters, shares = self._clusters[name]
        items = clusters[rng.choice(len(clusters), p=shares)]
        return items[rng.integers(len(items))]


def _shares(sources: set[str], weights: dict[str, float]) -> dict[str, float]:
    """Return how often each source is drawn that has samples or is generated."""
    present = {s: w for s, w in weights.items() if s == "synthetic" or s in sources}
    unlisted = sources - weights.keys()
    absent = sum(w for s, w in weights.items() if s not in present)
    real = {s: w for s, w in present.items() if s in sources} or present
    share = absent / max(1, len(unlisted)) or max(real.values(), default=1.0) or 1.0
    return {**present, **dict.fromkeys(unlisted, share)}


def _by_root_of_size(
    clusters: dict[str, list[Sample]],
) -> tuple[list[list[Sample]], NDArray[np.float64]]:
    """Return clusters, and how often each is drawn: by the root of how many items it has."""
    items = [clusters[name] for name in sorted(clusters)]
    sizes = np.sqrt([len(there) for there in items])
    return items, sizes / sizes.sum()


def draw_batch(
    source: SampleSource, recipe: Recipe, views: ViewConfig, shelf: Shelf, step: int, part: int = 0
) -> Batch:
    """Draw views and objects in them, on the device of the shelf.

    The same part of the same step of the same recipe is always the same on the same device. Parts
    of a step have window and rounds in common, so that none waits for another.
    """
    rng = np.random.default_rng([recipe.seed, step, 1 + part])
    common = np.random.default_rng([recipe.seed, step])
    shown, crops, objects = _draw_views(source, recipe, views, shelf, rng)
    generator = torch.Generator(shelf.device).manual_seed(int(rng.integers(2**31)))
    window = _choose(views.windows, common)
    count = max(recipe.part_size, int(recipe.objects_per_part * (16 / window) ** 1.4))
    chosen = choose_objects(
        objects, generator, count=count, window=window, stride=views.stride, pooling=views.pooling
    )
    known = views.diameter or recipe.diameter
    octaves = [math.log2(view.look.scale * view.look.sample.diameter / known) for view in shown]
    wide = torch.tensor([view.wide for view in shown]).to(shelf.device)
    return Batch(
        images=_as_bytes(crops.images),
        grays=tuple(view.look.sample.image.ndim == 2 for view in shown),
        plain=torch.tensor([view.plain for view in shown]),
        inside=crops.inside,
        instances=_as_bytes(instance_targets(crops.labels)) if views.instances else torch.empty(0),
        octaves=torch.tensor(octaves),
        size_weights=functional.avg_pool2d((crops.inside * wide[:, None, None]).float(), 32),
        regions=choose_regions(
            objects,
            crops.inside,
            generator,
            kinds=[view.look.sample.kinds_of_labels() for view in shown],
            sources=[zlib.crc32(view.look.sample.source.encode()) & 0xFFFF for view in shown],
        ),
        object_masks=_as_bytes(chosen.masks),
        object_images=chosen.views,
        object_windows=chosen.corners,
        window=window,
        stride=views.stride,
        rounds=_choose(recipe.rounds, common),
        seed=int(rng.integers(2**31)),
    )


def _as_bytes(values: Tensor) -> Tensor:
    """Return values in 0 ... 1 as bytes."""
    return (values * 255).round().byte()


@lru_cache(maxsize=_SCENES)
def _scene(seed: int) -> Sample:
    scene = draw_scene(seed)
    narrow: dict[str, Any] = {"labels": scene.labels.astype(np.uint16)}
    if scene.nested is not None:
        narrow["nested"] = scene.nested.astype(np.uint16)
    return dataclasses.replace(scene, **narrow)


def _choose(options: Sequence[tuple[int, float]], rng: np.random.Generator) -> int:
    chances = np.array([chance for _, chance in options])
    return int(options[rng.choice(len(options), p=chances / chances.sum())][0])


class _View(NamedTuple):
    """Where a view looks, whether its scale was drawn widely, and whether its look stays as is."""

    look: Look
    wide: bool
    plain: bool


def _draw_views(
    source: SampleSource, recipe: Recipe, views: ViewConfig, shelf: Shelf, rng: np.random.Generator
) -> tuple[list[_View], Crops, Objects]:
    """Draw views; those that show no object are drawn again."""
    shown = [_draw_view(source, recipe, views, rng) for _ in range(recipe.part_size)]
    crops = draw_crops([view.look for view in shown], views.size, shelf)
    for _ in range(_TRIES):
        objects = Objects(crops.labels, crops.nested)
        empty = objects.missing()
        if not empty:
            return shown, crops, objects
        again = [_draw_view(source, recipe, views, rng) for _ in empty]
        redrawn = draw_crops([view.look for view in again], views.size, shelf)
        for index, view in zip(empty, again, strict=True):
            shown[index] = view
        for old, new in zip(vars(crops).values(), vars(redrawn).values(), strict=True):
            old[empty] = new
    raise ValueError(f"{_TRIES} views in a row showed no object large enough; are labels empty?")


def _draw_view(
    source: SampleSource, recipe: Recipe, views: ViewConfig, rng: np.random.Generator
) -> _View:
    sample = source.draw(rng)
    diameter, wide = views.diameter, False
    if diameter is not None:  # a network with a fixed input judges no sizes
        wide = bool(rng.random() < recipe.wide_share)
        diameter *= math.exp(rng.uniform(-_WIDE, _WIDE)) if wide else 1
    spread = 0.0 if wide else recipe.spread
    look = draw_look(sample, rng, size=views.size, diameter=diameter, spread=spread)
    return _View(look, wide, bool(rng.random() < recipe.plain_share))
