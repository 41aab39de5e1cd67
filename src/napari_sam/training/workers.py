"""Who differentiates a step: this process, or several that share the network's weights.

On processors, threads inside small operations gain little; whole parts of a step, each in a process
of its own, gain nearly their number. Weights, gradients and batch statistics lie in shared memory.
"""

from __future__ import annotations

import contextlib
import itertools
import signal
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from multiprocessing.connection import Connection
from typing import Protocol

import torch
from torch import Tensor, nn
from torch import multiprocessing as mp

from napari_sam.model.configs import SamConfig
from napari_sam.model.sam import Sam
from napari_sam.training.batches import SampleSource
from napari_sam.training.hints import HintMaker
from napari_sam.training.part_losses import part_losses
from napari_sam.training.prefetching import Prefetcher
from napari_sam.training.recipe import Recipe
from napari_sam.training.tuning import Tuning, prepare
from napari_sam.training.view_config import view_config

Losses = dict[str, float]


@dataclass(frozen=True)
class Order:
    """What to differentiate."""

    step: int
    prompted: bool
    frozen_norms: bool


class Workers(Protocol):
    """Differentiates whole steps."""

    def run(self, order: Order) -> list[Losses]:
        """Set the network's gradients and batch statistics; returns the losses of each part."""
        ...

    def close(self) -> None:
        """Stop."""
        ...


def process_count(recipe: Recipe, device: torch.device, workers: int) -> int:
    """Return how many processes compute the parts of a step: on a processor, one part at least.

    Raises
    ------
    ValueError
        If there is no worker.
    """
    if workers < 1:
        raise ValueError(f"workers must be at least 1, got {workers}")
    return min(workers, recipe.parts) if device.type == "cpu" else 1


class LocalWorker:
    """Differentiates parts in this process; the next steps' parts are drawn ahead.

    Parameters
    ----------
    model : Sam
        Gets the gradients.
    recipe, source
        What parts are drawn from.
    first, every : int
        This worker takes the parts first, first + every, ...
    """

    def __init__(
        self,
        model: Sam,
        recipe: Recipe,
        source: SampleSource,
        *,
        first: int = 0,
        every: int = 1,
    ) -> None:
        self._model = model
        self._recipe = recipe
        views = view_config(recipe, model.config)
        parts = range(first, recipe.parts, every)
        self._prefetcher = Prefetcher(source, recipe, views, parts, model.device)
        self._hints = HintMaker(model.device)

    def run(self, order: Order) -> list[Losses]:
        """See `Workers`."""
        model, recipe = self._model, self._recipe
        _set_mode(model, frozen_norms=order.frozen_norms)
        _zero_gradients(model)
        batches = self._prefetcher.draw(order.step)
        statistics = _statistics(model)
        before = [buffer.clone() for buffer in statistics]
        after = [torch.zeros_like(buffer) for buffer in statistics]
        seen = []
        for batch in batches:
            _copy(before, statistics)
            views = batch.seen_on(model.device)
            total, losses = part_losses(model, views, recipe, self._hints, prompted=order.prompted)
            (total / recipe.parts).backward()
            told = torch.stack([loss.detach() for loss in losses.values()]).tolist()
            seen.append(dict(zip(losses, told, strict=True)))
            if statistics:
                torch._foreach_add_(after, statistics, alpha=1 / len(batches))
        _copy(after, statistics)
        return seen

    def close(self) -> None:
        """See `Workers`."""
        self._prefetcher.close()
        self._hints.close()


