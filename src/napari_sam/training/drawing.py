"""Who draws the parts of the coming steps while one is computed: a thread, or several processes."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from typing import Protocol

import torch
from torch.utils.data import DataLoader, Dataset

from napari_sam.training.batches import Batch, SampleSource, draw_batch
from napari_sam.training.recipe import Recipe
from napari_sam.training.views import ViewConfig

Parts = list[Batch]


class Drawer(Protocol):
    """Draws the parts of steps, in the order of the steps."""

    def draw(self, step: int) -> Parts:
        """Return the parts of a step."""
        ...

    def close(self) -> None:
        """Stop."""
        ...


class ThreadDrawer:
    """Draws the parts of the next step in a thread.

    Parameters
    ----------
    source, recipe, views
        What parts are drawn from; see `draw_batch`.
    parts : sequence of int
        Which parts of each step.
    """

    def __init__(
        self, source: SampleSource, recipe: Recipe, views: ViewConfig, parts: Sequence[int]
    ) -> None:
        self._steps = _Steps(source, recipe, views, parts)
        self._thread = ThreadPoolExecutor(1)
        self._coming: tuple[int, Future[Parts]] | None = None

    def draw(self, step: int) -> Parts:
        """See `Drawer`."""
        if self._coming is None or self._coming[0] != step:
            self._coming = self._ask(step)
        parts = self._coming[1]
        self._coming = self._ask(step + 1)
        return parts.result()

    def close(self) -> None:
        """See `Drawer`."""
        self._thread.shutdown(cancel_futures=True)

    def _ask(self, step: int) -> tuple[int, Future[Parts]]:
        return step, self._thread.submit(self._steps.__getitem__, step)


class ProcessDrawer:
    """Draws whole steps ahead in several processes, for a GPU that would wait for one.

    Parameters
    ----------
    source, recipe, views, parts
        As in `ThreadDrawer`.
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
        self._steps = _Steps(source, recipe, views, parts)
        self._last = recipe.steps
        self._processes = processes
        self._coming: tuple[int, Iterator[Parts]] | None = None

    def draw(self, step: int) -> Parts:
        """See `Drawer`."""
        if self._coming is None or self._coming[0] != step:
            self._coming = step, self._from(step)
        parts = next(self._coming[1])
        self._coming = step + 1, self._coming[1]
        return parts

    def close(self) -> None:
        """See `Drawer`."""
        self._coming = None

    def _from(self, step: int) -> Iterator[Parts]:
        loader = DataLoader(
            self._steps,
            batch_size=None,
            sampler=range(step, max(self._last, step + 1)),
            num_workers=self._processes,
            multiprocessing_context="spawn",
            worker_init_fn=_be_modest,
        )
        return iter(loader)


class _Steps(Dataset[Parts]):
    """The parts of each step, by its number."""

    def __init__(
        self, source: SampleSource, recipe: Recipe, views: ViewConfig, parts: Sequence[int]
    ) -> None:
        self._given = source, recipe, views
        self._parts = parts

    def __getitem__(self, step: int) -> Parts:
        return [draw_batch(*self._given, step, part) for part in self._parts]


def _be_modest(_worker: int) -> None:
    torch.set_num_threads(1)
