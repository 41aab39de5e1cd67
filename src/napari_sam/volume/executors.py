"""Who does the blocks of a volume: this process, one process per device, or a dask cluster.

Whoever it is, a block's labels go straight to the scratch, and only their number and checksum come
back; they come in the order of the blocks, so that the record of a job is the same.
"""

from __future__ import annotations

import contextlib
import itertools
from collections import deque
from collections.abc import Callable, Generator, Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass, replace
from functools import partial
from multiprocessing import get_context
from multiprocessing.connection import Connection, wait
from typing import Protocol

from napari_sam.volume.blocks import BlockTask
from napari_sam.volume.ledger import DoneBlock

Outcome = tuple[int, DoneBlock | Exception]
_AHEAD = 2
_TRIES = 3


class Executor(Protocol):
    """Does blocks."""

    def run(self, task: BlockTask, blocks: Sequence[int]) -> Generator[Outcome, None, None]:
        """Do blocks; yields the number of each, in order, and what became of it.

        Closing the generator stops the work; blocks in hand may still be written.
        """
        ...


@dataclass(frozen=True)
class LocalExecutor:
    """Does blocks in this process: the next are read, and the last are written, meanwhile.

    Attributes
    ----------
    at_once : int or None
        Blocks that are segmented side by side, in threads. None takes two on a GPU, which then is
        busy while masks become labels, and one elsewhere.
    """

    at_once: int | None = None

    def run(self, task: BlockTask, blocks: Sequence[int]) -> Generator[Outcome, None, None]:
        """See `Executor`."""
        device = str(getattr(task.predictor, "device", "cpu"))
        at_once = self.at_once or (1 if device.startswith("cpu") else 2)
        pools = [ThreadPoolExecutor(count) for count in (1, at_once, 1)]
        reading, segmenting, writing = pools
        try:
            task.scratch  # noqa: B018  made before threads want it
            coming = iter(blocks)
            steps: deque[tuple[int, Future[DoneBlock]]] = deque()

            def start(number: int) -> None:
                pixels = reading.submit(task.read, number)
                labels = segmenting.submit(lambda: task.segment(number, pixels.result()))
                steps.append((number, writing.submit(lambda: task.write(number, labels.result()))))

            for number in itertools.islice(coming, _AHEAD + at_once):
                start(number)
            while steps:
                number, done = steps.popleft()
                outcome = _outcome(done.result)
                for following in itertools.islice(coming, 1):
                    start(following)
                yield number, outcome
        finally:
            for pool in pools:
                pool.shutdown(wait=False, cancel_futures=True)
            for pool in pools:
                pool.shutdown(wait=True)


@dataclass(frozen=True)
class ProcessExecutor:
    """Does blocks in one process per device; one that dies is started again.

    Attributes
    ----------
    devices : tuple of str
        Names of devices, such as ``"cuda:0"``; one that is named twice has two processes.
    """

    devices: tuple[str, ...]

    def run(self, task: BlockTask, blocks: Sequence[int]) -> Generator[Outcome, None, None]:
        """See `Executor`."""
        task.scratch  # noqa: B018  made before processes want it
        crew = [_Worker(replace(task, device=device)) for device in self.devices]
        try:
            yield from _in_order(blocks, _shared_out(crew, blocks))
        finally:
            for worker in crew:
                worker.stop()


class _Worker:
    """A process that does one block after another."""

    def __init__(self, task: BlockTask) -> None:
        self._task = task
        self.block: int | None = None
        self._start()

    def _start(self) -> None:
        context = get_context("spawn")
        self.pipe, theirs = context.Pipe()
        self._process = context.Process(target=_serve, args=(self._task, theirs), daemon=True)
        self._process.start()
        theirs.close()

    def begin(self, number: int) -> None:
        """Hand over a block."""
        self.block = number
        with contextlib.suppress(OSError):  # a process that has died is noticed by `finish`
            self.pipe.send(number)

    def finish(self) -> DoneBlock | Exception | None:
        """Return what became of the block in hand; None if the process died, and another began."""
        try:
            outcome: DoneBlock | Exception = self.pipe.recv()
        except (EOFError, OSError):
            self.stop()
            self._start()
            return None
        return outcome

    def stop(self) -> None:
        """End the process."""
        self.pipe.close()
        self._process.terminate()
        self._process.join()


def _serve(task: BlockTask, pipe: Connection) -> None:
    """Do blocks that come through the pipe until it closes."""
    with contextlib.suppress(EOFError, OSError, KeyboardInterrupt):
        while True:
            number = pipe.recv()
            pipe.send(_outcome(partial(task.run, number)))


def _shared_out(crew: Sequence[_Worker], blocks: Sequence[int]) -> Iterator[Outcome]:
    """Give each worker a block as soon as it has done one; yields blocks as they are done."""
    waiting, tries = deque(blocks), dict.fromkeys(blocks, 0)
    idle, busy = list(crew), dict[object, _Worker]()
    while waiting or busy:
        while waiting and idle:
            worker = idle.pop()
            worker.begin(waiting.popleft())
            busy[worker.pipe] = worker
        for pipe in wait([worker.pipe for worker in busy.values()]):
            worker = busy.pop(pipe)
            number, outcome = worker.block, worker.finish()
            idle.append(worker)
            if number is None:
                continue
            tries[number] += 1
            if outcome is not None:
                yield number, outcome
            elif tries[number] < _TRIES:
                waiting.appendleft(number)
            else:
                yield number, RuntimeError(f"its process died {_TRIES} times (out of memory?)")


def _in_order(blocks: Sequence[int], outcomes: Iterator[Outcome]) -> Generator[Outcome, None, None]:
    """Hold blocks back until those before them are done."""
    held: dict[int, DoneBlock | Exception] = {}
    for number in blocks:
        while number not in held:
            held.update([next(outcomes)])
        yield number, held.pop(number)


def _outcome(get: Callable[[], DoneBlock]) -> DoneBlock | Exception:
    """Return a block that is done, or the error that stood in its way."""
    try:
        return get()
    except Exception as error:  # noqa: BLE001  the job decides what follows
        return error