class WorkerPool:
    """Differentiates the parts of a step in processes.

    Parameters
    ----------
    model : Sam
        Its weights move to shared memory; all parameters are float32.
    recipe, source
        What parts are drawn from.
    count : int
        Processes, which share this one's threads; no more than there are parts.
    """

    def __init__(self, model: Sam, recipe: Recipe, source: SampleSource, count: int) -> None:
        self._model = model
        threads = max(1, torch.get_num_threads() // count)
        self._weights = [len(range(i, recipe.parts, count)) / recipe.parts for i in range(count)]
        self._shares = [_Share(model) for _ in range(count)]
        weights = _move_to(model.parameters(), _shared(model.parameters()))
        buffers = {name: buffer.clone() for name, buffer in model.named_buffers()}
        context = mp.get_context("spawn")
        self._pipes: list[Connection] = []
        self._processes = []
        for index, share in enumerate(self._shares):
            ours, theirs = context.Pipe()
            task = _Task(
                model.config, recipe, source, index, count, threads, weights, buffers, share
            )
            process = context.Process(target=_serve, args=(task, theirs), daemon=True)
            process.start()
            theirs.close()
            self._pipes.append(ours)
            self._processes.append(process)

    @torch.no_grad()
    def run(self, order: Order) -> list[Losses]:
        """See `Workers`.

        Raises
        ------
        RuntimeError
            If a process died.
        """
        own = _statistics(self._model)
        for share in self._shares:
            _copy(own, share.views(self._model)[1])
        chains = self._ask(order)
        first, *others = self._shares
        first.statistics.mul_(self._weights[0])
        for other, weight in zip(others, self._weights[1:], strict=True):
            first.gradients.add_(other.gradients)
            first.statistics.add_(other.statistics, alpha=weight)
        gradients, statistics = first.views(self._model)
        for parameter, gradient in zip(self._model.parameters(), gradients, strict=True):
            parameter.grad = gradient if parameter.requires_grad else None
        _copy(statistics, own)
        rows = itertools.zip_longest(*chains)
        return [losses for row in rows for losses in row if losses is not None]

    def close(self) -> None:
        """See `Workers`."""
        for pipe in self._pipes:
            pipe.close()
        for process in self._processes:
            process.join(timeout=10)
            process.terminate()

    def _ask(self, order: Order) -> list[list[Losses]]:
        try:
            for pipe in self._pipes:
                pipe.send(order)
            answers: list[list[Losses] | BaseException] = [pipe.recv() for pipe in self._pipes]
        except (EOFError, OSError):
            raise RuntimeError(
                "A training process died (out of memory?); start again to resume"
            ) from None
        for answer in answers:
            if isinstance(answer, BaseException):
                raise answer
        return [answer for answer in answers if not isinstance(answer, BaseException)]


class _Share:
    """Shared memory that one process answers in: gradients and batch statistics, each as one."""

    def __init__(self, model: Sam) -> None:
        self.gradients = _shared(model.parameters())
        self.statistics = _shared(_statistics(model))

    def views(self, model: Sam) -> tuple[list[Tensor], list[Tensor]]:
        """Return them in the shapes of the network's."""
        return (
            _views(model.parameters(), self.gradients),
            _views(_statistics(model), self.statistics),
        )


@dataclass(frozen=True)
class _Task:
    """What a process needs to know."""

    config: SamConfig
    recipe: Recipe
    source: SampleSource
    index: int
    count: int
    threads: int
    weights: Tensor
    buffers: dict[str, Tensor]
    share: _Share

    def network(self) -> Sam:
        """Build the network on the shared memory."""
        model = Sam(self.config)
        prepare(model, Tuning.parse(self.recipe.tune))
        model.to(memory_format=torch.channels_last)  # type: ignore[call-overload]
        weights = _views(model.parameters(), self.weights)
        gradients, _ = self.share.views(model)
        for parameter, weight, gradient in zip(model.parameters(), weights, gradients, strict=True):
            parameter.data = weight
            parameter.grad = gradient if parameter.requires_grad else None
        _copy(list(self.buffers.values()), [buffer for _, buffer in model.named_buffers()])
        return model


def _serve(task: _Task, pipe: Connection) -> None:
    """Differentiate what comes through the pipe until it closes."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # who orders decides when to stop
    torch.set_num_threads(task.threads)
    model = task.network()
    _, statistics = task.share.views(model)
    own = _statistics(model)
    worker = LocalWorker(model, task.recipe, task.source, first=task.index, every=task.count)
    with contextlib.suppress(EOFError, OSError):  # whoever orders is gone
        while True:
            order = pipe.recv()
            _copy(statistics, own)
            try:
                answer: list[Losses] | BaseException = worker.run(order)
            except Exception as error:  # noqa: BLE001  it is raised where the step was ordered
                answer = error
            _copy(own, statistics)
            pipe.send(answer)
    worker.close()


def _shared(tensors: Iterable[Tensor]) -> Tensor:
    """Return shared memory (n,) float32 for as many numbers as the tensors hold."""
    memory: Tensor = torch.zeros(sum(tensor.numel() for tensor in tensors)).share_memory_()
    return memory


def _views(tensors: Iterable[Tensor], memory: Tensor) -> list[Tensor]:
    """Return memory (n,) cut into the shapes and strides of tensors."""
    views, start = [], 0
    for tensor in tensors:
        views.append(memory.as_strided(tensor.shape, tensor.stride(), start))
        start += tensor.numel()
    return views


def _move_to(parameters: Iterable[nn.Parameter], memory: Tensor) -> Tensor:
    """Move parameters into memory (n,)."""
    own = list(parameters)
    for parameter, view in zip(own, _views(own, memory), strict=True):
        view.copy_(parameter.detach())
        parameter.data = view
    return memory


def _set_mode(model: Sam, *, frozen_norms: bool) -> None:
    model.train()
    for module in model.modules():
        if not isinstance(module, nn.BatchNorm2d):
            continue
        if frozen_norms or not module.weight.requires_grad:
            module.eval()


def _zero_gradients(model: Sam) -> None:
    trained = [parameter for parameter in model.parameters() if parameter.requires_grad]
    for parameter in trained:
        if parameter.grad is None:
            parameter.grad = torch.zeros_like(parameter)
    torch._foreach_zero_([parameter.grad for parameter in trained if parameter.grad is not None])


def _statistics(model: Sam) -> list[Tensor]:
    """Return the running means and variances."""
    return [b for name, b in model.named_buffers() if "running_" in name]


@torch.no_grad()
def _copy(sources: Sequence[Tensor], targets: Sequence[Tensor]) -> None:
    if sources:
        torch._foreach_copy_(list(targets), list(sources))
