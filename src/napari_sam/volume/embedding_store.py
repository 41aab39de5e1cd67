"""Embeddings on disk: float16, one zarr group each, the least recently used out first.

An entry appears whole, by renaming, or not at all; it never changes; and its checksums tell what is
damaged, which counts as missing. So any number of processes may read and write one store. When an
entry was used last is the time of its ``zarr.json``.
"""

from __future__ import annotations

import os
import re
import shutil
import threading
import time
import uuid
import zlib
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
import zarr
from numpy.typing import NDArray
from torch import Tensor
from zarr.codecs import BloscCodec

from napari_sam.model.sam import EncodedImage
from napari_sam.segmentation.embedding import ImageEmbedding
from napari_sam.segmentation.geometry import Geometry

EMBEDDING_FORMAT = 1
"""Raised where entries look otherwise, or an image and a model give another embedding; it is a part
of every key, so that versions do not see each other's entries."""

_ENTRY = re.compile(r"[0-9a-f]{64}\.zarr")
_ABOUT = "zarr.json"
_WRITING, _REMOVED = ".writing-", ".removed-"
_ABANDONED_SECONDS = 3600.0
_CHUNK_VALUES = 2**21
_LARGEST = float(np.finfo(np.float16).max)
_DAMAGE = (AttributeError, IndexError, KeyError, OSError, RuntimeError, TypeError, ValueError)
"""What reading a damaged entry may raise."""


@dataclass(frozen=True, kw_only=True, eq=False)
class KeptEmbedding:
    """What an embedding can be made of again.

    Attributes
    ----------
    maps : tuple of ndarray
        Features, then skip features if any, (C, h, w) float16 each.
    geometry : Geometry
        How the image lies in the network's input.
    object_diameter : float or None
        That the image was scaled by, image pixels.
    """

    maps: tuple[NDArray[np.float16], ...]
    geometry: Geometry
    object_diameter: float | None

    @classmethod
    def of(cls, embedding: ImageEmbedding) -> KeptEmbedding:
        """Take down an embedding; what float16 cannot hold becomes the largest it can."""
        return cls(
            maps=tuple(map(_halved, (embedding.image.features, *embedding.image.skips))),
            geometry=embedding.geometry,
            object_diameter=embedding.object_diameter,
        )

    @property
    def nbytes(self) -> int:
        """Size of the maps, bytes."""
        return sum(level.nbytes for level in self.maps)

    def encoded(self, device: str | torch.device) -> EncodedImage:
        """Return features and skip features, float32, on a device."""
        features, *skips = (_restored(level, device) for level in self.maps)
        return EncodedImage(features, tuple(skips))


class EmbeddingStore:
    """A folder of embeddings; it can be pickled, and used by many threads and processes at once.

    Parameters
    ----------
    folder : path
        Made where it is missing. Nothing in it but entries of a store is ever touched.
    limit : int, optional
        Bytes that the entries may take; what was not used for longest goes first. None keeps all.

    Raises
    ------
    ValueError
        If the limit is negative.
    """

    def __init__(self, folder: str | os.PathLike[str], *, limit: int | None = None) -> None:
        if limit is not None and limit < 0:
            raise ValueError(f"limit must be bytes, 0 or more, or None to keep all, got {limit}")
        self.folder = Path(folder).expanduser()
        self.limit = limit
        self._known: dict[str, tuple[int, float]] = {}  # size, and when it was used at the earliest
        self._lock = threading.Lock()
        self.folder.mkdir(parents=True, exist_ok=True)
        self._sweep()

    def __getstate__(self) -> dict[str, Any]:
        """Return what makes the store: where it is, and its limit."""
        return {"folder": self.folder, "limit": self.limit}

    def __setstate__(self, state: dict[str, Any]) -> None:
        """Open the store anew."""
        self.__init__(state["folder"], limit=state["limit"])  # type: ignore[misc]

    def __repr__(self) -> str:
        """Name folder and limit."""
        return f"EmbeddingStore({str(self.folder)!r}, limit={self.limit})"

    def __contains__(self, key: str) -> bool:
        """Tell whether an embedding is kept."""
        return (self._entry(key) / _ABOUT).is_file()

    def __len__(self) -> int:
        """Return how many embeddings are kept."""
        with self._lock:
            self._look()
            return len(self._known)

    @property
    def size(self) -> int:
        """What the kept embeddings take on disk, bytes."""
        with self._lock:
            return self._look()

    def get(self, key: str) -> KeptEmbedding | None:
        """Return what is kept under a key, or None; what is damaged is removed.

        Parameters
        ----------
        key : str
            64 hexadecimal digits.
        """
        entry = self._entry(key)
        if not entry.is_dir():
            return None
        with suppress(OSError):  # a store of others may be for reading only
            os.utime(entry / _ABOUT)
        try:
            return _read(entry)
        except _DAMAGE:
            self._remove(entry)
            return None

    def put(self, key: str, kept: KeptEmbedding) -> None:
        """Keep an embedding, and drop others where the limit asks for it.

        Nothing happens where the key is kept already, or the embedding alone is over the limit.

        Parameters
        ----------
        key : str
            64 hexadecimal digits.
        kept : KeptEmbedding
            What is kept.
        """
        entry = self._entry(key)
        if entry.is_dir():
            return
        new = self.folder / f"{_WRITING}{uuid.uuid4().hex}"
        try:
            _write(new, kept)
            if self._has_room(_size(new)):
                new.rename(entry)
        except OSError:
            if not entry.is_dir():  # else another process was quicker
                raise
        finally:
            shutil.rmtree(new, ignore_errors=True)

    def _entry(self, key: str) -> Path:
        name = f"{key}.zarr"
        if not _ENTRY.fullmatch(name):
            raise ValueError(f"A key must be 64 hexadecimal digits, as of a sha256, got {key!r}")
        return self.folder / name

    def _has_room(self, needed: int) -> bool:
        """Remove what was not used for longest until so many bytes fit; False if they never do."""
        if self.limit is None:
            return True
        if needed > self.limit:
            return False
        with self._lock:
            total = self._look()
            while total + needed > self.limit and self._known:
                name = min(self._known, key=lambda one: self._known[one][1])
                size, used = self._known[name]
                used_since = _used(self.folder / name)
                if used_since is not None and used_since > used:
                    self._known[name] = size, used_since
                    continue
                self._remove(self.folder / name)
                del self._known[name]
                total -= size
        return True

    def _look(self) -> int:
        """Take in what all processes did to the folder; returns the bytes that are kept."""
        found = {path.name for path in self.folder.iterdir()}
        names = {name for name in found if _ENTRY.fullmatch(name)}
        for name in self._known.keys() - names:
            del self._known[name]
        for name in names - self._known.keys():
            used = _used(self.folder / name)
            if used is not None:
                self._known[name] = _size(self.folder / name), used
        return sum(size for size, _ in self._known.values())

    def _remove(self, entry: Path) -> None:
        """Take an entry away at once, then its files; one that is open elsewhere may stay."""
        removed = self.folder / f"{_REMOVED}{uuid.uuid4().hex}"
        with suppress(OSError):
            entry.rename(removed)
        shutil.rmtree(removed, ignore_errors=True)

    def _sweep(self) -> None:
        """Remove what killed processes left half written or half removed."""
        before = time.time() - _ABANDONED_SECONDS
        for path in self.folder.iterdir():
            if path.name.startswith((_WRITING, _REMOVED)):
                with suppress(OSError):
                    if path.stat().st_mtime < before:
                        shutil.rmtree(path, ignore_errors=True)


