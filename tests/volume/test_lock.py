"""One job on one folder: refusals, kills, other hosts, and taking what is stale."""

import gc
import json
import os
import pickle
import signal
import socket
import subprocess
import sys
import textwrap
import threading
import time
from pathlib import Path

import pytest
from filelock import FileLock

from napari_sam.volume import lock as lock_module
from napari_sam.volume.lock import LOCK_NAME, OWNER_NAME, JobLock, JobLockedError

ROOT = Path(__file__).parents[2]
HOUR = 3600.0

HOLDER = """
    import sys
    import time
    from pathlib import Path
    from napari_sam.volume.lock import JobLock

    with JobLock(Path(sys.argv[1])):
        print("held", flush=True)
        sys.stdin.readline()
    print("free", flush=True)
"""


@pytest.fixture
def folder(tmp_path):
    return tmp_path / "job"


@pytest.fixture
def holder(folder):
    """A process of its own that holds the folder until it reads a line."""
    process = subprocess.Popen(
        [sys.executable, "-c", textwrap.dedent(HOLDER), str(folder)],
        cwd=ROOT,
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    )
    with process:
        assert process.stdout.readline() == "held\n"
        yield process
        process.kill()


def write_owner(folder, *, host="far", heartbeat=0.0, started=5 * HOUR, **more):
    """Write by hand who owns a folder; times are seconds ago."""
    folder.mkdir(parents=True, exist_ok=True)
    now = time.time()
    owner = {"host": host, "pid": 12, "user": "ann", "token": "theirs", **more}
    owner |= {"started": now - started, "heartbeat": now - heartbeat}
    (folder / OWNER_NAME).write_text(json.dumps(owner), encoding="utf-8")


def owner_in(folder):
    return json.loads((folder / OWNER_NAME).read_text(encoding="utf-8"))


def wait_until(is_so):
    end = time.monotonic() + 20
    while not is_so():
        assert time.monotonic() < end
        time.sleep(0.01)


def test_a_held_folder_says_who_holds_it_and_a_free_one_says_nothing(folder):
    with JobLock(folder) as lock:
        lock.check()
        owner = owner_in(folder)
        assert (owner["host"], owner["pid"]) == (socket.gethostname(), os.getpid())
    assert [path.name for path in folder.iterdir()] in ([LOCK_NAME], [])  # Windows removes it
    with JobLock(folder):
        pass


def test_another_process_is_refused_until_it_is_done(folder, holder):
    with pytest.raises(JobLockedError, match=rf"in use by process {holder.pid} .*choose") as caught:
        JobLock(folder, take=True).__enter__()
    assert caught.value.owner.pid == holder.pid
    assert not caught.value.is_stale
    assert str(folder) in str(caught.value)
    holder.stdin.write("\n")
    holder.stdin.flush()
    assert holder.stdout.readline() == "free\n"
    with JobLock(folder):
        pass


@pytest.mark.skipif(not hasattr(signal, "SIGKILL"), reason="SIGKILL is of POSIX")
def test_after_a_kill_the_same_call_works(folder, holder):
    holder.send_signal(signal.SIGKILL)
    holder.wait()
    assert owner_in(folder)["pid"] == holder.pid
    with JobLock(folder) as lock:
        lock.check()
        assert owner_in(folder)["pid"] == os.getpid()


def test_one_process_holds_a_folder_once(folder):
    first = JobLock(folder)
    with first:
        for again in (first, JobLock(folder), JobLock(folder, take=True)):
            with pytest.raises(JobLockedError, match=r"\(this one\)"):
                again.__enter__()
        errors = []

        def enter():
            try:
                JobLock(folder).__enter__()
            except JobLockedError as error:
                errors.append(error)

        thread = threading.Thread(target=enter)
        thread.start()
        thread.join()
        assert len(errors) == 1
        first.check()


def test_a_closed_or_forgotten_generator_lets_go(folder):
    def job():
        with JobLock(folder):
            yield 1
            yield 2

    for end in (lambda steps: steps.close(), lambda steps: None):
        steps = job()
        next(steps)
        with pytest.raises(JobLockedError):
            next(job())
        end(steps)
        del steps
        gc.collect()
        with JobLock(folder):
            pass


def test_a_lock_may_be_left_in_another_thread(folder):
    lock = JobLock(folder)
    lock.__enter__()
    thread = threading.Thread(target=lock.__exit__, args=(None, None, None))
    thread.start()
    thread.join()
    with JobLock(folder):
        pass


def test_an_error_lets_go(folder):
    with pytest.raises(KeyError), JobLock(folder):
        raise KeyError
    with JobLock(folder):
        pass


def test_a_living_lock_of_another_host_is_refused(folder):
    write_owner(folder, heartbeat=40)
    for take in (False, True):
        with pytest.raises(JobLockedError, match="process 12 of ann on host far") as caught:
            JobLock(folder, take=take).__enter__()
        assert "began 5 hours ago" in str(caught.value)
        assert "its last sign of life 40 seconds ago" in str(caught.value)
        assert "5 minutes after that sign" in str(caught.value)
        assert not caught.value.is_stale
    assert owner_in(folder)["token"] == "theirs"


