"""What the network's own instance decoder sees under prompts, as masks that answers begin from.

In use, a first click or a box is answered once more from such a hint
(`napari_sam.segmentation.instance_hints`). Here the mask decoder learns how far to trust it.
Objects are separated on processors; meanwhile the device goes on with those that have no hint.
"""

from __future__ import annotations

import os
import signal
from collections.abc import Callable
from concurrent.futures import Executor, Future, ProcessPoolExecutor, ThreadPoolExecutor
from multiprocessing import get_context
from typing import NamedTuple

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from napari_sam.model.sam import PromptBatch
from napari_sam.segmentation.instance_hints import Instances, as_logits, best_fitting
from napari_sam.training.batch import Batch

_MOST_PROCESSES = 16


class Sought(NamedTuple):
    """Prompts of a batch that hints are sought for, all clicks or all boxes, of B objects.

    Attributes
    ----------
    places : ndarray
        (B, 2) row and column of clicks, or (B, 4) boxes (row_min, col_min, row_max, col_max), in
        pixels of the views.
    views : ndarray
        (B,) index of each object's view.
    corners : ndarray
        (B, 2) row and column of each object's window, pixels of the view.
    side, step : int
        Pixels along one side of a window, and of a pixel of a hint.
    """

    places: NDArray[np.float64]
    views: NDArray[np.int64]
    corners: NDArray[np.int64]
    side: int
    step: int

    @classmethod
    def under(cls, prompts: PromptBatch, batch: Batch, part: Tensor) -> Sought:
        """Seek what is under the first prompts of some of a batch's objects.

        Parameters
        ----------
        prompts : PromptBatch
            A point or a box for each object, in pixels of its window.
        batch : Batch
            Views and objects.
        part : Tensor
            (B,) indices of the objects.
        """
        given = prompts.points if prompts.boxes is None else prompts.boxes.unflatten(1, (2, 2))
        if given is None:
            raise ValueError("A hint needs a point or a box")
        corners = batch.object_windows[part] * batch.stride
        places = (given.flip(-1) + corners[:, None]).flatten(1)
        return cls(
            places=places.cpu().numpy(),
            views=batch.object_images[part].cpu().numpy(),
            corners=corners.cpu().numpy(),
            side=batch.window * batch.stride,
            step=batch.stride // 4,
        )

    def in_view(self, view: int) -> Sought:
        """Return those in one view."""
        there = self.views == view
        return self._replace(
            places=self.places[there], views=self.views[there], corners=self.corners[there]
        )


def hints_in_view(maps: NDArray[np.floating], sought: Sought) -> NDArray[np.float32]:
    """Return what is seen under prompts in one view.

    Parameters
    ----------
    maps : ndarray
        (3, S, S) in 0 ... 1, the instance decoder's.
    sought : Sought
        N prompts in this view.

    Returns
    -------
    ndarray
        (N, 4 w, 4 w) logits of the hints in the objects' windows; where nothing is seen, of an
        empty mask.
    """
    ways = Instances.ways(maps.astype(np.float32))
    clicked = sought.places.shape[1] == 2
    separated = [next(ways)] if clicked else list(ways)
    shown = []
    for place, (top, left) in zip(sought.places, sought.corners, strict=True):
        if clicked:
            seen = separated[0]
            label = seen.at(*place)
        else:
            seen, label = best_fitting(separated, place)
        window = slice(top, top + sought.side), slice(left, left + sought.side)
        shown.append(as_logits(seen.mask(label, window) & (label > 0), sought.step))
    return np.stack(shown)


def _begin() -> None:
    """Set up a process: one thread, and the run itself decides what Ctrl+C does."""
    torch.set_num_threads(1)
    signal.signal(signal.SIGINT, signal.SIG_IGN)


class HintMaker:
    """Makes hints beside the device that trains: in processes beside a GPU, else in threads.

    Parameters
    ----------
    device : torch.device
        What trains.
    """

    def __init__(self, device: torch.device) -> None:
        self._makers: Executor = ThreadPoolExecutor()
        if device.type == "cuda":
            count = min(_MOST_PROCESSES, max(1, (os.cpu_count() or 2) - 1))
            self._makers = ProcessPoolExecutor(count, get_context("spawn"), _begin)
        self._sender = ThreadPoolExecutor(1)

    def begin(self, maps: Tensor, sought: Sought) -> Callable[[], Tensor]:
        """Begin to make hints.

        Parameters
        ----------
        maps : Tensor
            (V, 3, S, S) logits of the instance decoder, of the first views of a batch at least.
        sought : Sought
            B prompts in these views.

        Returns
        -------
        callable
            Waits for the hints, (B, 1, 4 w, 4 w) logits on the device of the maps.
        """
        views = np.unique(sought.views).tolist()
        arrive = _brought(maps[: max(views) + 1].detach().sigmoid().half())

        def send() -> list[Future[NDArray[np.float32]]]:
            values = arrive()
            return [
                self._makers.submit(hints_in_view, values[view], sought.in_view(view))
                for view in views
            ]

        sent = self._sender.submit(send)

        def wait() -> Tensor:
            made = np.concatenate([job.result() for job in sent.result()])
            order = np.argsort(np.argsort(sought.views, kind="stable"), kind="stable")
            return torch.from_numpy(made[order])[:, None].to(maps.device, non_blocking=True)

        return wait

    def close(self) -> None:
        """Stop."""
        self._sender.shutdown(cancel_futures=True)
        self._makers.shutdown(cancel_futures=True)


def _brought(values: Tensor) -> Callable[[], NDArray[np.generic]]:
    """Let values come from their device; returns what waits for them."""
    if values.device.type != "cuda":
        return values.numpy
    host = torch.empty(values.shape, dtype=values.dtype, pin_memory=True)
    host.copy_(values, non_blocking=True)
    arrived = torch.cuda.Event()
    arrived.record()

    def wait() -> NDArray[np.generic]:
        arrived.synchronize()
        return np.asarray(host.numpy())

    return wait
