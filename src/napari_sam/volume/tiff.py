"""TIFF files as arrays that are read from the disk part by part.

A file is open only while something is read, so that it can be moved and removed meanwhile, and
any number of threads may read at once.
"""

from __future__ import annotations

import itertools
import math
import struct
import threading
import zlib
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from napari_sam.volume.tiff_directory import TiffError, check_directories

_DAMAGES = (OSError, ValueError, RuntimeError, IndexError, KeyError, zlib.error, struct.error)
_GRAY = (0, 1)
"""Photometric interpretations of TIFF 6.0: white or black is zero."""
Window = tuple[slice, ...]


class TiffStack:
    """The first image of a TIFF file as an array.

    OME-TIFF, ImageJ's hyperstacks, BigTIFF, tiles, strips and colors are all the same here. A file
    of many images of one plane each is a stack of them.

    Parameters
    ----------
    path : Path
        The file.
    level : int
        Level of its pyramid; 0 is the finest.

    Attributes
    ----------
    path : Path
        The file.
    letters : str
        Axes as tifffile names them: ``T``, ``C``, ``Z``, ``Y``, ``X``, ``S`` (samples), and ``I``
        or ``Q`` where the file says nothing.
    shape, chunks : tuple of int
        Length of each axis, and of a part that is stored as one.
    dtype : numpy.dtype
        Type of the pixels.
    levels : tuple of tuple of int
        Shapes of all levels of the pyramid.
    """

    def __init__(self, path: Path, level: int = 0) -> None:
        import tifffile

        self.path, self._level = path, level
        self._lock = threading.Lock()
        check_directories(path)
        with _telling(path), tifffile.TiffFile(path) as file:
            if not file.series:
                raise TiffError(f"{str(path)!r} has no image; export it again")
            self.levels = tuple(tuple(one.shape) for one in file.series[0].levels)
            if not 0 <= level < len(self.levels):
                raise TiffError(
                    f"level must be an index from 0 to {len(self.levels) - 1}, got {level!r}"
                )
            self._images = _alike(file.series, level, path)
            self._take_shape(path)
            self._offset = self._contiguous()
            self._check_end()

    def _take_shape(self, path: Path) -> None:
        """Set shape and axes; the last ones are those of a page, gray planes of one are slices."""
        image, stacked = self._images[0], len(self._images) > 1
        self._keyframe = image.keyframe
        self.dtype: np.dtype[Any] = np.dtype(image.dtype)
        gray_planes = image.axes == "SYX" and self._keyframe.photometric in _GRAY
        self.letters = "Q" * stacked + ("QYX" if gray_planes and not stacked else image.axes)
        self.shape: tuple[int, ...] = (len(self._images),) * stacked + tuple(image.shape)
        self._n_leading = len(self.shape) - len(self._keyframe.shape)
        page = (tuple(self._keyframe.shape), self._keyframe.dtype)
        if (self.shape[self._n_leading :], self.dtype) != page:
            raise TiffError(
                f"{str(path)!r} must have pages that are planes of the image {self.shape}, "
                f"{self.dtype}, got pages {page[0]}, {page[1]}; convert it to OME-Zarr"
            )

    def _contiguous(self) -> int | None:
        """Return where the pixels of all pages begin, if they lie in the file one after another."""
        image = self._images[0]
        alone = len(self._images) == 1 and not image.is_multifile
        offset = image.dataoffset if alone else None
        return None if offset is None else int(offset)

    def _check_end(self) -> None:
        """Refuse a file that ends before its last page, or has fewer pages than it says."""
        n_pages = math.prod(self.shape[: self._n_leading])
        if self._offset is not None:
            end = self._offset + n_pages * self._page_bytes
        elif sum(map(len, self._images)) != n_pages:
            raise TiffError(
                f"{str(self.path)!r} is damaged: it should have {n_pages} pages, "
                f"got {sum(map(len, self._images))}; copy or export it again"
            )
        else:
            last = self._images[-1][len(self._images[-1]) - 1]
            is_here = last is not None and last.parent is self._keyframe.parent
            plain = is_here and self._keyframe.is_final and len(last.dataoffsets) > 0
            end = last.dataoffsets[0] + self._page_bytes if plain else 0
            self._keyframe.decode(None, 0)  # says at once if its compression is not known
        size = self.path.stat().st_size
        if end > size:
            raise TiffError(
                f"{str(self.path)!r} is cut off: its pixels end at byte {end}, but the file has "
                f"{size} bytes; copy or export it again"
            )

    @property
    def chunks(self) -> tuple[int, ...]:
        """Shape of what is stored as one: a page, or a strip or tile of it."""
        keyframe, page = self._keyframe, list(self._keyframe.shape)
        if not keyframe.is_final:
            rows, cols = keyframe.axes.index("Y"), keyframe.axes.index("X")
            tile = (keyframe.tilelength, keyframe.tilewidth)
            strip = (keyframe.rowsperstrip, page[cols])
            length, width = tile if keyframe.is_tiled else strip
            page[rows], page[cols] = min(length, page[rows]), min(width, page[cols])
            if keyframe.axes[0] == "Z":
                page[0] = max(1, keyframe.tiledepth)
        return (1,) * self._n_leading + tuple(int(length) for length in page)

    def __getitem__(self, selection: Any) -> NDArray[Any]:
        """Read a part of the array, given integers and slices of step 1.

        Returns
        -------
        numpy.ndarray
            Axes with an integer are gone, as in numpy.

        Raises
        ------
        TiffError
            If the file is damaged there.
        """
        window, squeeze = _window(selection, self.shape)
        leading, page = window[: self._n_leading], window[self._n_leading :]
        shape = [cut.stop - cut.start for cut in window]
        part: NDArray[Any] = np.empty(shape, self.dtype)
        indices = [range(cut.start, cut.stop) for cut in leading]
        for place in itertools.product(*indices):
            where = tuple(index - cut.start for index, cut in zip(place, leading, strict=True))
            with _telling(self.path):
                part[where] = self._read(_flat(place, self.shape), page)
        return np.asarray(part[squeeze])

    def __reduce__(self) -> tuple[Any, ...]:
        """Another process opens the file again."""
        return TiffStack, (self.path, self._level)

    @property
    def _page_bytes(self) -> int:
        return math.prod(self.shape[self._n_leading :]) * self.dtype.itemsize

    def _read(self, number: int, window: Window) -> NDArray[Any]:
        """Read a window, a slice for each axis of a page, of a page."""
        if self._offset is not None:
            return self._map(self.path, self._offset + number * self._page_bytes, window)
        with self._lock:
            image = self._images[number // len(self._images[0])]
            with _open(image.parent.filehandle):
                page = image[number % len(self._images[0])]
            if page is None:  # a plane that an OME-TIFF does not have
                return np.zeros([cut.stop - cut.start for cut in window], self.dtype)
            file, keyframe = page.parent.filehandle, page.keyframe
            if not keyframe.is_final:
                with _open(file):
                    encoded = list(_segments(file, page, _area(keyframe, window)))
        if keyframe.is_final:
            return self._map(Path(file.path), page.dataoffsets[0], window)
        return np.asarray(_decoded(page, encoded, window))

    def _map(self, path: Path, offset: int, window: Window) -> NDArray[Any]:
        """Read a window of a page that lies in the file as it is."""
        stored = self.dtype.newbyteorder(self._keyframe.parent.byteorder)
        shape = tuple(self._keyframe.shape)
        pixels = np.memmap(path, stored, mode="r", offset=offset, shape=shape)
        return np.array(pixels[window])


@contextmanager
def _telling(path: Path) -> Iterator[None]:
    """Say which file is damaged."""
    try:
        yield
    except (TiffError, FileNotFoundError, PermissionError):
        raise
    except _DAMAGES as error:
        words = str(error)
        if "imagecodecs" in words or "COMPRESSION" in words:
            raise TiffError(
                f"{str(path)!r} is compressed in a way that cannot be read here: {words}; "
                "install imagecodecs, or save it uncompressed"
            ) from error
        raise TiffError(
            f"{str(path)!r} is damaged or cut off: {words}; copy or export it again"
        ) from error


@contextmanager
def _open(file: Any) -> Iterator[None]:
    """Open a file of tifffile's again for a moment."""
    file.open()
    try:
        yield
    finally:
        file.close()


def _alike(series: Sequence[Any], level: int, path: Path) -> list[Any]:
    """Return the first image, or all images where they are planes of one shape."""
    first = series[0]
    same = [one for one in series if (one.shape, one.dtype) == (first.shape, first.dtype)]
    if len(same) == 1:
        return [first.levels[level]]
    if set(first.axes) <= set("YXS") and all(len(one) == 1 for one in same):
        return [one.levels[level] for one in same]
    raise TiffError(
        f"{str(path)!r} must have one image, got {len(same)} of the shape {first.shape}; "
        "save the one that you need"
    )


def _window(selection: Any, shape: tuple[int, ...]) -> tuple[Window, tuple[Any, ...]]:
    """Return a slice for each axis, and what takes away the axes that have an integer."""
    given = selection if isinstance(selection, tuple) else (selection,)
    given = given + (slice(None),) * (len(shape) - len(given))
    window, squeeze = [], []
    for part, length in zip(given, shape, strict=True):
        is_slice = isinstance(part, slice)
        start, stop, step = part.indices(length) if is_slice else (int(part), int(part) + 1, 1)
        if step != 1 or (not is_slice and not 0 <= start < length):
            raise IndexError(
                f"a part must be integers below the shape {shape} and slices of step 1, got {part}"
            )
        window.append(slice(start, max(start, stop)))
        squeeze.append(slice(None) if is_slice else 0)
    return tuple(window), tuple(squeeze)


def _flat(place: Sequence[int], shape: Sequence[int]) -> int:
    """Return the number of the page at a place on the leading axes."""
    number = 0
    for index, length in zip(place, shape, strict=False):
        number = number * length + index
    return number


def _area(keyframe: Any, window: Window) -> tuple[slice, slice]:
    """Return the rows and columns of a window of a page."""
    return window[keyframe.axes.index("Y")], window[keyframe.axes.index("X")]


def _segments(
    file: Any, page: Any, area: tuple[slice, slice]
) -> Iterator[tuple[int, bytes | None]]:
    """Read the strips or tiles of a page that touch an area, as they are stored."""
    rows, cols = area
    for index in range(math.prod(page.chunked)):
        _, (_, _, row, col, _), (_, height, width, _) = page.keyframe.decode(None, index)
        if row < rows.stop and row + height > rows.start and col < cols.stop:
            if col + width <= cols.start:
                continue
            length = page.databytecounts[index] if index < len(page.databytecounts) else 0
            if not length:
                yield index, None
                continue
            file.seek(page.dataoffsets[index])
            data = file.read(length)
            if len(data) < length:
                raise TiffError(
                    f"{file.path!r} is cut off: a page needs {length} bytes, got {len(data)}; "
                    "copy or export it again"
                )
            yield index, data


def _decoded(page: Any, encoded: Sequence[tuple[int, bytes | None]], window: Window) -> Any:
    """Decode strips or tiles into a window of a page."""
    keyframe = page.keyframe
    rows, cols = _area(keyframe, window)
    separate, depth, _, _, samples = keyframe.shaped
    shape = (separate, depth, rows.stop - rows.start, cols.stop - cols.start, samples)
    part = np.full(shape, keyframe.nodata, keyframe.dtype)
    options = {"jpegtables": page.jpegtables, "jpegheader": keyframe.jpegheader}
    for index, data in encoded:
        pixels, (sample, z, row, col, _), _ = keyframe.decode(data, index, **options)
        if pixels is None:
            continue
        pixels = pixels[: depth - z, : keyframe.imagelength - row, : keyframe.imagewidth - col]
        target_rows, source_rows = _overlap(row, pixels.shape[1], rows)
        target_cols, source_cols = _overlap(col, pixels.shape[2], cols)
        target = part[sample, z : z + pixels.shape[0]]
        target[:, target_rows, target_cols] = pixels[:, source_rows, source_cols]
    lengths = list(keyframe.shape)
    lengths[keyframe.axes.index("Y")] = shape[2]
    lengths[keyframe.axes.index("X")] = shape[3]
    rest = [
        slice(None) if letter in "YX" else cut
        for letter, cut in zip(keyframe.axes, window, strict=True)
    ]
    return part.reshape(lengths)[tuple(rest)]


def _overlap(start: int, length: int, wanted: slice) -> tuple[slice, slice]:
    """Return where a piece from `start` on lies in the wanted range, and which part of it."""
    first, last = max(start, wanted.start), min(start + length, wanted.stop)
    target = slice(first - wanted.start, last - wanted.start)
    return target, slice(first - start, last - start)
