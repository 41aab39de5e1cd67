"""Who draws the parts of the coming steps while one is computed: a thread, or several processes."""

from __future__ import annotations

import itertools
import os
import signal
import threading
from abc import ABC, abstractmethod
from collections import deque
from collections.abc import Iterator, Sequence
from concurrent.futures import Future, ProcessPoolExecutor, ThreadPoolExecutor
from concurrent.futures.process import BrokenProcessPool
from multiprocessing import parent_process

import torch
from torch import multiprocessing as mp

from napari_sam.training.batch import Batch
from napari_sam.training.batches import SampleSource, draw_batches
from napari_sam.training.packing import Packed, pack, unpack
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
        self._ahead = processes + _GROUP
        self._pool = ProcessPoolExecutor(
            processes, mp.get_context("spawn"), initializer=_prepare, initargs=(self._draws,)
        )

    def close(self) -> None:
        """See `Drawer`."""
        self._pool.shutdown(cancel_futures=True)

    def _from(self, first: int) -> Iterator[Draw]:
        coming: deque[Future[Packed]] = deque()
        try:
            for following in itertools.count(first):
                coming.append(self._pool.submit(_draw_packed, following))
                if len(coming) > self._ahead:
                    yield unpack(coming.popleft().result())
        except BrokenProcessPool:
            raise RuntimeError(
                "A process that draws views died (out of memory?); start again to resume"
            ) from None


class _Draws:
    """All draws, by their number."""

    def __init__(
        self, source: SampleSource, recipe: Recipe, views: ViewConfig, parts: Sequence[int]
    ) -> None:
        self._given = source, recipe, views
        self._parts = parts

    def __getitem__(self, draw: int) -> Draw:
        return [draw_batches(*self._given, draw, part) for part in self._parts]


_drawn_from: list[_Draws] = []
"""In a process that draws: what it draws from."""


def _prepare(draws: _Draws) -> None:
    """Begin a process that draws; it ends with the one that began it."""
    torch.set_num_threads(1)
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    threading.Thread(target=_end_with_parent, daemon=True).start()
    _drawn_from[:] = [draws]


def _end_with_parent() -> None:
    """Do not stay behind when the process that trains is killed."""
    parent = parent_process()
    if parent is not None:
        parent.join()
        os._exit(1)


def _draw_packed(draw: int) -> Packed:
    return pack(_drawn_from[0][draw])
