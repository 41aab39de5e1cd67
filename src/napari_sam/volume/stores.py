"""Zarr by its place: a folder, a zip file, or a URL; and the place of a zarr that is open."""

from __future__ import annotations

import os
import zipfile
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit
from urllib.request import url2pathname

import zarr
from zarr.abc.store import Store
from zarr.storage import FsspecStore, LocalStore, ZipStore

from napari_sam.volume.tiff_image import SUFFIXES

Node = zarr.Group | zarr.Array[Any]


class StoreError(ValueError):
    """A store cannot be opened from here."""


def locate(source: str | os.PathLike[str]) -> str:
    """Return the place of a source as text that holds in every folder and process.

    Parameters
    ----------
    source : path or URL
        A path may begin with ``~``; a ``file://`` URL is a path.

    Returns
    -------
    str
        A URL as it was given, or an absolute path.
    """
    name = os.fspath(source)
    if name.startswith("file://"):
        name = url2pathname(urlsplit(name).path)
    return name if is_remote(name) else str(Path(name).expanduser().absolute())


def is_remote(location: str) -> bool:
    """Tell whether a place is a URL."""
    return "://" in location


def open_zarr(location: str) -> Node:
    """Open a zarr group or array for reading.

    Parameters
    ----------
    location : str
        An absolute path of a folder or of a zip file, or of a group or array in one; or a URL that
        fsspec knows.

    Returns
    -------
    zarr.Group or zarr.Array
        Of format 2 or 3.

    Raises
    ------
    FileNotFoundError
        If nothing is there.
    StoreError
        If a package is missing for a URL, or it does not answer.
    ValueError
        If there is no zarr.
    """
    if is_remote(location):
        return _open_remote(location)
    path = Path(location)
    archive = _archive(path)
    if archive is None and not path.exists():
        raise FileNotFoundError(
            f"source {location!r} does not exist; give the path of a zarr folder or a TIFF file"
        )
    advice = "read other files into an array and pass that"
    try:
        if archive is None:
            return zarr.open(store=path, mode="r")
        advice = "the zip file must have the contents of a zarr folder, not the folder"
        inner = path.relative_to(archive).as_posix()
        return zarr.open(
            store=ZipStore(archive, mode="r"), path="" if inner == "." else inner, mode="r"
        )
    except (FileNotFoundError, NotADirectoryError, zipfile.BadZipFile) as error:
        raise ValueError(
            f"{location!r} is neither a zarr array nor a zarr group; {advice}"
        ) from error


def location_of(node: Any) -> str | None:
    """Return the place of a zarr group or array that lies in a folder or a zip file."""
    store = getattr(node, "store", None)
    if not isinstance(store, LocalStore | ZipStore):
        return None
    root = store.root if isinstance(store, LocalStore) else store.path
    return str((root / node.path).absolute())


def _archive(path: Path) -> Path | None:
    """Return the zip file that a path is, or leads into."""
    for part in (path, *path.parents):
        if part.suffix.lower() == ".zip" and part.is_file():
            return part
    return None


def is_in_archive(path: Path) -> bool:
    """Tell whether a path is a zip file, or leads into one."""
    return _archive(path) is not None


def _open_remote(url: str) -> Node:
    if urlsplit(url).path.lower().endswith((*SUFFIXES, ".zip")):
        raise StoreError(
            f"a remote source must be a zarr, got {url!r}; copy the file to this machine first"
        )
    try:
        return zarr.open(store=_remote_store(url), mode="r")
    except (FileNotFoundError, StoreError):
        raise
    except Exception as error:  # every file system has errors of its own
        raise StoreError(
            f"{url!r} cannot be opened: {error!r}; check the address, the network and the access"
        ) from error


def _remote_store(url: str) -> Store:
    try:
        return FsspecStore.from_url(url, read_only=True)
    except ImportError as error:
        raise StoreError(
            f"{url!r} needs a package that is not there: {error}; "
            "pip install 'napari-sam[remote]', or what the message names"
        ) from error
    except ValueError as error:
        raise StoreError(
            f"{url!r} cannot be opened: {error}; give a URL that fsspec knows"
        ) from error
