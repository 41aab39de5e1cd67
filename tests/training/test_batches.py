"""Views, and what is asked for in them."""

import dataclasses

import numpy as np
import pytest
import torch

from napari_sam.model.configs import SamConfig, ViTConfig
from napari_sam.training.batches import SampleSource, _draw_view, draw_batch
from napari_sam.training.crops import Shelf
from napari_sam.training.object_choice import Objects, choose_objects, choose_regions
from napari_sam.training.recipe import Recipe, read_recipe
from napari_sam.training.samples import Sample
from napari_sam.training.view_config import view_config
from tests.training.toys import TINY

VIEWS = view_config(TINY, TINY.sam_config())
GIVEN = SampleSource([], TINY.sources), TINY, VIEWS, Shelf(torch.device("cpu"))


def test_batches_are_the_same_from_the_same_step():
    one, same, other = (draw_batch(*GIVEN, step) for step in (5, 5, 6))
    assert torch.equal(one.images, same.images)
    assert torch.equal(one.object_masks, same.object_masks)
    assert torch.equal(one.regions.weights, same.regions.weights)
    assert not torch.equal(one.images, other.images)


@pytest.mark.parametrize("step", range(8))
def test_masks_lie_on_the_objects_of_their_views(step):
    recipe = dataclasses.replace(TINY, part_size=3)
    batch = draw_batch(GIVEN[0], recipe, *GIVEN[2:], step).seen_on(torch.device("cpu"))
    foreground = torch.nn.functional.avg_pool2d(batch.instances[:, 0], 2)
    side = 4 * batch.window
    for mask, view, corner in zip(
        batch.object_masks, batch.object_images, 4 * batch.object_windows, strict=True
    ):
        shown = foreground[view, corner[0] : corner[0] + side, corner[1] : corner[1] + side]
        assert mask.max() > 0
        if batch.window == 8:  # whole cells around nuclei are asked for, too
            assert mask.sum() >= 24 / 4 - 0.1
        assert ((mask * 255).round() - mask * 255).abs().max() < 1e-3
        assert shown.shape == mask.shape


@pytest.mark.parametrize("share", [0.0, 0.5, 1.0])
def test_a_share_of_the_views_looks_as_its_samples_do(share):
    recipe = dataclasses.replace(TINY, part_size=12, plain_share=share)
    batch = draw_batch(GIVEN[0], recipe, *GIVEN[2:], 0)
    seen = batch.seen_on(torch.device("cpu"))
    inside = batch.inside[:, None]
    alike = torch.where(inside, seen.images == batch.images, True).all((1, 2, 3))
    assert torch.equal(alike, batch.plain)
    assert abs(batch.plain.float().mean() - share) <= 0.4


