"""How many processes compute a step, and with how many threads."""

import dataclasses
from unittest import mock

import pytest
import torch

from napari_sam.model.sam import Sam
from napari_sam.training import workers
from napari_sam.training.batches import SampleSource
from napari_sam.training.workers import WorkerPool, process_count
from tests.training.toys import TINY


@pytest.mark.parametrize(
    ("parts", "device", "asked", "expected"),
    [(2, "cpu", 1, 1), (2, "cpu", 2, 2), (2, "cpu", 5, 2), (1, "cpu", 2, 1), (2, "cuda", 2, 1)],
)
def test_there_are_no_more_processes_than_parts(parts, device, asked, expected):
    recipe = dataclasses.replace(TINY, parts=parts)
    assert process_count(recipe, torch.device(device), asked) == expected


@pytest.mark.parametrize(("threads", "expected"), [(1, 1), (4, 2), (5, 2)])
def test_processes_share_the_threads(monkeypatch, threads, expected):
    context = mock.Mock()
    context.Pipe.side_effect = lambda: (mock.Mock(), mock.Mock())
    monkeypatch.setattr(workers.mp, "get_context", lambda _: context)
    monkeypatch.setattr(torch, "get_num_threads", lambda: threads)
    WorkerPool(Sam(TINY.sam_config()), TINY, SampleSource([], TINY.sources), 2)
    tasks = [call.kwargs["args"][0] for call in context.Process.call_args_list]
    assert [task.threads for task in tasks] == [expected, expected]
