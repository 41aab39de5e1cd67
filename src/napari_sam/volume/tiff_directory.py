"""Whether a TIFF file is whole: its directories and what they point to lie in the file.

Readers take the pages that they find, so a file that was cut off looks like a shorter stack.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any, BinaryIO

import numpy as np
from numpy.typing import NDArray

_COMPRESSION = 259
_POINTERS = ((273, 279), (324, 325))  # offsets and byte counts of strips, and of tiles
_TEXTS = (270, 50838, 50839)  # the description, and what ImageJ writes
_SIZES = {1: 1, 2: 1, 3: 2, 4: 4, 5: 8, 6: 1, 7: 1, 11: 4, 12: 8, 13: 4, 16: 8, 18: 8}
_INTEGERS = {1: "u1", 3: "u2", 4: "u4", 13: "u4", 16: "u8", 18: "u8"}


class TiffError(ValueError):
    """A TIFF file is damaged, or holds what cannot be read as a volume."""


def check_directories(path: Path) -> None:
    """Walk over all directories of a TIFF file, without reading pixels.

    Parameters
    ----------
    path : Path
        A TIFF or BigTIFF file.

    Raises
    ------
    TiffError
        If it is no TIFF file, or a directory, its metadata or its pixels lie beyond its end.
    """
    with path.open("rb") as file:
        layout = _Layout.of(file, path)
        seen: set[int] = set()
        offset = layout.first
        while offset:
            if offset in seen:
                raise TiffError(f"{str(path)!r} is damaged: its directories run in a circle")
            seen.add(offset)
            offset = _check_directory(file, layout, offset, f"page {len(seen) - 1}")


@dataclass(frozen=True)
class _Layout:
    """How numbers are written in a file, and how long it is."""

    path: Path
    size: int
    first: int
    order: str
    is_big: bool

    @staticmethod
    def of(file: BinaryIO, path: Path) -> _Layout:
        header = file.read(16)
        order = {b"II": "<", b"MM": ">"}.get(header[:2], "")
        version = int(np.frombuffer(header[2:4], f"{order}u2")[0]) if len(header) > 7 else 0
        if not order or version not in (42, 43) or (version == 43 and len(header) < 16):
            raise TiffError(
                f"{str(path)!r} is no TIFF file, or its beginning is damaged; "
                "export it again, or convert it to OME-Zarr"
            )
        place, kind = (header[8:16], "u8") if version == 43 else (header[4:8], "u4")
        first = int(np.frombuffer(place, order + kind)[0])
        size = path.stat().st_size
        return _Layout(path=path, size=size, first=first, order=order, is_big=version == 43)

    @property
    def word(self) -> np.dtype[Any]:
        """Type of an offset."""
        return np.dtype(f"{self.order}u{8 if self.is_big else 4}")

    @property
    def entry(self) -> np.dtype[Any]:
        """Type of an entry of a directory."""
        short = f"{self.order}u2"
        value = f"V{self.word.itemsize}"
        return np.dtype([("tag", short), ("type", short), ("count", self.word), ("value", value)])

    def read(self, file: BinaryIO, offset: int, count: int, dtype: Any, what: str) -> NDArray[Any]:
        """Read an array; refuse one that lies beyond the end."""
        kind = np.dtype(dtype)
        self.check(offset, count * kind.itemsize, what)
        file.seek(offset)
        return np.frombuffer(file.read(count * kind.itemsize), kind)

    def check(self, offset: int, length: int, what: str) -> None:
        """Refuse what lies beyond the end."""
        if offset + length > self.size:
            raise TiffError(
                f"{str(self.path)!r} is damaged or cut off: {what} should lie up to byte "
                f"{offset + length}, but the file has {self.size} bytes; copy or export it again"
            )


def _check_directory(file: BinaryIO, layout: _Layout, offset: int, what: str) -> int:
    """Check a directory and what it points to; return the place of the next one, or 0."""
    head = np.dtype(f"{layout.order}u{8 if layout.is_big else 2}")
    count = int(layout.read(file, offset, 1, head, f"the directory of {what}")[0])
    start = offset + head.itemsize
    end = start + count * layout.entry.itemsize
    following = layout.read(file, end, 1, layout.word, f"the directory of {what}")
    entries = layout.read(file, start, count, layout.entry, f"the directory of {what}")
    tags = {int(entry["tag"]): entry for entry in entries}
    for tag in _TEXTS:
        if tag in tags:
            _check_value(layout, tags[tag], f"the description of {what}")
    for offsets, counts in _POINTERS:
        if offsets in tags and counts in tags:
            places = _integers(file, layout, tags[offsets], what)
            lengths = _integers(file, layout, tags[counts], what)
            if _is_uncompressed(file, layout, tags, what):
                lengths = np.minimum(lengths, 1)  # some writers round the last one up
            _check_pixels(layout, places, lengths, what)
    return int(following[0])


def _is_uncompressed(
    file: BinaryIO, layout: _Layout, tags: dict[int, NDArray[Any]], what: str
) -> bool:
    if _COMPRESSION not in tags:
        return True
    scheme = _integers(file, layout, tags[_COMPRESSION], what)
    return len(scheme) > 0 and int(scheme[0]) == 1


def _check_value(layout: _Layout, entry: NDArray[Any], what: str) -> None:
    length = int(entry["count"]) * _SIZES.get(int(entry["type"]), 0)
    if length > layout.word.itemsize:
        layout.check(int(np.frombuffer(bytes(entry["value"]), layout.word)[0]), length, what)


def _integers(
    file: BinaryIO, layout: _Layout, entry: NDArray[Any], what: str
) -> NDArray[np.uint64]:
    """Return the integers of an entry; none where it has another type."""
    kind = _INTEGERS.get(int(entry["type"]))
    if kind is None:
        return np.zeros(0, np.uint64)
    count, dtype = int(entry["count"]), np.dtype(layout.order + kind)
    inline = bytes(entry["value"])
    if count * dtype.itemsize <= len(inline):
        return np.frombuffer(inline, dtype, count).astype(np.uint64)
    place = int(np.frombuffer(inline, layout.word)[0])
    return layout.read(file, place, count, dtype, f"the directory of {what}").astype(np.uint64)


def _check_pixels(
    layout: _Layout, places: NDArray[np.uint64], lengths: NDArray[np.uint64], what: str
) -> None:
    count = min(len(places), len(lengths))
    ends = (places[:count] + lengths[:count])[lengths[:count] > 0]
    if ends.size:
        layout.check(int(ends.max()), 0, f"the pixels of {what}")
