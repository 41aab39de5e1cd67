"""Parts of the coming steps are drawn, in a thread, while one is computed."""

from __future__ import annotations

from collections.abc import Sequence
from concurrent.futures import Future, ThreadPoolExecutor

import torch

from napari_sam.training.batch import Batch
from napari_sam.training.batches import SampleSource, draw_batch
from napari_sam.training.crops import Shelf
from napari_sam.training.recipe import Recipe
from napari_sam.training.view_config import ViewConfig

Parts = list[Batch]


class Prefetcher:
    """Draws the parts of steps, one step ahead of who asks for them: on a GPU that trains, itself.

    Parameters
    ----------
    source, recipe, views
        What parts are drawn from; see `draw_batch`.
    parts : sequence of int
        Which parts of each step.
    device : torch.device
        What trains; views for anything but CUDA are drawn on the processor.
    """

    def __init__(
        self,
        source: SampleSource,
        recipe: Recipe,
        views: ViewConfig,
        parts: Sequence[int],
        device: torch.device,
    ) -> None:
        shelf = Shelf(device if device.type == "cuda" else torch.device("cpu"))
        self._given = source, recipe, views, shelf
        self._parts = parts
        self._thread = ThreadPoolExecutor(1)
        self._coming: tuple[int, Future[Parts]] | None = None

    def draw(self, step: int) -> Parts:
        """Return the parts of a step."""
        known, coming = self._coming or (step, self._asked(step))
        if known != step:
            coming = self._asked(step)
        self._coming = step + 1, self._asked(step + 1)
        return coming.result()

    def close(self) -> None:
        """Stop."""
        self._thread.shutdown(cancel_futures=True)

    def _asked(self, step: int) -> Future[Parts]:
        return self._thread.submit(self._drawn, step)

    def _drawn(self, step: int) -> Parts:
        return [draw_batch(*self._given, step, part) for part in self._parts]
