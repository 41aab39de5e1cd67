"""The record beside the data: kills, damage, two windows."""

import errno
import json
import os
import signal
import subprocess
import sys
import textwrap
import time
from pathlib import Path

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from napari.components import ViewerModel

from napari_sam.viewer.journal import ImageSample, Journal, JournalInUseError, read_journal
from napari_sam.viewer.recovery import open_journal, resume, start_over
from napari_sam.viewer.session import Session
from tests.oracle import OraclePredictor
from tests.viewer.test_objects import commit, drawn


def session_in(folder, image=None, labels=None):
    viewer = ViewerModel()
    layer = viewer.add_image(drawn() if image is None else image, name="drawn")
    session = Session(viewer, OraclePredictor(), layer)
    if labels is not None:
        session.labels = viewer.add_labels(labels)
    found = resume(session, open_journal(layer.data, layer.data.shape, layer.name, folder))
    return session, found


def work(session):
    commit(session, (8, 8), category="a")
    commit(session, (30, 30))
    session.objects.delete([1])
    session.undo()
    session.add_point((25, 25))


def test_a_session_goes_on_where_it_was_left(tmp_path):
    session, found = session_in(tmp_path)
    assert found == ""
    work(session)
    pixels, entries = session.labels.data.copy(), session.objects.table.entries
    session.close()
    again, found = session_in(tmp_path)
    assert "2 objects and 1 points" in found
    assert np.array_equal(again.labels.data, pixels)
    assert again.objects.table.entries == entries
    assert again.objects.table.categories == {"a": "#e6194b"}
    assert [point[:2] for point in again.prompts.points] == [(25, 25)]
    kinds = [again.undo() for _ in range(5)]
    assert kinds == ["point", "commit", "point", "commit", "point"]
    assert not again.labels.data.any()


def test_what_was_undone_can_be_redone_after_a_restart(tmp_path):
    session, _ = session_in(tmp_path)
    commit(session, (8, 8))
    session.take_back()
    session.close()
    again, _ = session_in(tmp_path)
    assert again.redo() == "commit"
    assert again.labels.data.sum() == 100


@settings(
    max_examples=60, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture]
)
@given(data=st.data())
def test_any_damage_costs_only_what_follows_it(tmp_path_factory, data):
    folder = tmp_path_factory.mktemp("journal")
    session, _ = session_in(folder)
    work(session)
    session.close()
    (path,) = folder.glob("*.jsonl")
    raw = path.read_bytes()
    whole = read_journal(path)
    at = data.draw(st.integers(0, len(raw) - 1))
    if data.draw(st.booleans()):
        path.write_bytes(raw[:at])
    else:
        path.write_bytes(
            raw[:at] + bytes([raw[at] ^ data.draw(st.integers(1, 255))]) + raw[at + 1 :]
        )
    found = read_journal(path)
    assert found.length <= at
    kept = [change.kind for change in found.history.done]
    sound = raw[: found.length]
    path.write_bytes(sound)
    assert [change.kind for change in read_journal(path).history.done] == kept
    assert len(whole.history.done) >= len(kept) - 1  # an undo may be among what was dropped


@pytest.mark.parametrize("garbage", [b"", b"\0" * 5000, b"hello\n", b"{}\n", os.urandom(3000)])
def test_garbage_is_set_aside(tmp_path, garbage):
    image = drawn()
    path = tmp_path / f"{ImageSample.of(image).key('drawn SAM labels (40, 50)')}.jsonl"
    path.write_bytes(garbage)
    session, found = session_in(tmp_path)
    assert ("dropped" in found) == bool(garbage)
    commit(session, (8, 8))
    session.close()
    if garbage:
        assert path.with_name(path.name + ".damaged").read_bytes() == garbage
    again, _ = session_in(tmp_path)
    assert again.labels.data.sum() == 100


def test_two_windows_have_two_journals(tmp_path):
    one, _ = session_in(tmp_path)
    two, _ = session_in(tmp_path)
    commit(one, (8, 8))
    commit(two, (30, 30))
    assert one.objects.journal.path != two.objects.journal.path
    one.close()
    again, _ = session_in(tmp_path)
    assert again.labels.data.sum() == 100
    with pytest.raises(JournalInUseError, match="in use"):
        Journal(two.objects.journal.path, {})


def test_another_image_has_another_journal(tmp_path):
    one, _ = session_in(tmp_path)
    commit(one, (8, 8))
    one.close()
    other, found = session_in(tmp_path, image=drawn()[::-1].copy())
    assert found == ""
    assert other.objects.history.done == []


def test_starting_over_keeps_the_old_file(tmp_path):
    session, _ = session_in(tmp_path)
    commit(session, (8, 8))
    path = session.objects.journal.path
    start_over(session.objects.journal)
    assert not path.exists()
    assert read_journal(path.with_suffix(".old.jsonl")).history.done
    _, found = session_in(tmp_path)
    assert found == ""


def test_recovered_objects_go_into_the_chosen_layer(tmp_path):
    session, _ = session_in(tmp_path)
    commit(session, (8, 8))
    session.close()
    mine = np.zeros((40, 50), np.int32)
    mine[0, 0] = 5
    again, _ = session_in(tmp_path, labels=mine)
    assert again.labels.data[0, 0] == 5
    assert (again.labels.data == 1).sum() == 100
    assert [layer.name for layer in again.viewer.layers][:2] == ["drawn", "labels"]


class Full:
    """A file on a disk that is full after so many bytes; it tells so at the end, too."""

    def __init__(self, file, room):
        self.file, self.room = file, room

    def write(self, data):
        written = self.file.write(data[: self.room])
        self.room -= written
        if not written:
            raise OSError(errno.ENOSPC, "No space left on device")
        return written

    def truncate(self, length):
        return self.file.truncate(length)

    def close(self):
        self.file.close()
        raise OSError(errno.ENOSPC, "No space left on device")


