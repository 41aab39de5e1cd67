"""The record of a volume job: what was asked, and what is done.

The ledger is a text file of JSON lines that only grows. The first line is the job's header, put in
place whole (temporary file, then ``os.replace``); every further line is appended, flushed and
synced after the data it speaks of was written. Lines were chosen over rewriting the file for each
slice because a slice then costs the same at the first and at the thousandth, and because a kill
can only tear the last line, which has no line feed yet: on opening, the file is cut back to its
last whole line. Every entry carries the CRC-32 of its data, so that data that a power cut took
away (zarr does not sync its files) is noticed and made again. Entries hold no times and no
machine names: equal jobs have equal ledgers.

Where several calls share a job (`--shard`), each records its blocks in a ledger of its own, with
the same header; the job's ledger takes their entries in when it is finished.
"""

from __future__ import annotations

import json
import os
import zlib
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType
from typing import Any, Self

import numpy as np
from numpy.typing import NDArray

LEDGER_FORMAT = 2
_MISSING = "not recorded"


class LedgerError(ValueError):
    """A ledger cannot be read."""


class JobMismatchError(ValueError):
    """An output holds another job: other settings, another source or another model.

    Attributes
    ----------
    fields : tuple of str
        Names of what differs.
    """

    def __init__(self, message: str, fields: tuple[str, ...]) -> None:
        super().__init__(message)
        self.fields = fields


@dataclass(frozen=True, kw_only=True)
class DoneBlock:
    """A block that was segmented: its highest id and the checksum of its labels."""

    n_objects: int
    checksum: str


def checksum(*arrays: NDArray[Any]) -> str:
    """Return the CRC-32 of arrays of integers, in the order given, as 8 hexadecimal digits."""
    crc = 0
    for array in arrays:
        little_endian = np.ascontiguousarray(array, array.dtype.newbyteorder("<"))
        crc = zlib.crc32(little_endian.tobytes(), crc)
    return f"{crc:08x}"


def read_header(path: Path) -> dict[str, Any]:
    """Read the header of a ledger.

    Raises
    ------
    LedgerError
        If the file has no header of a known format.
    """
    with path.open("rb") as file:
        header = _parse(file.readline())
    if header is None or header.get("entry") != "job" or header.get("format") != LEDGER_FORMAT:
        raise LedgerError(
            f"{str(path)!r} is damaged or of another version; "
            "start over with resume=False (--restart in the shell) or choose another output"
        )
    return header


def changed_fields(old: Mapping[str, Any], new: Mapping[str, Any]) -> dict[str, tuple[Any, Any]]:
    """Return what differs between two nested mappings: name of the field -> (old, new).

    A setting that one of them lacks differs from any value, None included: a version that did not
    have it worked in another way.
    """
    changes: dict[str, tuple[Any, Any]] = {}
    for key in sorted(old.keys() | new.keys()):
        before, after = old.get(key, _MISSING), new.get(key, _MISSING)
        if isinstance(before, Mapping) and isinstance(after, Mapping):
            changes.update(changed_fields(before, after))
        elif before != after:
            changes[key] = (before, after)
    return changes


def check_same_job(header: Mapping[str, Any], job: Mapping[str, Any], output: Path) -> None:
    """Refuse a job that differs from the one in the header.

    Raises
    ------
    JobMismatchError
        With the fields that differ, and both their values.
    """
    recorded = {key: header[key] for key in job if key in header}
    changes = changed_fields(recorded, json.loads(json.dumps(job)))
    if changes:
        listed = ", ".join(f"{key} was {old}, now {new}" for key, (old, new) in changes.items())
        raise JobMismatchError(
            f"{output.name!r} belongs to another job: {listed}; "
            "go back to the old settings, use another output, or start over with resume=False "
            "(--restart in the shell)",
            tuple(changes),
        )


