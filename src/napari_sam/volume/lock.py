"""A lock on a job's folder, so that two jobs never write one output.

Two things hold it. On one machine the system locks a file, and lets go of it when the process ends,
however it ends: after a kill the same call simply works. File systems that are shared do not always
carry such locks from host to host, so a second file says who holds the lock and gives a sign of
life twice a minute. A lock of another host without one for some minutes is stale: it is told, and
taken only where that is asked for.
"""

from __future__ import annotations

import errno
import getpass
import json
import os
import socket
import threading
import time
import uuid
from collections.abc import Callable
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from types import TracebackType
from typing import Any, Self, TypeVar

from filelock import BaseFileLock, FileLock, Timeout

HEARTBEAT_SECONDS = 30.0
"""Between two signs of life."""
STALE_SECONDS = 300.0
"""A lock of another host without a sign of life for so long is stale."""
LOCK_NAME = "lock"
OWNER_NAME = "owner.json"

_UNSUPPORTED = {errno.ENOSYS, errno.ENOTSUP, errno.EOPNOTSUPP, errno.ENOLCK}
_UNITS = (("day", 86400), ("hour", 3600), ("minute", 60), ("second", 1))
_TRIES = 10
_PAUSE = 0.02

Done = TypeVar("Done")


@dataclass(frozen=True, kw_only=True)
class JobOwner:
    """Who holds a job's folder.

    Attributes
    ----------
    host, user : str
        Name of the machine and of the person; empty where they are not known.
    pid : int
        The process; 0 where it is not known.
    started, heartbeat : float
        When the lock was taken, and the last sign of life; seconds since 1970.
    token : str
        Tells this holding of the lock from any other.
    """

    host: str
    user: str
    pid: int
    started: float
    heartbeat: float
    token: str = ""

    @classmethod
    def here(cls) -> JobOwner:
        """Return this process, holding a lock from now on."""
        now = time.time()
        return cls(
            host=socket.gethostname(),
            user=_user(),
            pid=os.getpid(),
            started=now,
            heartbeat=now,
            token=uuid.uuid4().hex,
        )

    @property
    def is_of_this_host(self) -> bool:
        """Whether it runs, or ran, on this machine."""
        return self.host == socket.gethostname()

    @property
    def is_silent(self) -> bool:
        """Whether the last sign of life is so long ago that it may be gone."""
        return time.time() - self.heartbeat > STALE_SECONDS

    def __str__(self) -> str:
        """Say who it is, since when, and when it was last heard of."""
        is_this = self.is_of_this_host and self.pid == os.getpid()
        who = f"process {self.pid or '(unknown)'}" + (" (this one)" if is_this else "")
        who += f" of {self.user}" * bool(self.user)
        return (
            f"{who} on host {self.host or '(unknown)'}, which began {_age(self.started)} and gave "
            f"its last sign of life {_age(self.heartbeat)}"
        )


class JobLockedError(ValueError):
    """A job's folder is, or may be, in use by another job.

    Attributes
    ----------
    owner : JobOwner or None
        Who holds it; None where nobody said so.
    is_stale : bool
        Whether the owner may be gone, so that the lock can be taken with ``take=True``.
    """

    def __init__(
        self, message: str, owner: JobOwner | None = None, *, is_stale: bool = False
    ) -> None:
        super().__init__(message)
        self.owner = owner
        self.is_stale = is_stale