def test_a_full_disk_is_told_once_and_costs_only_what_came_after_it(tmp_path):
    session, _ = session_in(tmp_path)
    commit(session, (8, 8))
    told, journal = [], session.objects.journal
    journal._on_error = told.append
    time.sleep(0.2)
    journal._file = Full(journal._file, 100)
    commit(session, (30, 30))
    session.close()
    assert len(told) == 1
    assert "No space" in str(told[0])
    again, found = session_in(tmp_path)
    assert found.endswith("1 objects")
    assert again.objects.journal.path == journal.path
    assert again.labels.data.sum() == 100
    again.close()


def test_a_file_that_may_not_grow_is_let_go_of_when_the_session_is_closed(tmp_path):
    script = """
        import os, resource, signal, sys, time, warnings
        from tests.viewer.test_journal import commit, session_in
        warnings.simplefilter("ignore")
        session, _ = session_in(sys.argv[1])
        commit(session, (8, 8))
        time.sleep(0.3)
        signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
        limits = resource.getrlimit(resource.RLIMIT_FSIZE)
        size = os.path.getsize(session.objects.journal.path)
        resource.setrlimit(resource.RLIMIT_FSIZE, (size + 100, limits[1]))
        commit(session, (30, 30))
        session.close()
        resource.setrlimit(resource.RLIMIT_FSIZE, limits)
        print(session_in(sys.argv[1])[1])
    """
    pytest.importorskip("resource")
    done = subprocess.run(
        [sys.executable, "-c", textwrap.dedent(script), str(tmp_path)],
        cwd=Path(__file__).parents[2],
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.stdout.strip().endswith("1 objects"), done.stderr


def test_kill_9_costs_at_most_the_last_click(tmp_path):
    script = """
        import sys
        from tests.viewer.test_journal import commit, session_in
        session, _ = session_in(sys.argv[1])
        commit(session, (8, 8))
        session.add_point((25, 25))
        print("ready", flush=True)
        import time
        time.sleep(60)
    """
    process = subprocess.Popen(
        [sys.executable, "-c", textwrap.dedent(script), str(tmp_path)],
        stdout=subprocess.PIPE,
        cwd=Path(__file__).parents[2],
        text=True,
    )
    assert process.stdout.readline().strip() == "ready"
    time.sleep(0.2)
    os.kill(process.pid, getattr(signal, "SIGKILL", signal.SIGTERM))
    process.wait()
    process.stdout.close()
    again, found = session_in(tmp_path)
    assert "1 objects and 1 points" in found
    assert again.labels.data.sum() == 100
    assert [point[:2] for point in again.prompts.points] == [(25, 25)]


def test_lines_are_json_with_a_sum(tmp_path):
    session, _ = session_in(tmp_path)
    session.add_point((8, 8))
    session.close()
    (path,) = tmp_path.glob("*.jsonl")
    header, event = path.read_text().splitlines()
    assert json.loads(header[9:])["image"] == "drawn"
    assert json.loads(event[9:])["change"]["kind"] == "point"


def test_numbers_of_numpy_are_written_down(tmp_path):
    session, _ = session_in(tmp_path)
    session.add_point((8, 8))
    session.predict()
    assert session.commit(np.int64(4)) == 4
    commit(session, (30, 30))
    session.close()
    again, found = session_in(tmp_path)
    assert "2 objects" in found
    assert sorted(again.objects.table.entries) == [4, 5]


def test_what_cannot_be_written_down_is_told(tmp_path):
    told = []
    journal = Journal(tmp_path / "a.jsonl", {}, on_error=told.append)
    journal.category("name", object())
    journal.close()
    assert [type(error) for error in told] == [TypeError]


def test_a_folder_without_locks_is_not_taken_for_one_in_use(tmp_path, monkeypatch):
    fcntl = pytest.importorskip("fcntl")

    def no_locks(*_):
        raise OSError(errno.ENOLCK, "no locks available")

    monkeypatch.setattr(fcntl, "flock", no_locks)
    with pytest.raises(OSError, match="no locks available"):
        open_journal(drawn(), drawn().shape, "drawn", tmp_path)


def test_starting_over_twice_keeps_both_journals(tmp_path):
    for _ in range(3):
        session, found = session_in(tmp_path)
        assert found == ""
        work(session)
        start_over(session.objects.journal)
    assert len(list(tmp_path.glob("*.old*.jsonl"))) == 3


def test_a_high_label_comes_back_with_undo_and_redo_after_a_restart(tmp_path):
    session, _ = session_in(tmp_path)
    commit(session, (8, 8), label_id=100_000)
    commit(session, (30, 30), label_id=5)
    session.objects.delete([100_000])
    session.close()
    again, _ = session_in(tmp_path)
    assert again.take_back() == "delete"
    assert np.unique(again.labels.data).tolist() == [0, 5, 100_000]
    again.bring_back()
    assert np.unique(again.labels.data).tolist() == [0, 5]
    again.close()


def test_a_layer_of_ours_is_widened_by_undo_and_another_one_left_alone(tmp_path):
    session, _ = session_in(tmp_path)
    commit(session, (8, 8), label_id=100_000)
    session.objects.delete([100_000])
    session.labels.data = session.labels.data.astype(np.uint16)
    session.take_back()
    assert (session.labels.data == 100_000).sum() == 100
    session.bring_back()
    session.labels.data, session.labels.name = session.labels.data.astype(np.uint16), "mine"
    session.take_back()
    assert not session.labels.data.any()
    session.close()