class Ledger:
    """The open record of a job; a context manager that closes its file.

    Parameters
    ----------
    path : pathlib.Path
        A ledger that :meth:`create` made.

    Attributes
    ----------
    header : dict
        What the job was asked to do.
    blocks : dict of int to DoneBlock
        The blocks that were segmented.
    failed : dict of int to str
        Blocks that could not be, and why; their labels count as empty.
    linked : tuple of (int, str) or None
        Number of objects and checksum of the tables of ids, once objects were linked.
    written : dict of int to str
        Checksum of each write block, over all levels, that was written with its final ids.
    finished : bool
        Whether the job is done.

    Notes
    -----
    Entries build on each other: segmenting a block anew takes back the linking, and linking anew
    takes back what was written.
    """

    def __init__(self, path: Path) -> None:
        self.header = read_header(path)
        self.blocks: dict[int, DoneBlock] = {}
        self.failed: dict[int, str] = {}
        self.linked: tuple[int, str] | None = None
        self.written: dict[int, str] = {}
        self.finished = False
        self._file = path.open("r+b")
        self._replay()

    @classmethod
    def create(cls, path: Path, job: Mapping[str, Any], *, replace: bool = True) -> Self:
        """Begin a ledger.

        Parameters
        ----------
        path : pathlib.Path
            The file.
        job : mapping
            What the job is asked to do; plain values for JSON.
        replace : bool
            Whether to take the place of a ledger that is there, or to open that one.
        """
        header = {"entry": "job", "format": LEDGER_FORMAT, **job}
        temporary = path.with_name(f"{path.name}.{os.getpid()}.partial")
        with temporary.open("wb") as file:
            file.write(_line(header))
            file.flush()
            os.fsync(file.fileno())
        if replace or not _linked_to(temporary, path):
            temporary.replace(path)
        return cls(path)

    @property
    def is_fresh(self) -> bool:
        """Whether nothing but the header was recorded."""
        return not self.blocks and not self.failed

    def add_block(self, number: int, done: DoneBlock) -> None:
        """Record a segmented block, unless the same is recorded already."""
        if self.blocks.get(number) != done:
            entry = {"n": number, "objects": done.n_objects, "crc32": done.checksum}
            self._append({"entry": "block", **entry})

    def add_failed(self, number: int, error: str) -> None:
        """Record a block that cannot be segmented, unless the same is recorded already."""
        if self.failed.get(number) != error:
            self._append({"entry": "failed", "n": number, "error": error})

    def add_linked(self, n_objects: int, table_checksum: str) -> None:
        """Record the linking, unless the same is recorded already."""
        if self.linked != (n_objects, table_checksum):
            self._append({"entry": "linked", "objects": n_objects, "crc32": table_checksum})

    def add_written(self, number: int, levels_checksum: str) -> None:
        """Record a write block in the output, unless the same is recorded already."""
        if self.written.get(number) != levels_checksum:
            self._append({"entry": "written", "n": number, "crc32": levels_checksum})

    def add_finished(self) -> None:
        """Record the end of the job."""
        self._append({"entry": "finished"})

    def close(self) -> None:
        """Close the file."""
        self._file.close()

    def __enter__(self) -> Self:
        """Return the ledger itself."""
        return self

    def __exit__(
        self,
        error_type: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        """Close the file."""
        self.close()

    def _replay(self) -> None:
        """Take in all whole lines and cut off what follows them."""
        self._file.readline()
        whole = self._file.tell()
        while (entry := _parse(self._file.readline())) is not None:
            self._take(entry)
            whole = self._file.tell()
        self._file.seek(whole)
        self._file.truncate()

    def _append(self, entry: Mapping[str, Any]) -> None:
        self._file.write(_line(entry))
        self._file.flush()
        os.fsync(self._file.fileno())
        self._take(entry)

    def _take(self, entry: Mapping[str, Any]) -> None:
        match entry["entry"]:
            case "block":
                done = DoneBlock(n_objects=entry["objects"], checksum=entry["crc32"])
                self.blocks[entry["n"]] = done
                self.failed.pop(entry["n"], None)
                self._take_back()
            case "failed":
                self.failed[entry["n"]] = entry["error"]
                self.blocks.pop(entry["n"], None)
                self._take_back()
            case "linked":
                self.linked = (entry["objects"], entry["crc32"])
                self.written.clear()
            case "written":
                self.written[entry["n"]] = entry["crc32"]
            case "finished":
                self.finished = True

    def _take_back(self) -> None:
        """Forget what was made of blocks that have changed."""
        self.linked = None
        self.written.clear()
        self.finished = False


def _linked_to(temporary: Path, path: Path) -> bool:
    """Put a file in place if there is none, and remove its temporary name; False if links fail."""
    try:
        os.link(temporary, path)
    except FileExistsError:
        pass
    except OSError:  # a file system without hard links
        if not path.exists():
            return False
    temporary.unlink()
    return True


def _line(entry: Mapping[str, Any]) -> bytes:
    return json.dumps(entry, ensure_ascii=False, allow_nan=False).encode() + b"\n"


def _parse(line: bytes) -> dict[str, Any] | None:
    """Return the entry of a line, or None if the line is not whole."""
    if not line.endswith(b"\n"):
        return None
    try:
        entry = json.loads(line)
    except ValueError:
        return None
    return entry if isinstance(entry, dict) and "entry" in entry else None
