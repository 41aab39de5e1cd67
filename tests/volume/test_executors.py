"""Whoever does the blocks, the result is the same."""

import os
import pickle
import signal
import sys
import threading
import time
from pathlib import Path

import numpy as np
import pytest

from napari_sam import Predictor
from napari_sam.volume import (
    JobLockedError,
    LocalExecutor,
    OutputError,
    ProcessExecutor,
    RunConfig,
    Shard,
    iter_volume,
    segment_volume,
)
from tests.oracle import OraclePredictor
from tests.volume.test_lock import HOUR, write_owner
from tests.volume.toys import drawn_volume, tree


class Mortal(OraclePredictor):
    """Dies with its process at the first image, if a file says so; only one does."""

    def __init__(self, mark):
        super().__init__(threshold=100)
        self.mark = mark

    def embed(self, image, **options):
        try:
            Path(self.mark).unlink()
        except FileNotFoundError:
            return super().embed(image, **options)
        os._exit(9)


@pytest.fixture(scope="module")
def volume():
    """The drawn volume four times over: 20 slices."""
    return np.concatenate([drawn_volume()] * 4)


@pytest.fixture(scope="module")
def whole(volume, tmp_path_factory):
    """The files of a job in this process."""
    folder = tmp_path_factory.mktemp("whole")
    segment_volume(OraclePredictor(threshold=100), volume, folder / "out.zarr")
    return tree(folder / "out.zarr")


def test_side_by_side_in_threads(volume, whole, tmp_path):
    run = RunConfig(executor=LocalExecutor(at_once=3))
    segment_volume(OraclePredictor(threshold=100), volume, tmp_path / "out.zarr", run=run)
    assert tree(tmp_path / "out.zarr") == whole


def test_nothing_waits_for_the_disk(volume, tmp_path, monkeypatch):
    """Reading and writing take as long as the model, and go on meanwhile."""
    from napari_sam.volume.blocks import BlockTask, Scratch

    read, write = BlockTask.read, Scratch.write

    def slow_read(self, number):
        time.sleep(0.05)
        return read(self, number)

    def slow_write(self, block, labels):
        time.sleep(0.05)
        write(self, block, labels)

    monkeypatch.setattr(BlockTask, "read", slow_read)
    monkeypatch.setattr(Scratch, "write", slow_write)
    predictor = OraclePredictor(threshold=100, seconds=0.08)
    job = iter_volume(predictor, volume, tmp_path / "out.zarr")
    next(job)
    started = time.perf_counter()
    n_steps = sum(event.stage == "segment" for event in job)
    seconds = time.perf_counter() - started
    assert n_steps == 19
    assert seconds < 0.75 * 16 * (0.05 + 0.08 + 0.05) + 1.0


def test_one_process_per_device(volume, whole, tmp_path):
    run = RunConfig(executor=ProcessExecutor(("cpu", "cpu")))
    segment_volume(OraclePredictor(threshold=100), volume, tmp_path / "out.zarr", run=run)
    assert tree(tmp_path / "out.zarr") == whole


def test_a_process_that_dies_costs_its_block(volume, whole, tmp_path):
    (tmp_path / "mark").touch()
    run = RunConfig(executor=ProcessExecutor(("cpu", "cpu")))
    segment_volume(Mortal(str(tmp_path / "mark")), volume, tmp_path / "out.zarr", run=run)
    assert not (tmp_path / "mark").exists()
    assert tree(tmp_path / "out.zarr") == whole


def test_shares_of_a_job_are_finished_by_another_call(volume, whole, tmp_path):
    output = tmp_path / "out.zarr"
    finish = RunConfig(only_finish=True)
    for index in (2, 3):
        share = RunConfig(shard=Shard(index=index, count=3))
        report = segment_volume(OraclePredictor(threshold=100), volume, output, run=share)
        assert (report.n_objects, report.objects) == (0, None)
    with pytest.raises(OutputError, match=r"6 of 20 blocks .* the first is block 0 \(slice 0\)"):
        segment_volume(OraclePredictor(threshold=100), volume, output, run=finish)
    last = RunConfig(shard=Shard.parse("1/3"))
    segment_volume(OraclePredictor(threshold=100), volume, output, run=last)
    lazy = OraclePredictor(threshold=100)
    segment_volume(lazy, volume, output, run=finish)
    assert lazy.n_embed == 0
    labels = {path: data for path, data in whole.items() if path.startswith("labels")}
    assert {
        path: data for path, data in tree(output).items() if path.startswith("labels")
    } == labels