def squares() -> Objects:
    """Return three views: nine squares, a square in a large one, and one that is too small."""
    labels = torch.zeros(3, 64, 64, dtype=torch.int32)
    for index in range(9):
        row, col = 20 * (index // 3) + 2, 20 * (index % 3) + 2
        labels[0, row : row + 6 + index, col : col + 6 + index] = index + 1
    nested = torch.zeros_like(labels)
    labels[1, 20:30, 20:30] = 2
    nested[1, 10:50, 10:50] = 1
    labels[2, 5:9, 5:9] = 1
    return Objects(labels, nested)


def chosen_from(objects: Objects, count: int, seed: int = 0) -> tuple[torch.Tensor, ...]:
    generator = torch.Generator().manual_seed(seed)
    return choose_objects(objects, generator, count=count, window=8, stride=8, pooling=2)


def test_views_without_objects_that_are_large_enough_are_told():
    assert squares().missing() == [2]


def test_objects_are_chosen_alike_whatever_their_size():
    objects = squares()
    shown = Objects(*objects.layers[:1].unbind(1))
    masks, _, corners = chosen_from(shown, 27)
    assert masks.shape == (27, 32, 32)
    assert not corners.any()
    areas = [round(float(mask.sum() * 4)) for mask in masks]
    sizes = {(6 + index) ** 2 for index in range(9)}
    assert set(areas) <= sizes
    assert len(set(areas)) > 5


def test_where_few_objects_are_others_are_asked_for_again():
    objects = squares()
    shown = Objects(*objects.layers[:2].unbind(1))
    areas = set()
    for seed in range(8):
        masks, views, _ = chosen_from(shown, 80, seed)
        assert len(masks) == 80
        alone = [round(float(mask.sum() * 4)) for mask in masks[views == 1]]
        assert 6 <= len(alone) < 30
        areas |= set(alone)
    assert areas == {100, 1600}


def test_regions_are_objects_and_background_within_the_samples():
    objects = squares()
    inside = torch.ones(3, 64, 64, dtype=torch.bool)
    inside[:, :, 56:] = False
    kinds = [np.arange(10) % 2 + 1, np.array([0, 5, 6]), np.ones(2, int)]
    generator = torch.Generator().manual_seed(1)
    regions = choose_regions(objects, inside, generator, kinds=kinds, sources=[7, 8, 9])
    found = regions.kinds > 0
    assert torch.bincount(regions.views[found], minlength=3).tolist() == [8, 1, 0]
    assert torch.bincount(regions.views[~found], minlength=3).tolist() == [8, 8, 8]
    assert regions.kinds[found & (regions.views == 1)].tolist() == [6]
    assert set(regions.kinds[found & (regions.views == 0)].tolist()) == {1, 2}
    assert torch.equal(regions.sources, regions.views + 7)
    assert not regions.weights[~found, :, 7].any()
    labels = objects.layers[:, 0] > 0
    for weights, view in zip(regions.weights[~found], regions.views[~found], strict=True):
        assert weights.sum() == 1
        row, col = (int(place) for place in torch.nonzero(weights)[0])
        assert not labels[view, 8 * row : 8 * row + 8, 8 * col : 8 * col + 8].any()
    square = regions.weights[found & (regions.views == 1)][0]
    assert float(square.sum()) * 64 == pytest.approx(100)


def items(*sources: str) -> list[Sample]:
    pixels = np.ones((8, 8), np.int32)
    return [Sample(name=name, source=name, image=pixels, labels=pixels) for name in sources]


def drawn_from(sources: list[str], weights: dict[str, float]) -> dict[str, float]:
    source = SampleSource(items(*sources), weights)
    return dict(zip(source._names, source._weights.round(3).tolist(), strict=True))


LISTED = {"a": 0.6, "b": 0.2, "synthetic": 0.2}


@pytest.mark.parametrize(
    ("sources", "weights", "expected"),
    [
        (["a", "b"], LISTED, {"a": 0.6, "b": 0.2, "synthetic": 0.2}),
        (["mine"], LISTED, {"mine": 0.8, "synthetic": 0.2}),
        (["mine", "yours"], LISTED, {"mine": 0.4, "yours": 0.4, "synthetic": 0.2}),
        (["a", "mine"], LISTED, {"a": 0.6, "mine": 0.2, "synthetic": 0.2}),
        (["a", "b", "mine"], LISTED, {"a": 0.375, "b": 0.125, "mine": 0.375, "synthetic": 0.125}),
        (["mine"], {"synthetic": 0.5}, {"mine": 0.5, "synthetic": 0.5}),
        (["mine", "yours"], {}, {"mine": 0.5, "yours": 0.5}),
    ],
)
def test_sources_that_are_not_listed_take_the_place_of_absent_ones(sources, weights, expected):
    assert drawn_from(sources, weights) == expected


def test_a_folder_with_the_recipe_of_nano_is_all_but_five_percent():
    shares = drawn_from(["mine"], read_recipe("nano").sources)
    assert shares == {"mine": 0.95, "synthetic": 0.05}


def test_scenes_are_generated_only_where_they_are_asked_for():
    assert drawn_from(["mine"], Recipe().sources) == {"mine": 1.0}
    for weights in (Recipe().sources, {"synthetic": 0.0}):
        with pytest.raises(ValueError, match="nothing to train on"):
            SampleSource([], weights)


def test_networks_with_a_fixed_input_see_whole_images():
    """Whatever the side of the image is: about as large as in use, and never drawn widely."""
    encoder = ViTConfig(
        image_size=64, embed_dim=32, depth=1, num_heads=2, mlp_dim=32, global_attn_indexes=(0,)
    )
    recipe = dataclasses.replace(TINY, wide_share=1.0, spread=1.0)
    views = view_config(recipe, SamConfig(encoder=encoder))
    for shape in ((8, 8), (30, 600), (1200, 900)):
        labels = np.zeros(shape, np.int32)
        labels[:4, :4] = 1
        sample = Sample(name="x", source="x", image=labels, labels=labels)
        source = SampleSource([sample], {})
        rng = np.random.default_rng(0)
        shown = [_draw_view(source, recipe, views, rng) for _ in range(30)]
        ratios = [view.look.scale * max(shape) / 64 for view in shown]
        assert min(ratios) == pytest.approx(1 / 1.5)
        assert max(ratios) == pytest.approx(1.5)
        assert not any(view.wide for view in shown)


def test_labels_without_objects_are_told_of():
    labels = np.zeros((80, 80), np.int32)
    empty = Sample(name="empty", source="mine", image=labels, labels=labels)
    with pytest.raises(ValueError, match="showed no object large enough"):
        draw_batch(SampleSource([empty], {"mine": 1.0}), *GIVEN[1:], 0)
