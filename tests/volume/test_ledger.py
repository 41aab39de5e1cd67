"""The record of a job: what it keeps, what a tear costs, what it refuses."""

from pathlib import Path

import numpy as np
import pytest

from napari_sam.volume.ledger import (
    DoneBlock,
    JobMismatchError,
    Ledger,
    LedgerError,
    check_same_job,
    checksum,
    read_header,
)

JOB = {"model": "oracle", "source_shape": (2, 3, 4), "config": {"everything": {"side": 32}}}
DONE = DoneBlock(n_objects=4, checksum="0a1b2c3d")


@pytest.fixture
def path(tmp_path):
    with Ledger.create(tmp_path / "ledger.jsonl", JOB) as ledger:
        ledger.add_block(0, DONE)
        ledger.add_block(1, DONE)
        ledger.add_linked(6, "11111111")
        ledger.add_written(0, "22222222")
    return tmp_path / "ledger.jsonl"


def test_entries_come_back(path):
    with Ledger(path) as ledger:
        assert ledger.header["model"] == "oracle"
        assert ledger.blocks == {0: DONE, 1: DONE}
        assert ledger.linked == (6, "11111111")
        assert ledger.written == {0: "22222222"}
        assert not ledger.finished
        ledger.add_finished()
    with Ledger(path) as ledger:
        assert ledger.finished


def test_any_tear_costs_the_torn_entry_only(path):
    whole = path.read_bytes()
    lines = whole.splitlines(keepends=True)
    for length in range(len(lines[0]), len(whole)):
        path.write_bytes(whole[:length])
        kept = whole[:length].count(b"\n")
        Ledger(path).close()
        assert path.read_bytes() == b"".join(lines[:kept])


def test_resumed_ledger_grows_like_an_uninterrupted_one(path):
    whole = path.read_bytes()
    path.write_bytes(whole[:-5])
    with Ledger(path) as ledger:
        ledger.add_written(0, "22222222")
    assert path.read_bytes() == whole


def test_known_entries_are_not_repeated(path):
    before = path.read_bytes()
    with Ledger(path) as ledger:
        ledger.add_block(1, DONE)
        ledger.add_linked(6, "11111111")
        ledger.add_written(0, "22222222")
    assert path.read_bytes() == before


def test_a_slice_made_anew_takes_back_what_was_built_on_it(path):
    with Ledger(path) as ledger:
        ledger.add_block(1, DoneBlock(n_objects=5, checksum="33333333"))
    with Ledger(path) as ledger:
        assert ledger.linked is None
        assert ledger.written == {}


def test_create_replaces_whole_and_leaves_no_temporary_file(path):
    Ledger.create(path, JOB).close()
    assert path.read_bytes().count(b"\n") == 1
    assert [file.name for file in path.parent.iterdir()] == ["ledger.jsonl"]


@pytest.mark.parametrize("content", [b"", b"{", b"[1]\n", b'{"entry": "job", "format": 99}\n'])
def test_damaged_header_is_refused(path, content):
    path.write_bytes(content)
    with pytest.raises(LedgerError, match=r"ledger.jsonl' is damaged.*resume=False"):
        Ledger(path)


def test_same_job_is_accepted_and_others_are_named(path):
    header = read_header(path)
    check_same_job(header, JOB, Path("brain.zarr"))
    other = {**JOB, "model": "vit_b", "config": {"everything": {"side": 24}}}
    with pytest.raises(JobMismatchError) as caught:
        check_same_job(header, other, Path("folder/brain.zarr"))
    assert caught.value.fields == ("side", "model")
    assert str(caught.value) == (
        "'brain.zarr' belongs to another job: side was 32, now 24, model was oracle, now vit_b; "
        "go back to the old settings, use another output, or start over with resume=False "
        "(--restart in the shell)"
    )


def test_a_job_that_did_not_know_a_setting_is_another_job(path):
    header = read_header(path)
    newer = {**JOB, "config": {"everything": {"side": 32, "tile_side": None}}}
    message = "tile_side was not recorded, now None"
    with pytest.raises(JobMismatchError, match=message) as caught:
        check_same_job(header, newer, Path("brain.zarr"))
    assert caught.value.fields == ("tile_side",)


def test_checksum_does_not_depend_on_byte_order_or_layout():
    array = np.arange(6, dtype="<u4").reshape(2, 3)
    expected = checksum(array)
    assert checksum(array.astype(">u4")) == expected
    assert checksum(np.asfortranarray(array)) == expected
    assert checksum(array[:1], array[1:]) == expected
    assert checksum(array + 1) != expected
