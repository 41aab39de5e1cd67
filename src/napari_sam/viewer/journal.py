"""An append-only record of a session beside the data: a kill costs at most the click in hand.

One line an event: a CRC-32 of the rest in eight hex digits, a space, JSON. What a kill or a full
disk leaves of the last line does not match its sum; it and what follows are dropped with a notice.
"""

from __future__ import annotations

import contextlib
import errno
import hashlib
import json
import os
import queue
import sys
import threading
import time
import warnings
import zlib
from collections.abc import Callable
from dataclasses import dataclass, field
from io import FileIO
from pathlib import Path
from typing import IO, Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from napari_sam.viewer.entries import ObjectPrompts, ObjectTable
from napari_sam.viewer.history import Change, History
from napari_sam.viewer.labels_output import LABELS_NAME

FORMAT = "napari-sam journal 1"
_IN_USE = (errno.EACCES, errno.EAGAIN, errno.EDEADLK)
_SAMPLES = 5
_STRIDE = 16


class JournalInUseError(RuntimeError):
    """Another window writes this journal."""


@dataclass(kw_only=True)
class Recovered:
    """What a journal tells.

    Attributes
    ----------
    header : dict
        What it is about: image, labels, time.
    history : History
        Everything that was done and undone.
    table : ObjectTable
        The objects at the end.
    prompts : ObjectPrompts
        The prompts at the end.
    notice : str
        What was dropped, for people; empty where the journal is whole.
    length : int
        Bytes that are sound.
    """

    header: dict[str, Any] = field(default_factory=dict)
    history: History = field(default_factory=History)
    table: ObjectTable = field(default_factory=ObjectTable)
    prompts: ObjectPrompts = field(default_factory=ObjectPrompts)
    notice: str = ""
    length: int = 0

    @property
    def is_empty(self) -> bool:
        """Whether nothing was done."""
        return not (self.history.done or self.history.undone)

    def draw(self, labels: Any) -> None:
        """Write the objects' pixels into an array (numpy or zarr), change after change."""
        for change in self.history.done:
            for patch in change.patches:
                block = np.asarray(labels[patch.region])
                changed = patch.before.values != patch.after.values
                labels[patch.region] = np.where(changed, patch.after.values, block)

    def take(self, event: dict[str, Any]) -> None:
        """Follow one event; ValueError where it is none."""
        if not self.header:
            if event.get("format") != FORMAT:
                raise ValueError(f"it is not a {FORMAT!r}")
            self.header = event
            return
        what = event["event"]
        if what == "category":
            self.table.add_category(event["name"], event["colour"])
            return
        change: Change | None
        if what == "do":
            change = Change.from_json(event["change"])
            self.history.push(change)
        elif what == "undo":
            change = self.history.take_back()
        elif what == "redo":
            change = self.history.bring_back()
        else:
            raise ValueError(f"unknown event {what!r}")
        if change is not None:
            self.table.apply(change.entries)
            self.prompts = change.prompts_after or self.prompts


def read_journal(path: str | Path) -> Recovered:
    """Read a journal; a damaged tail is dropped, with a notice.

    Parameters
    ----------
    path : str or Path
        May not exist: then nothing was done.

    Returns
    -------
    Recovered
    """
    found = Recovered()
    file = Path(path)
    if not file.is_file():
        return found
    raw = file.read_bytes()
    for line in raw.splitlines(keepends=True):
        try:
            found.take(_event(line))
        except (ValueError, KeyError, TypeError, IndexError, zlib.error) as error:
            lost = raw[found.length :].count(b"\n") + (not raw.endswith(b"\n"))
            found.notice = f"{file.name}: the last {lost} line(s) were dropped ({error})"
            break
        found.length += len(line)
    return found


def _event(line: bytes) -> dict[str, Any]:
    body = line[9:-1]
    if not line.endswith(b"\n") or line[:9] != _sum(body) + b" ":
        raise ValueError("the line is damaged")
    event = json.loads(body)
    if not isinstance(event, dict):
        raise ValueError("the line holds no event")  # noqa: TRY004  what is wrong is the file
    return event


def _sum(body: bytes) -> bytes:
    return f"{zlib.crc32(body):08x}".encode("ascii")