class JobLock:
    """Holds a job's folder; a context manager.

    It may be entered in one thread and left in another, as a generator's steps are. It holds once:
    a second lock on the folder is refused, in this process as in any other.

    Parameters
    ----------
    path : pathlib.Path
        The job's folder; made where it is missing.
    take : bool
        Take a lock that is stale. One whose owner lives is never taken.

    Raises
    ------
    JobLockedError
        On entering, if another job holds the folder.
    """

    def __init__(self, path: Path, *, take: bool = False) -> None:
        self.path = path
        self._take = take
        self._owner: JobOwner | None = None
        self._system: BaseFileLock | None = None
        self._ended = threading.Event()
        self._writing = threading.Lock()

    def __enter__(self) -> Self:
        """Take the lock."""
        if self._owner is not None:
            raise self._refusal(self._owner)
        self.path.mkdir(parents=True, exist_ok=True)
        self._system = self._lock_file()
        try:
            self._owner = self._claim()
            self._ended = threading.Event()
            threading.Thread(target=self._live, name="napari-sam lock", daemon=True).start()
        except BaseException:
            self._let_go()
            raise
        return self

    def __exit__(
        self,
        error_type: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        """Let go of the lock; a copy of it in a forked process leaves it alone."""
        if self._owner is None or self._owner.pid != os.getpid():
            return
        self._ended.set()
        is_free = self._writing.acquire(timeout=5)
        try:
            if self._holds():
                self._owner_file.unlink(missing_ok=True)
        finally:
            if is_free:
                self._writing.release()
            self._let_go()

    def check(self) -> None:
        """Make sure that the lock is still ours; a job asks before it writes.

        Raises
        ------
        JobLockedError
            If another job took it: this process did not give a sign of life for too long, as a
            machine that slept does not.
        """
        if not self._holds():
            raise JobLockedError(
                f"The lock of the job in {str(self.path)!r} was taken over while this process gave "
                "no sign of life; this job stops here, and what it has done stays",
                self._other(),
            )

    @property
    def _owner_file(self) -> Path:
        return self.path / OWNER_NAME

    def _lock_file(self) -> BaseFileLock | None:
        """Let the system lock a file; None where the file system cannot."""
        lock = FileLock(self.path / LOCK_NAME, timeout=0, thread_local=False)
        try:
            lock.acquire()
        except Timeout:
            other = self._other()
            is_stale = other is not None and other.is_silent and not other.is_of_this_host
            if not (self._take and is_stale):
                raise self._refusal(other, is_stale=is_stale) from None
        except (NotImplementedError, OSError) as error:
            if isinstance(error, OSError) and error.errno not in _UNSUPPORTED:
                raise
            return None
        else:
            return lock
        # A server holds it for a host that is gone: a new file has a lock of its own.
        (self.path / LOCK_NAME).unlink(missing_ok=True)
        return self._lock_file()

    def _claim(self) -> JobOwner:
        """Enter this process as the owner, unless another may live."""
        other = _read_owner(self._owner_file)
        if other is not None:
            left_behind = other.is_of_this_host and self._system is not None
            if not left_behind and not (self._take and other.is_silent):
                raise self._refusal(other, is_stale=other.is_silent)
        owner = JobOwner.here()
        try:
            self._write(owner, is_first=other is None)
        except (FileExistsError, FileNotFoundError):  # another host was quicker
            raise self._refusal(self._other()) from None
        for leftover in self.path.glob(f"{OWNER_NAME}.*"):
            leftover.unlink(missing_ok=True)
        return owner

    def _write(self, owner: JobOwner, *, is_first: bool = False) -> None:
        """Write the owner whole; the first one only where there is none, if links can be made."""
        new = self._owner_file.with_name(f"{OWNER_NAME}.{owner.token}")
        with new.open("w", encoding="utf-8") as file:
            json.dump(asdict(owner), file)
            file.flush()
            os.fsync(file.fileno())
        try:
            if not (is_first and _link(new, self._owner_file)):
                _patiently(lambda: new.replace(self._owner_file))
        finally:
            new.unlink(missing_ok=True)

    def _live(self) -> None:
        """Give signs of life until the lock is let go of or lost."""
        owner, ended = self._owner, self._ended
        while owner is not None and not ended.wait(HEARTBEAT_SECONDS):
            with self._writing:
                if ended.is_set() or not self._holds():
                    return
                try:
                    self._write(replace(owner, heartbeat=time.time()))
                except OSError:  # a full or sleepy disk: the next sign of life may come through
                    continue

    def _holds(self) -> bool:
        """Tell whether the file says that we own the lock; yes where it cannot be read now."""
        if self._owner is None:
            return False
        try:
            found = _read_owner(self._owner_file)
        except OSError:
            return True
        return found is not None and found.token == self._owner.token

    def _other(self) -> JobOwner | None:
        """Return who says that it owns the lock, waiting a moment for what is just beginning."""
        for _ in range(_TRIES):
            other = _read_owner(self._owner_file)
            if other is not None:
                return other
            time.sleep(_PAUSE)
        return None

    def _let_go(self) -> None:
        system, self._system, self._owner = self._system, None, None
        if system is not None:
            system.release()

    def _refusal(self, owner: JobOwner | None, *, is_stale: bool = False) -> JobLockedError:
        where = f"The job in {str(self.path)!r}"
        if owner is None:
            return JobLockedError(
                f"{where} is in use by a process that has not said who it is; wait until it is "
                "done, or choose another output"
            )
        if is_stale:
            return JobLockedError(
                f"{where} is locked by {owner}. If it is gone, take the lock over (take_lock=True; "
                "--take-lock in the shell); if it may still run, stop it first",
                owner,
                is_stale=True,
            )
        return JobLockedError(
            f"{where} is in use by {owner}. Wait until it is done, stop it, or choose another "
            f"output{_elsewhere(owner)}",
            owner,
        )


def _elsewhere(owner: JobOwner) -> str:
    if owner.is_of_this_host:
        return ""
    minutes = round(STALE_SECONDS / 60)
    return f"; where it was killed, its lock can be taken {minutes} minutes after that sign"


def _read_owner(path: Path) -> JobOwner | None:
    """Read who owns a lock; None where nobody does, a nameless one where the file is damaged."""
    try:
        text = _patiently(lambda: path.read_text(encoding="utf-8", errors="replace"))
        touched = path.stat().st_mtime
    except FileNotFoundError:
        return None
    try:
        return _parsed(json.loads(text))
    except (AttributeError, KeyError, TypeError, ValueError):
        return JobOwner(host="", user="", pid=0, started=touched, heartbeat=touched)


def _parsed(values: Any) -> JobOwner:
    return JobOwner(
        host=str(values["host"]),
        user=str(values.get("user", "")),
        pid=int(values["pid"]),
        started=float(values["started"]),
        heartbeat=float(values["heartbeat"]),
        token=str(values.get("token", "")),
    )


def _patiently(step: Callable[[], Done]) -> Done:
    """Do a step on a file that others may have open for a moment, which Windows does not allow."""
    for _ in range(_TRIES):
        try:
            return step()
        except PermissionError:
            time.sleep(_PAUSE)
    return step()


def _link(existing: Path, new: Path) -> bool:
    """Give a file a second name; FileExistsError where that is taken, False without links."""
    try:
        os.link(existing, new)
    except (FileExistsError, FileNotFoundError):
        raise
    except (OSError, NotImplementedError):
        return False
    return True


def _user() -> str:
    try:
        return getpass.getuser()
    except (ImportError, KeyError, OSError):  # a user without a name, as in some containers
        return ""


def _age(moment: float) -> str:
    """Say how long ago a moment was, in its largest unit."""
    seconds = max(0, int(time.time() - moment))
    for unit, length in _UNITS:
        count = seconds // length
        if count:
            return f"{count} {unit}{'s' * (count > 1)} ago"
    return "just now"
