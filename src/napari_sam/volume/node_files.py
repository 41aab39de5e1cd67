"""Arrays with an entry per object of every block: in files, or in memory for small volumes."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import DTypeLike, NDArray

CHUNK = 2**20
"""Entries that are held in memory at once."""
SMALL = 2**20
"""Arrays of so many bytes are made in memory, where nobody reads them again later."""


class NodeFiles:
    """Makes arrays and logs, as ``.npy`` files in a folder or in memory.

    Parameters
    ----------
    folder : pathlib.Path, optional
        Made if it is missing; files of the same names are replaced. None keeps all in memory.
    """

    def __init__(self, folder: Path | None) -> None:
        self.folder = folder
        if folder is not None:
            folder.mkdir(parents=True, exist_ok=True)

    def path(self, name: str, n_bytes: int) -> Path | None:
        """Return the file of an array; None in memory."""
        is_in_memory = self.folder is None or n_bytes <= SMALL
        return None if is_in_memory or self.folder is None else self.folder / f"{name}.npy"

    def array(
        self, name: str, size: int, dtype: DTypeLike, fill: int = 0, *, kept: bool = False
    ) -> NDArray[Any]:
        """Make an array (size,) of one value; one that is kept has a file even if it is small."""
        n_bytes = size * np.dtype(dtype).itemsize
        path = self.path(name, SMALL + 1 if kept else n_bytes)
        if path is None:
            return np.full(size, fill, dtype)
        if size == 0:  # a file without data cannot be mapped
            np.save(path, np.zeros(0, dtype))
            return np.zeros(0, dtype)
        file = np.lib.format.open_memmap(path, mode="w+", dtype=dtype, shape=(size,))
        array: NDArray[Any] = file.view(np.ndarray)
        if fill:
            for start in range(0, size, CHUNK):
                array[start : start + CHUNK] = fill
        return array

    def log(self, name: str, dtype: DTypeLike) -> RecordLog:
        """Make an empty log of records."""
        path = None if self.folder is None else self.folder / f"{name}.log"
        return RecordLog(np.dtype(dtype), path)


def open_nodes(path: Path) -> NDArray[Any]:
    """Open an array that `NodeFiles` has made, for reading."""
    file = np.load(path, mmap_mode=None if path.stat().st_size <= CHUNK else "r")
    array: NDArray[Any] = file.view(np.ndarray)
    return array


class RecordLog:
    """Records in the order in which they came; only ever added to.

    Parameters
    ----------
    dtype : numpy.dtype
        A structured type.
    path : pathlib.Path, optional
        The file, replaced if it is there; None keeps the records in memory.

    Attributes
    ----------
    size : int
        How many records there are.
    """

    def __init__(self, dtype: np.dtype[Any], path: Path | None) -> None:
        self._dtype = dtype
        self._path = path
        self._kept: list[NDArray[Any]] = []
        self.size = 0
        if path is not None:
            path.write_bytes(b"")

    def append(self, records: NDArray[Any]) -> None:
        """Add records, (K,)."""
        self.size += records.size
        if self._path is None:
            self._kept.append(records)
        elif records.size:
            with self._path.open("ab") as file:
                file.write(records.tobytes())

    def chunks(self) -> Iterator[NDArray[Any]]:
        """Yield all records in arrays of moderate size."""
        if self._path is None:
            yield from self._kept
            return
        with self._path.open("rb") as file:
            while data := file.read(CHUNK * self._dtype.itemsize):
                yield np.frombuffer(data, self._dtype)


def spans(size: int) -> Iterator[slice]:
    """Yield the parts in which an array (size,) is gone through."""
    for start in range(0, size, CHUNK):
        yield slice(start, min(start + CHUNK, size))
