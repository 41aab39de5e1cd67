"""What goes wrong while a volume is segmented: it is told, and nothing that is done is lost."""

import errno
import shutil

import numpy as np
import pytest
import zarr

from napari_sam.volume import (
    JobLockedError,
    OutputError,
    RunConfig,
    Shard,
    VolumeConfig,
    VolumeError,
    iter_volume,
    segment_volume,
)
from napari_sam.volume.blocks import Scratch
from tests.oracle import OraclePredictor
from tests.volume.toys import drawn_volume, tree, write_image

SKIP = RunConfig(on_error="skip")


class Flawed(OraclePredictor):
    """Fails on images with a ball, as in slice 1 of the drawn volume."""

    def embed(self, image, **options):
        if image[105, 10] > 0:
            raise ValueError("this slice is spoilt")
        return super().embed(image, **options)


@pytest.fixture
def whole(tmp_path):
    """The files of a job in which all went well."""
    segment_volume(OraclePredictor(threshold=100), drawn_volume(), tmp_path / "whole.zarr")
    return tree(tmp_path / "whole.zarr")


def test_a_slice_that_fails_stops_the_job_and_can_be_mended(tmp_path, whole):
    output = tmp_path / "out.zarr"
    with pytest.raises(
        VolumeError, match=r"Slice 1 stopped the job: ValueError: this slice is"
    ) as e:
        segment_volume(Flawed(threshold=100), drawn_volume(), output)
    assert e.value.z == 1
    mended = OraclePredictor(threshold=100)
    assert segment_volume(mended, drawn_volume(), output).n_resumed == 1
    assert tree(output) == whole


def test_finishing_leaves_what_failed_empty(tmp_path):
    output, volume = tmp_path / "out.zarr", drawn_volume()
    for index in (1, 2):
        share = RunConfig(on_error="skip", shard=Shard(index=index, count=2))
        segment_volume(Flawed(threshold=100), volume, output, run=share)
    flawed = Flawed(threshold=100)
    report = segment_volume(flawed, volume, output, run=RunConfig(only_finish=True))
    assert list(report.failed) == [1]
    assert flawed.n_embed == 0
    assert report.n_objects > 0


def test_slices_that_fail_may_be_left_empty_and_tried_again(tmp_path, whole):
    output, errors = tmp_path / "out.zarr", []

    def watch(event):
        errors.append(event.error)

    report = segment_volume(
        Flawed(threshold=100), drawn_volume(), output, run=SKIP, on_progress=watch
    )
    assert report.failed == {1: "ValueError: this slice is spoilt"}
    assert [error for error in errors if error] == ["ValueError: this slice is spoilt"]
    labels = zarr.open_array(report.labels_path / "0", mode="r")[:]
    assert labels[0].any()
    assert labels[2].any()
    again = segment_volume(Flawed(threshold=100), drawn_volume(), output)
    assert again.failed == report.failed
    good = OraclePredictor(threshold=100)
    mended = segment_volume(good, drawn_volume(), output, run=RunConfig(retry_failed=True))
    assert not mended.failed
    assert good.n_embed == 1
    expected = {path: data for path, data in whole.items() if not path.endswith("ledger.jsonl")}
    found = tree(output)
    assert {path: found[path] for path in expected} == expected


def test_a_full_disk_stops_the_job_even_where_errors_are_skipped(tmp_path, whole, monkeypatch):
    output, write = tmp_path / "out.zarr", Scratch.write

    def full(self, block, labels):
        if block.z == 2:
            raise OSError(errno.ENOSPC, "No space left on device")
        write(self, block, labels)

    monkeypatch.setattr(Scratch, "write", full)
    with pytest.raises(VolumeError, match="make room on the disk, then run the same again"):
        segment_volume(OraclePredictor(threshold=100), drawn_volume(), output, run=SKIP)
    monkeypatch.undo()
    segment_volume(OraclePredictor(threshold=100), drawn_volume(), output)
    assert tree(output) == whole


def test_a_source_that_vanishes_is_not_taken_for_black(tmp_path):
    source = write_image(tmp_path / "image.zarr", [drawn_volume()], axes="zyx")
    job = iter_volume(OraclePredictor(threshold=100), source, tmp_path / "out.zarr")
    next(job)
    shutil.move(source, tmp_path / "away.zarr")
    with pytest.raises(VolumeError, match=r"image.zarr' is gone; bring it back"):
        for _ in job:
            pass
    shutil.move(tmp_path / "away.zarr", source)
    report = segment_volume(OraclePredictor(threshold=100), source, tmp_path / "out.zarr")
    assert report.n_objects == 3


def test_a_chunk_that_cannot_be_read_is_told(tmp_path):
    source = zarr.create_array(store=tmp_path / "in.zarr", data=drawn_volume(), chunks=(1, 300, 40))
    job = iter_volume(OraclePredictor(threshold=100), source, tmp_path / "out.zarr", run=SKIP)
    chunk = tmp_path / "in.zarr" / "c" / "3" / "0" / "0"
    whole = chunk.read_bytes()
    next(job)
    chunk.write_bytes(b"no chunk")
    events = list(job)
    failed = [event.z for event in events if event.error]
    chunk.write_bytes(whole)
    assert failed in ([3], [])  # it may have been read ahead
    report = segment_volume(
        OraclePredictor(threshold=100),
        source,
        tmp_path / "out.zarr",
        run=RunConfig(retry_failed=True),
    )
    assert not report.failed


def test_two_jobs_on_one_output_are_refused(tmp_path):
    job = iter_volume(OraclePredictor(threshold=100), drawn_volume(), tmp_path / "out.zarr")
    next(job)
    with pytest.raises(JobLockedError):
        segment_volume(OraclePredictor(threshold=100), drawn_volume(), tmp_path / "out.zarr")
    job.close()
    segment_volume(OraclePredictor(threshold=100), drawn_volume(), tmp_path / "out.zarr")


def test_a_damaged_shard_is_written_again(tmp_path, whole):
    output = tmp_path / "out.zarr"
    job = iter_volume(OraclePredictor(threshold=100), drawn_volume(), output)
    while next(job).stage != "write":
        pass
    job.close()
    (output / "labels" / "sam" / "0" / "c" / "0" / "0" / "0").write_bytes(b"no shard")
    segment_volume(OraclePredictor(threshold=100), drawn_volume(), output)
    assert tree(output) == whole


def test_labels_may_go_into_the_image_they_are_of(tmp_path):
    source = write_image(tmp_path / "image.zarr", [drawn_volume()], axes="zyx")
    before = {path: data for path, data in tree(source).items() if data is not None}
    config = VolumeConfig(name="cells")
    report = segment_volume(OraclePredictor(threshold=100), source, None, config)
    assert report.labels_path == tmp_path / "image.zarr" / "labels" / "cells"
    after = tree(source)
    assert {path: after[path] for path in before} == before
    label = zarr.open_group(report.labels_path, mode="r").attrs["ome"]["image-label"]
    assert label == {"source": {"image": "../../"}}
    old = write_image(tmp_path / "old.zarr", [drawn_volume()], axes="zyx", version="0.4")
    for place, message in (
        (old, "is none; choose another output"),
        (np.zeros((2, 9, 9)), "give an"),
    ):
        with pytest.raises(OutputError, match=message):
            segment_volume(OraclePredictor(threshold=100), place, None)
