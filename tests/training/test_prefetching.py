"""Parts are drawn ahead, whoever asks in which order."""

import pytest
import torch

from napari_sam.training.batches import SampleSource
from napari_sam.training.prefetching import Prefetcher
from napari_sam.training.view_config import view_config
from tests.training.toys import TINY

VIEWS = view_config(TINY, TINY.sam_config())


def prefetcher() -> Prefetcher:
    return Prefetcher(SampleSource([], TINY.sources), TINY, VIEWS, (0, 1), torch.device("cpu"))


def test_whoever_starts_in_the_middle_gets_the_same():
    first, late = prefetcher(), prefetcher()
    in_a_row = [[part.seed for part in first.draw(step)] for step in range(6)]
    assert [[part.seed for part in late.draw(step)] for step in (3, 4, 5, 0)] == [
        *in_a_row[3:],
        in_a_row[0],
    ]
    assert len({seed for step in in_a_row for seed in step}) == 12
    for each in (first, late):
        each.close()


def test_what_fails_ahead_is_told_when_it_is_asked_for():
    failing = Prefetcher(SampleSource([], TINY.sources), TINY, VIEWS, (-2,), torch.device("cpu"))
    with pytest.raises(ValueError, match="non-negative"):
        failing.draw(0)
    failing.close()