def test_a_stale_lock_of_another_host_is_told_and_can_be_taken(folder):
    write_owner(folder, heartbeat=3 * HOUR + 50)
    with pytest.raises(JobLockedError, match=r"sign of life 3 hours ago.*--take-lock") as caught:
        JobLock(folder).__enter__()
    assert caught.value.is_stale
    with JobLock(folder, take=True):
        assert owner_in(folder)["pid"] == os.getpid()


def test_a_lock_that_a_server_holds_for_a_host_that_is_gone_can_be_taken(folder):
    write_owner(folder, heartbeat=3 * HOUR)
    with FileLock(folder / LOCK_NAME):
        with pytest.raises(JobLockedError) as caught:
            JobLock(folder).__enter__()
        assert caught.value.is_stale
        if sys.platform != "win32":  # which removes no file that is open
            with JobLock(folder, take=True):
                pass


def test_what_a_dead_process_of_this_host_left_is_taken(folder):
    write_owner(folder, host=socket.gethostname())
    (folder / f"{OWNER_NAME}.left").write_text("half", encoding="utf-8")
    with JobLock(folder) as lock:
        lock.check()
    assert not list(folder.glob(f"{OWNER_NAME}*"))


@pytest.mark.parametrize("text", ["", "{", "[]", '{"host": "far"}'])
def test_a_damaged_owner_counts_as_unknown(folder, text):
    folder.mkdir()
    (folder / OWNER_NAME).write_text(text, encoding="utf-8")
    with pytest.raises(JobLockedError, match=r"process \(unknown\) on host \(unknown\)"):
        JobLock(folder).__enter__()
    os.utime(folder / OWNER_NAME, (time.time() - 86400 * 2, time.time() - 86400 * 2))
    with pytest.raises(JobLockedError, match="2 days ago"):
        JobLock(folder).__enter__()
    with JobLock(folder, take=True):
        pass


def test_signs_of_life_are_given_and_end(folder, monkeypatch):
    monkeypatch.setattr(lock_module, "HEARTBEAT_SECONDS", 0.02)
    with JobLock(folder):
        first = owner_in(folder)
        wait_until(lambda: owner_in(folder)["heartbeat"] > first["heartbeat"])
        assert owner_in(folder)["started"] == first["started"]
    time.sleep(0.1)
    assert not list(folder.glob(f"{OWNER_NAME}*"))


def test_whose_lock_was_taken_is_told_and_leaves_it(folder, monkeypatch):
    monkeypatch.setattr(lock_module, "HEARTBEAT_SECONDS", 0.02)
    with JobLock(folder) as lock:
        write_owner(folder)
        wait_until(lambda: not any(t.name == "napari-sam lock" for t in threading.enumerate()))
        with pytest.raises(JobLockedError, match="taken over") as caught:
            lock.check()
        assert caught.value.owner.host == "far"
    assert owner_in(folder)["token"] == "theirs"


def test_where_the_system_cannot_lock_signs_of_life_decide(folder, monkeypatch):
    def unsupported(self):
        raise NotImplementedError

    monkeypatch.setattr(FileLock, "acquire", unsupported)
    with JobLock(folder), pytest.raises(JobLockedError, match=r"\(this one\)"):
        JobLock(folder, take=True).__enter__()
    write_owner(folder, host=socket.gethostname(), heartbeat=HOUR)
    with pytest.raises(JobLockedError) as caught:
        JobLock(folder).__enter__()
    assert caught.value.is_stale
    with JobLock(folder, take=True):
        pass


@pytest.mark.parametrize("has_links", [True, False])
def test_of_two_hosts_that_begin_at_once_at_most_one_goes_on(folder, monkeypatch, has_links):
    """Another host enters itself after ours looked whether there is one."""
    write = JobLock._write

    def late(self, owner, *, is_first=False):
        write_owner(folder)
        write(self, owner, is_first=is_first)

    monkeypatch.setattr(JobLock, "_write", late)
    if not has_links:
        monkeypatch.setattr(lock_module, "_link", lambda existing, new: False)
        with JobLock(folder) as lock:  # the later one wins; the other is told by its check
            lock.check()
        return
    with pytest.raises(JobLockedError, match="on host far"):
        JobLock(folder).__enter__()
    assert owner_in(folder)["token"] == "theirs"
    assert {path.name for path in folder.iterdir()} <= {LOCK_NAME, OWNER_NAME}


@pytest.mark.filterwarnings("ignore:.*multi-threaded:DeprecationWarning")
@pytest.mark.skipif(not hasattr(os, "fork"), reason="fork is of POSIX")
def test_a_forked_copy_leaves_the_lock_alone(folder):
    lock = JobLock(folder)
    with lock:
        child = os.fork()
        if child == 0:
            lock.__exit__(None, None, None)
            os._exit(0)
        os.waitpid(child, 0)
        lock.check()
        with pytest.raises(JobLockedError):
            JobLock(folder).__enter__()


def test_a_refusal_travels_between_processes(folder):
    write_owner(folder, heartbeat=HOUR)
    with pytest.raises(JobLockedError) as caught:
        JobLock(folder).__enter__()
    copy = pickle.loads(pickle.dumps(caught.value))
    assert (str(copy), copy.owner, copy.is_stale) == (str(caught.value), caught.value.owner, True)