def _halved(level: Tensor) -> NDArray[np.float16]:
    """Bring a map (1, C, h, w) to (C, h, w) float16 in memory."""
    half = level[0].clamp(-_LARGEST, _LARGEST).half().cpu().numpy()
    return np.ascontiguousarray(half)


def _restored(level: NDArray[np.float16], device: str | torch.device) -> Tensor:
    """Bring a map (C, h, w) to (1, C, h, w) float32, channels last as encoders leave it."""
    whole = torch.from_numpy(level)[None].to(device).float()
    return whole.contiguous(memory_format=torch.channels_last)


def _write(folder: Path, kept: KeptEmbedding) -> None:
    names = [f"skip_{index}" if index else "features" for index in range(len(kept.maps))]
    about = {
        "format": EMBEDDING_FORMAT,
        "geometry": asdict(kept.geometry),
        "object_diameter": kept.object_diameter,
        "crc32": {name: _checksum(level) for name, level in zip(names, kept.maps, strict=True)},
    }
    zarr.create_group(store=folder, attributes={"embedding": about}, zarr_format=3)
    for name, level in zip(names, kept.maps, strict=True):
        channels, height, width = level.shape
        together = max(1, min(channels, _CHUNK_VALUES // (height * width)))
        zarr.create_array(
            store=folder / name,
            data=level,
            chunks=(together, height, width),
            compressors=BloscCodec(cname="zstd", clevel=1, shuffle="shuffle"),
            dimension_names=("c", "y", "x"),
            zarr_format=3,
        )


def _read(folder: Path) -> KeptEmbedding:
    """Read an entry; raises one of `_DAMAGE` where it is not whole."""
    group = zarr.open_group(store=folder, mode="r", zarr_format=3)
    about: Any = group.attrs["embedding"]
    maps = []
    for name, checksum in about["crc32"].items():
        level = np.asarray(zarr.open_array(store=folder / name, mode="r")[...])
        if level.dtype != np.float16 or level.ndim != 3 or _checksum(level) != checksum:
            raise ValueError(f"{name} is damaged")
        maps.append(level)
    diameter = about["object_diameter"]
    return KeptEmbedding(
        maps=tuple(maps),
        geometry=_geometry(about["geometry"]),
        object_diameter=None if diameter is None else float(diameter),
    )


def _geometry(stored: Mapping[str, Any]) -> Geometry:
    shapes = {name: (int(rows), int(cols)) for name, (rows, cols) in stored.items()}
    return Geometry(**shapes)


def _checksum(level: NDArray[np.float16]) -> str:
    return f"{zlib.crc32(np.ascontiguousarray(level, '<f2').tobytes()):08x}"


def _size(folder: Path) -> int:
    """Return the bytes of all files below a folder; those that vanish meanwhile count nothing."""
    total = 0
    for parent, _, names in os.walk(folder):
        for name in names:
            with suppress(OSError):
                total += Path(parent, name).stat().st_size
    return total


def _used(entry: Path) -> float | None:
    """Return when an entry was used last; None where it is gone."""
    for path in (entry / _ABOUT, entry):
        with suppress(OSError):
            return path.stat().st_mtime
    return None
