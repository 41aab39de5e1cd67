"""Blocks of a volume on a dask cluster; needs the extra `distributed`."""

from __future__ import annotations

import uuid
from collections import deque
from collections.abc import Generator, Sequence
from dataclasses import dataclass, replace
from typing import Any

from distributed import Client, Worker, WorkerPlugin, get_worker

from napari_sam.volume.blocks import BlockTask
from napari_sam.volume.executors import Outcome
from napari_sam.volume.ledger import DoneBlock

_PER_THREAD = 3
"""Blocks that wait at the cluster for each of its threads, so that none is idle."""
_RETRIES = 3
_TASKS = "_napari_sam_tasks"


@dataclass(frozen=True, eq=False)
class DaskExecutor:
    """Does blocks on a dask cluster whose workers see the same files.

    Every worker loads the model once. Labels go from the workers to the scratch, never through the
    scheduler; a worker that dies costs the blocks that it had in hand, which others do again.

    Attributes
    ----------
    client : distributed.Client or str
        A client, or the address of a scheduler such as ``"tcp://host:8786"``.
    device : str
        Where workers run the model; ``"auto"`` takes a worker's GPU where it has one.
    """

    client: Client | str
    device: str = "auto"

    def run(self, task: BlockTask, blocks: Sequence[int]) -> Generator[Outcome, None, None]:
        """See `Executor`."""
        task.scratch  # noqa: B018  made before workers want it
        connect: Any = Client  # the package has no types
        own = connect(self.client) if isinstance(self.client, str) else None
        client: Any = own or self.client
        token = uuid.uuid4().hex[:8]
        try:
            plugin = _BlockPlugin(replace(task, device=self.device), token)
            client.register_plugin(plugin, name=token)
            yield from _in_flight(client, task, blocks, token)
        finally:
            client.unregister_worker_plugin(token)
            if own is not None:
                own.close()


def _in_flight(
    client: Any, task: BlockTask, blocks: Sequence[int], token: str
) -> Generator[Outcome, None, None]:
    """Keep a few blocks for every thread at the cluster; yields them in order."""
    waiting, futures = deque(blocks), deque[tuple[int, Any]]()
    try:
        while waiting or futures:
            threads = sum(client.nthreads().values())
            while waiting and len(futures) < _PER_THREAD * max(threads, 1):
                number = waiting.popleft()
                block = task.plan.block(number)
                key = f"segment-z{block.z:05}-tile{block.tile:03}-{token}"
                future = client.submit(
                    _do_block, token, number, key=key, retries=_RETRIES, pure=False
                )
                futures.append((number, future))
            number, future = futures.popleft()
            yield number, _outcome(future)
    finally:
        client.cancel([future for _, future in futures])


def _outcome(future: Any) -> DoneBlock | Exception:
    try:
        done: DoneBlock = future.result()
    except Exception as error:  # noqa: BLE001  the job decides what follows
        return error
    return done


def _do_block(token: str, number: int) -> DoneBlock:
    """Do a block on a worker."""
    tasks: dict[str, BlockTask] = getattr(get_worker(), _TASKS)
    return tasks[token].run(number)


class _BlockPlugin(WorkerPlugin):
    """Gives every worker, also those that join later, the task: with it, the model."""

    def __init__(self, task: BlockTask, token: str) -> None:
        self._task = task
        self._token = token

    def setup(self, worker: Worker) -> None:
        """Keep the task."""
        tasks: dict[str, BlockTask] = getattr(worker, _TASKS, {})
        setattr(worker, _TASKS, {**tasks, self._token: self._task})

    def teardown(self, worker: Worker) -> None:
        """Let go of it."""
        tasks: dict[str, BlockTask] = getattr(worker, _TASKS, {})
        tasks.pop(self._token, None)