def test_a_job_that_starts_over_forgets_its_shares(volume, whole, tmp_path):
    output, share = tmp_path / "out.zarr", RunConfig(shard=Shard(index=1, count=2))
    segment_volume(OraclePredictor(threshold=100), volume, output, run=share)
    with pytest.raises(ValueError, match="a shard cannot start over"):
        segment_volume(OraclePredictor(threshold=100), volume, output, run=share, resume=False)
    again = OraclePredictor(threshold=100)
    segment_volume(again, volume, output, resume=False)
    assert again.n_embed == 16  # of 20 slices 4 are empty
    assert tree(output) == whole


def test_a_job_is_not_finished_while_a_share_is_done(volume, tmp_path):
    output, share = tmp_path / "out.zarr", RunConfig(shard=Shard(index=1, count=2))
    job = iter_volume(OraclePredictor(threshold=100), volume, output, run=share)
    next(job)
    with pytest.raises(JobLockedError):
        segment_volume(OraclePredictor(threshold=100), volume, output)
    job.close()
    assert segment_volume(OraclePredictor(threshold=100), volume, output).n_resumed >= 1


def test_a_share_whose_host_is_gone_can_be_taken_over(volume, whole, tmp_path):
    output, share = tmp_path / "out.zarr", RunConfig(shard=Shard(index=1, count=2))
    segment_volume(OraclePredictor(threshold=100), volume, output, run=share)
    (lock,) = output.rglob("shard-*.lock")
    write_owner(lock, heartbeat=3 * HOUR)
    with pytest.raises(JobLockedError, match="--take-lock") as caught:
        segment_volume(OraclePredictor(threshold=100), volume, output)
    assert caught.value.is_stale
    taking = RunConfig(take_lock=True)
    segment_volume(OraclePredictor(threshold=100), volume, output, run=taking)
    assert tree(output) == whole


def test_shares_cover_all_blocks_once():
    blocks = [number for i in range(1, 8) for number in Shard(index=i, count=7).blocks(20)]
    assert blocks == list(range(20))
    for text in ("0/3", "4/3", "1", "a/b"):
        with pytest.raises(ValueError, match="shard must be i/n"):
            Shard.parse(text)


def test_another_process_loads_the_model_for_itself():
    predictor = Predictor("nano", "cpu")
    text = pickle.dumps(predictor.loader("cpu"))
    assert len(text) < 1000
    assert pickle.loads(text)().model_digest == predictor.model_digest


@pytest.fixture(scope="module")
def cluster():
    distributed = pytest.importorskip("distributed")
    with (
        distributed.LocalCluster(
            n_workers=2, threads_per_worker=1, processes=True, dashboard_address=None
        ) as cluster,
        distributed.Client(cluster) as client,
    ):
        yield client


def test_a_dask_cluster_gives_the_same_bytes(cluster, volume, whole, tmp_path):
    from napari_sam.volume.dask_executor import DaskExecutor

    run = RunConfig(executor=DaskExecutor(cluster, device="cpu"))
    segment_volume(OraclePredictor(threshold=100), volume, tmp_path / "out.zarr", run=run)
    assert tree(tmp_path / "out.zarr") == whole


@pytest.mark.skipif(sys.platform == "win32", reason="SIGKILL is of POSIX")
def test_a_dask_worker_that_is_killed_costs_its_blocks(cluster, volume, whole, tmp_path):
    from napari_sam.volume.dask_executor import DaskExecutor

    address = cluster.scheduler_info()["address"]
    run = RunConfig(executor=DaskExecutor(address, device="cpu"))
    slow = OraclePredictor(threshold=100, seconds=0.2)
    job = iter_volume(slow, volume, tmp_path / "out.zarr", run=run)
    next(job)
    victim = next(iter(cluster.run(os.getpid).values()))
    killer = threading.Timer(0.3, os.kill, (victim, signal.SIGKILL))
    killer.start()
    for _ in job:
        pass
    killer.join()
    assert tree(tmp_path / "out.zarr") == whole
