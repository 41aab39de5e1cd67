"""Who draws the parts of the coming steps while one is computed: a thread, or several processes."""

from __future__ import annotations

import itertools
from abc import ABC, abstractmethod
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor

import torch
from torch.utils.data import DataLoader, Dataset

from napari_sam.training.batch import Batch
from napari_sam.training.batches import SampleSource, draw_batches
from napari_sam.training.recipe import Recipe
from napari_sam.training.views import ViewConfig

Parts = list[Batch]
Draw = list[list[Batch]]
"""The parts of a draw, each for every step that it is used in."""

_GROUP = 8
"""Draws that are used in turn, so that steps that show the same views lie apart."""


def draw_of_step(step: int, repeats: int) -> tuple[int, int]:
    """Return which draw a step uses, and how often that was used before."""
    group, rest = divmod(step, _GROUP * repeats)
    turn, index = divmod(rest, _GROUP)
    return group * _GROUP + index, turn


class Drawer(ABC):
    """Draws the parts of steps, in the order of the steps, ahead of who asks for them.

    Parameters
    ----------
    source, recipe, views
        What parts are drawn from; see `draw_batches`.
    parts : sequence of int
        Which parts of each step.
    """

    def __init__(
        self, source: SampleSource, recipe: Recipe, views: ViewConfig, parts: Sequence[int]
    ) -> None:
        self._draws = _Draws(source, recipe, views, parts)
        self._repeats = recipe.repeats
        self._kept: dict[int, Draw] = {}
        self._coming: tuple[int, Iterator[Draw]] | None = None

    def draw(self, step: int) -> Parts:
        """Return the parts of a step."""
        draw, turn = draw_of_step(step, self._repeats)
        first = draw - draw % _GROUP if turn else draw
        self._kept = {known: kept for known, kept in self._kept.items() if turn or known >= first}
        for missing in range(first, draw + 1):
            if missing not in self._kept:
                self._kept[missing] = self._next(missing)
        return [part[turn] for part in self._kept[draw]]

    @abstractmethod
    def close(self) -> None:
        """Stop."""

    @abstractmethod
    def _from(self, first: int) -> Iterator[Draw]:
        """Return this and all later draws."""

    def _next(self, draw: int) -> Draw:
        if self._coming is None or self._coming[0] != draw:
            self._coming = draw, self._from(draw)
        drawn = next(self._coming[1])
        self._coming = draw + 1, self._coming[1]
        return drawn


class ThreadDrawer(Drawer):
    """Draws ahead in a thread; otherwise as `Drawer`."""

    def __init__(
        self, source: SampleSource, recipe: Recipe, views: ViewConfig, parts: Sequence[int]
    ) -> None:
        super().__init__(source, recipe, views, parts)
        self._thread = ThreadPoolExecutor(1)

    def close(self) -> None:
        """See `Drawer`."""
        self._thread.shutdown(cancel_futures=True)

    def _from(self, first: int) -> Iterator[Draw]:
        coming = self._thread.submit(self._draws.__getitem__, first)
        for following in itertools.count(first + 1):
            ready = coming
            coming = self._thread.submit(self._draws.__getitem__, following)
            yield ready.result()


class ProcessDrawer(Drawer):
    """Draws ahead in several processes, for a GPU that would wait for one.

    Parameters
    ----------
    source, recipe, views, parts
        As in `Drawer`.
    processes : int
        How many.
    """

    def __init__(
        self,
        source: SampleSource,
        recipe: Recipe,
        views: ViewConfig,
        parts: Sequence[int],
        processes: int,
    ) -> None:
        super().__init__(source, recipe, views, parts)
        self._last = draw_of_step(recipe.steps, recipe.repeats)[0] + _GROUP
        self._processes = processes

    def close(self) -> None:
        """See `Drawer`."""
        self._coming = None

    def _from(self, first: int) -> Iterator[Draw]:
        loader = DataLoader(
            self._draws,
            batch_size=None,
            sampler=range(first, max(self._last, first + 1)),
            num_workers=self._processes,
            multiprocessing_context="spawn",
            worker_init_fn=_be_modest,
        )
        return iter(loader)


class _Draws(Dataset[Draw]):
    """All draws, by their number."""

    def __init__(
        self, source: SampleSource, recipe: Recipe, views: ViewConfig, parts: Sequence[int]
    ) -> None:
        self._given = source, recipe, views
        self._parts = parts

    def __getitem__(self, draw: int) -> Draw:
        return [draw_batches(*self._given, draw, part) for part in self._parts]


def _be_modest(_worker: int) -> None:
    torch.set_num_threads(1)