class Journal:
    """Writes events in a thread of its own, in order, as they come.

    Parameters
    ----------
    path : str or Path
        The file; made, or gone on with after what is sound in it.
    header : dict
        What the session is about; written into a new file.
    on_error : callable, optional
        Called once, in the writing thread, with the error of a write that failed; by default it
        becomes a warning.
    told : bytes, optional
        What a new file begins with: the journal of another session, as far as it is to be gone on
        with.

    Attributes
    ----------
    length : int
        Bytes that are written.

    Raises
    ------
    JournalInUseError
        If another session, in this process or another, writes it.
    FileExistsError
        If a file that is to begin with something is there already.
    """

    def __init__(
        self,
        path: str | Path,
        header: dict[str, Any],
        on_error: Callable[[Exception], object] | None = None,
        *,
        told: bytes = b"",
    ) -> None:
        self.path = Path(path)
        self.labels_name = str(header.get("labels", LABELS_NAME))
        self.path.parent.mkdir(parents=True, exist_ok=True)
        self._on_error = on_error or _warn
        self._failed = False
        self._lock = locked(self.path)
        try:
            self._file = self._opened(told)
        except BaseException:
            self._lock.close()
            raise
        self.length = self.recovered.length
        self._events: queue.SimpleQueue[dict[str, Any] | Change | None] = queue.SimpleQueue()
        self._thread = threading.Thread(target=self._write, name="journal", daemon=True)
        self._thread.start()
        if not self.recovered.header:
            now = time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime())
            self._events.put({"format": FORMAT, "begun": now, **header})

    def done(self, change: Change) -> None:
        """Note a change."""
        self._events.put(change)

    def undone(self) -> None:
        """Note that the last change was taken back."""
        self._events.put({"event": "undo"})

    def redone(self) -> None:
        """Note that it was brought back."""
        self._events.put({"event": "redo"})

    def category(self, name: str, colour: str) -> None:
        """Note a class."""
        self._events.put({"event": "category", "name": name, "colour": colour})

    def close(self) -> None:
        """Write what is left and let others use the file."""
        self._events.put(None)
        self._thread.join()
        try:
            self._file.close()
        except OSError as error:  # as of a full disk behind a network
            self._fail(error)
        finally:
            self._lock.close()

    def _opened(self, told: bytes) -> FileIO:
        """Read the file, and open it to be written on, without what is damaged at its end."""
        if told:
            with self.path.open("xb") as new:
                new.write(told)
        self.recovered = read_journal(self.path)
        file = self.path.open("ab", buffering=0)
        try:
            self._cut(file)
        except BaseException:
            file.close()
            raise
        return file

    def _cut(self, file: FileIO) -> None:
        """Drop a damaged tail, keeping it in a file beside."""
        if self.recovered.notice:
            raw = self.path.read_bytes()
            self.path.with_name(self.path.name + ".damaged").write_bytes(
                raw[self.recovered.length :]
            )
            file.truncate(self.recovered.length)

    def _write(self) -> None:
        while True:
            item = self._events.get()
            if item is None:
                return
            event = {"event": "do", "change": item.to_json()} if isinstance(item, Change) else item
            if not self._failed:
                self._append(event)

    def _append(self, event: dict[str, Any]) -> None:
        """Write a line; after one that failed nothing more is written, for it would not fit."""
        try:
            body = json.dumps(event, separators=(",", ":"), default=_plain).encode("utf-8")
            self._write_whole(_sum(body) + b" " + body + b"\n")
        except Exception as error:  # noqa: BLE001  the thread goes on, so that closing ends it
            self._fail(error)

    def _write_whole(self, line: bytes) -> None:
        """Write a line, or nothing of it: what is kept for later fails again when it closes."""
        left = line
        try:
            while left:
                left = left[self._file.write(left) :]
        except OSError:
            with contextlib.suppress(OSError):
                self._file.truncate(self.length)
            raise
        self.length += len(line)

    def _fail(self, error: Exception) -> None:
        """Tell of the first error."""
        if not self._failed:
            self._failed = True
            self._on_error(error)


def _plain(value: object) -> object:
    """Return a number of numpy's as Python's, which scripts may give for labels."""
    if isinstance(value, np.generic):
        return value.item()
    raise TypeError(f"{value!r} cannot be written down")


def _warn(error: Exception) -> None:
    warnings.warn(
        f"The session's journal cannot be written ({error}); what is done now is lost if napari "
        "is killed",
        RuntimeWarning,
        stacklevel=2,
    )


def locked(journal: Path) -> IO[bytes]:
    """Open the file beside a journal that one session may hold at a time; a kill frees it.

    Raises
    ------
    JournalInUseError
        If another holds it.
    """
    path = journal.with_name(journal.name + ".lock")
    file = path.open("ab")
    try:
        if sys.platform == "win32":
            import msvcrt

            file.seek(0)
            msvcrt.locking(file.fileno(), msvcrt.LK_NBLCK, 1)
        else:
            import fcntl

            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError as error:
        file.close()
        if error.errno not in _IN_USE:
            raise
        raise JournalInUseError(
            f"{path.name} is in use by another session; close it, or choose another journal"
        ) from error
    return file


def journal_folder() -> Path:
    """Return where journals lie by default: the user's data folder.

    The environment variable ``NAPARI_SAM_JOURNALS`` names another.
    """
    import platformdirs

    given = os.environ.get("NAPARI_SAM_JOURNALS")
    return Path(given) if given else Path(platformdirs.user_data_dir("napari-sam")) / "journals"


class ImageSample(NamedTuple):
    """What an image is known by again: read once, for many names.

    Attributes
    ----------
    shape : tuple of int
        Of its array.
    dtype : str
        Of its array.
    planes : tuple of bytes
        A few thinned planes.
    """

    shape: tuple[int, ...]
    dtype: str
    planes: tuple[bytes, ...]

    @classmethod
    def of(cls, image: Any) -> ImageSample:
        """Read a sample of an array, or return the one that is given; for a worker thread.

        Parameters
        ----------
        image : array or ImageSample
            (..., H, W) or (..., H, W, 3), numpy, dask or zarr.
        """
        if isinstance(image, ImageSample):
            return image
        planes = (np.ascontiguousarray(plane).tobytes() for plane in _sampled(image))
        return cls(tuple(image.shape), str(image.dtype), tuple(planes))

    def key(self, name: str) -> str:
        """Return what tells the image, of a name, apart from others."""
        digest = hashlib.sha256(repr((name, self.shape, self.dtype)).encode())
        for plane in self.planes:
            digest.update(plane)
        return digest.hexdigest()[:16]


def _sampled(array: Any) -> list[NDArray[Any]]:
    """Return a thinned plane at a few places along the first axis."""
    if array.ndim < 3:
        return [np.asarray(array[::_STRIDE, ::_STRIDE])]
    places = sorted({int(i) for i in np.linspace(0, array.shape[0] - 1, _SAMPLES)})
    middle = tuple(length // 2 for length in array.shape[1:-2])
    thin = slice(None, None, _STRIDE)
    return [np.asarray(array[(place, *middle, thin, thin)]) for place in places]
