"""Masks that answers begin from in training: what the instance decoder sees under prompts."""

import dataclasses

import pytest
import torch

from napari_sam.model.sam import PromptBatch, Sam
from napari_sam.training import hints as hints_module
from napari_sam.training.batch import Batch
from napari_sam.training.batches import SampleSource, draw_batch
from napari_sam.training.crops import Shelf
from napari_sam.training.hints import HintMaker, Sought
from napari_sam.training.part_losses import part_losses
from napari_sam.training.simulated_prompts import first_points, jittered_boxes
from napari_sam.training.view_config import view_config
from tests.training.toys import TINY

RECIPE = dataclasses.replace(
    TINY, part_size=3, crop_size=128, objects_per_part=12, windows=((16, 1.0),)
)


@pytest.fixture(scope="module")
def batch() -> Batch:
    views = view_config(RECIPE, RECIPE.sam_config())
    shelf = Shelf(torch.device("cpu"))
    drawn = draw_batch(SampleSource([], RECIPE.sources), RECIPE, views, shelf, 0)
    return drawn.seen_on(shelf.device)


@pytest.fixture(scope="module")
def objects(batch):
    """Indices of objects that are large enough to be told apart, views mixed."""
    large = torch.nonzero(batch.object_masks.flatten(1).sum(1) > 20)[:, 0]
    return large[torch.randperm(len(large), generator=torch.Generator().manual_seed(1))]


@pytest.fixture(scope="module")
def maker():
    """Make hints beside the processor."""
    hints = HintMaker(torch.device("cpu"))
    yield hints
    hints.close()


def prompts_for(batch: Batch, objects, *, boxes: bool) -> PromptBatch:
    """Click on objects, or box them closely, in pixels of their windows."""
    target, scale = batch.object_masks[objects], batch.stride / 4
    generator = torch.Generator().manual_seed(0)
    if boxes:
        return PromptBatch(boxes=jittered_boxes(target, generator, jitter=0) * scale)
    points = (first_points(target, generator).float() + 0.5) * scale - 0.5
    return PromptBatch(points[:, None], torch.ones(len(target), 1, dtype=torch.long))


@pytest.mark.parametrize("boxes", [True, False])
def test_from_maps_that_are_right_the_hints_are_the_objects(batch, objects, maker, boxes):
    prompts = prompts_for(batch, objects, boxes=boxes)
    sought = Sought.under(prompts, batch, objects)
    hints = maker.begin(torch.logit(batch.instances, eps=1e-4), sought)()
    target = batch.object_masks[objects] > 0.5
    assert hints.shape == (len(objects), 1, *target.shape[1:])
    found = hints[:, 0] > 0
    ious = (found & target).sum((1, 2)) / (found | target).sum((1, 2))
    assert len(objects) >= 6
    assert ious.median() > 0.8


def test_where_nothing_is_seen_masks_are_empty(batch, objects, maker):
    for boxes in (True, False):
        sought = Sought.under(prompts_for(batch, objects, boxes=boxes), batch, objects)
        hints = maker.begin(torch.full_like(batch.instances, -9), sought)()
        assert (hints < 0).all()


def test_a_hint_needs_something_to_look_at(batch, objects):
    with pytest.raises(ValueError, match="point or a box"):
        Sought.under(PromptBatch(), batch, objects)


@pytest.fixture
def asked(monkeypatch):
    """Note what the decoder is asked with in each round."""
    noted = []
    decode = Sam.decode

    def noting(model, image, prompts, origin=None):
        noted.append(prompts)
        return decode(model, image, prompts, origin)

    monkeypatch.setattr(Sam, "decode", noting)
    return noted


@pytest.mark.parametrize(("share", "hinted"), [(0.0, 0), (0.5, 6), (1.0, 12)])
def test_so_many_first_answers_begin_from_hints(batch, asked, maker, share, hinted):
    torch.manual_seed(0)
    model = Sam(RECIPE.sam_config()).train()
    one_round = dataclasses.replace(batch, rounds=1)
    recipe = dataclasses.replace(RECIPE, hint_share=share, box_share=0.5)
    total, losses = part_losses(model, one_round, recipe, maker, prompted=True)
    total.backward()
    assert torch.isfinite(losses["masks"])
    assert sum(prompts.n_objects for prompts in asked) == 12
    assert sum(p.n_objects for p in asked if p.masks is not None) == hinted


def test_only_views_whose_objects_are_hinted_are_separated(batch, asked, maker, monkeypatch):
    views = []
    see = hints_module.hints_in_view

    def noting(maps, sought):
        views.append(set(sought.views.tolist()))
        return see(maps, sought)

    monkeypatch.setattr(hints_module, "hints_in_view", noting)
    model = Sam(RECIPE.sam_config()).train()
    one_round = dataclasses.replace(batch, rounds=1)
    recipe = dataclasses.replace(RECIPE, hint_share=0.25, box_share=0.5)
    part_losses(model, one_round, recipe, maker, prompted=True)
    assert {0} in views
    assert all(there == {0} for there in views)
    assert sum(p.n_objects for p in asked if p.masks is not None) in (2, 3, 4)
    assert sum(prompts.n_objects for prompts in asked) == 12


def test_boxes_are_as_close_as_the_recipe_says(batch, asked, maker):
    model = Sam(RECIPE.sam_config()).train()
    one_round = dataclasses.replace(batch, rounds=1)
    spreads = []
    for jitter in (0.0, 0.02, 0.2):
        recipe = dataclasses.replace(RECIPE, box_share=1.0, box_jitter=jitter)
        part_losses(model, one_round, recipe, maker, prompted=True)
        spreads.append(asked[-1].boxes - asked[0].boxes)
    exact, close, loose = (spread.abs().mean() for spread in spreads)
    assert exact == 0
    assert 0 < close < loose / 5


def test_later_rounds_go_on_from_answers_not_hints(batch, asked, maker):
    torch.manual_seed(0)
    model = Sam(RECIPE.sam_config()).train()
    recipe = dataclasses.replace(RECIPE, hint_share=1.0, box_share=0.0, silent_share=0.0)
    part_losses(model, dataclasses.replace(batch, rounds=2), recipe, maker, prompted=True)
    first, second = asked
    assert first.points.shape[1] == 1
    assert second.points.shape[1] == 2
    assert not torch.equal(first.masks, second.masks)
