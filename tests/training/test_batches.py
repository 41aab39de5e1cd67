"""Views, objects in them, and how both look when they are used again."""

import dataclasses

import pytest
import torch

from napari_sam.training.batches import SampleSource, draw_batches
from napari_sam.training.views import view_config
from tests.training.toys import TINY

ECHOED = dataclasses.replace(TINY, repeats=3)
VIEWS = view_config(TINY, TINY.sam_config())


def test_batches_are_the_same_from_the_same_draw():
    source = SampleSource([], TINY.sources)
    (one,), (same,), (other,) = (draw_batches(source, TINY, VIEWS, draw) for draw in (5, 5, 6))
    assert torch.equal(one.images, same.images)
    assert torch.equal(one.object_masks, same.object_masks)
    assert not torch.equal(one.images, other.images)


def test_views_that_are_used_again_look_and_ask_otherwise():
    first, *later = draw_batches(SampleSource([], TINY.sources), ECHOED, VIEWS, 3)
    assert len(later) == ECHOED.repeats - 1
    assert all(again.images is first.images for again in later)
    assert len({batch.seed for batch in (first, *later)}) == ECHOED.repeats
    assert [batch.turned for batch in (first, *later)] == [False, True, True]
    cpu = torch.device("cpu")
    assert torch.equal(first.seen_on(cpu).images, first.seen_on(cpu).images)
    assert not torch.equal(first.seen_on(cpu).images, later[0].seen_on(cpu).images)


@pytest.mark.parametrize("way", range(8))
def test_what_is_turned_still_fits_together(way):
    (drawn,) = draw_batches(SampleSource([], TINY.sources), TINY, VIEWS, 4)
    turned = dataclasses.replace(drawn, turned=True, seed=8 * drawn.seed + way)
    for batch in (drawn.seen_on(torch.device("cpu")), turned.seen_on(torch.device("cpu"))):
        foreground = torch.nn.functional.avg_pool2d(batch.instances[:, 0], 2)
        side = 4 * batch.window
        for mask, view, corner in zip(
            batch.object_masks, batch.object_images, 4 * batch.object_windows, strict=True
        ):
            shown = foreground[view, corner[0] : corner[0] + side, corner[1] : corner[1] + side]
            assert mask.max() > 0.5
            assert ((mask - shown) < 0.01).all()
