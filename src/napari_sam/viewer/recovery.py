"""Going on where a session was killed: the journal of an image, found, read and drawn."""

from __future__ import annotations

import contextlib
import itertools
from collections.abc import Container, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from napari_sam.viewer.history import History
from napari_sam.viewer.journal import (
    ImageSample,
    Journal,
    JournalInUseError,
    Recovered,
    journal_folder,
    locked,
    read_journal,
)
from napari_sam.viewer.labels_output import (
    LABELS_NAME,
    NotedJournal,
    add_output_layer,
    note_journal,
    set_names,
)

if TYPE_CHECKING:
    from napari.layers import Labels

    from napari_sam.viewer.session import Session

_MOST_WINDOWS = 9
_MOST_SETS = 20
_ELSEWHERE = (
    "Another dock or window goes on with the objects of this layer; they are not listed here"
)
_UINT16 = np.iinfo(np.uint16).max


@dataclass(frozen=True, kw_only=True, eq=False)
class OpenedJournal:
    """A journal, and the objects that it tells of.

    Attributes
    ----------
    journal : Journal
        Ready to be written on.
    labels : ndarray or None
        Their labels, of the image's shape; None where there are none.
    notice : str
        What is to be known of it, for people.
    """

    journal: Journal
    labels: NDArray[np.unsignedinteger] | None
    notice: str = ""


@dataclass(frozen=True, kw_only=True, eq=False)
class ObjectSet:
    """Objects of an image that have a Labels layer and a journal of their own.

    Attributes
    ----------
    name : str
        Of the layer.
    labels : ndarray
        Of the image's shape.
    journal : NotedJournal
        The journal, and how much of it the labels show.
    """

    name: str
    labels: NDArray[np.unsignedinteger]
    journal: NotedJournal


def open_journal(
    image: Any,
    shape: tuple[int, ...],
    name: str,
    folder: str | Path | None = None,
    *,
    labels_name: str = LABELS_NAME,
    shown: NotedJournal | None = None,
) -> OpenedJournal:
    """Open the journal of an image and a Labels layer; slow: for a worker thread.

    Parameters
    ----------
    image : array or ImageSample
        The image's data, by which the journal is found again.
    shape : tuple of int
        Of the labels.
    name, labels_name : str
        Of the image and of the Labels layer.
    folder : str or Path, optional
        Where journals lie; by default the user's data folder.
    shown : NotedJournal, optional
        The journal whose objects the layer shows already: it is opened, and nothing is drawn. Where
        another window has it, or has gone on with it, a copy of what the layer shows is opened.

    Returns
    -------
    OpenedJournal
        A second window on the same image gets a journal of its own.

    Raises
    ------
    OSError
        If the folder cannot be written.
    """
    header = {"image": name, "labels": labels_name, "shape": list(shape)}
    (paths,) = _paths(image, shape, name, folder, [labels_name])
    opened = None if shown is None else _open_shown(shown, paths, header)
    if opened is not None:
        return opened
    for path in paths:
        try:
            journal = Journal(path, header)
        except JournalInUseError:
            continue
        notice = "" if shown is None else _ELSEWHERE
        drawn = _drawn(journal.recovered, shape)
        return OpenedJournal(journal=journal, labels=drawn, notice=notice)
    raise OSError(f"{_MOST_WINDOWS} windows have journals of this image open; close some")


def _open_shown(
    shown: NotedJournal, paths: Sequence[Path], header: dict[str, Any]
) -> OpenedJournal | None:
    """Open the journal that a layer shows, or a copy of that much of it; None where it cannot be.

    It cannot be copied while nobody knows how much of it the layer shows.
    """
    with contextlib.suppress(JournalInUseError):
        journal = Journal(shown.path, header)
        if shown.length is None or journal.length <= shown.length:
            return OpenedJournal(journal=journal, labels=None)
        journal.close()
    told = b"" if shown.length is None else shown.path.read_bytes()[: shown.length]
    for path in paths if told else ():
        with contextlib.suppress(JournalInUseError, FileExistsError):
            return OpenedJournal(journal=Journal(path, header, told=told), labels=None)
    return None


def further_sets(
    image: Any,
    shape: tuple[int, ...],
    name: str,
    folder: str | Path | None = None,
    *,
    shown: Container[str] = (),
) -> list[ObjectSet]:
    """Find the sets of objects of an image beside the first; slow: for a worker thread.

    What a second window wrote before it was closed becomes a set, too.

    Parameters
    ----------
    image, shape, name, folder
        As for `open_journal`.
    shown : container of str
        Names of sets that are shown already.

    Returns
    -------
    list of ObjectSet
        Those that have objects and that no other window has open.
    """
    names = list(itertools.islice(set_names(), _MOST_SETS))
    own = dict(zip(names, _paths(image, shape, name, folder, names), strict=True))
    _adopt_windows(own, shown)
    found = []
    for each, paths in own.items():
        recovered = None if each == LABELS_NAME or each in shown else _read_unused(paths[0])
        labels = None if recovered is None else _drawn(recovered, shape)
        if recovered is not None and labels is not None:
            noted = NotedJournal(paths[0], recovered.length)
            found.append(ObjectSet(name=each, labels=labels, journal=noted))
    return found


def _adopt_windows(own: Mapping[str, Sequence[Path]], shown: Container[str]) -> None:
    """Let what further windows wrote, which are gone, be sets of names that are free."""
    firsts = (paths[0] for each, paths in own.items() if each not in shown)
    free = [path for path in firsts if not path.exists()]
    for window in (path for paths in own.values() for path in paths[1:]):
        if free and _read_unused(window) is not None:
            window.replace(free.pop(0))


def show_sets(session: Session, sets: Iterable[ObjectSet]) -> list[Labels]:
    """Show sets of objects in layers of their own; each goes on with its journal when chosen."""
    viewer, image = session.viewer, session.image
    layers = []
    for each in sets:
        layer = add_output_layer(viewer, image, each.name, each.labels)
        note_journal(layer, image, each.journal)
        layers.append(layer)
    return layers


def _paths(
    image: Any, shape: tuple[int, ...], name: str, folder: str | Path | None, sets: list[str]
) -> list[list[Path]]:
    """Return where the journals of an image's sets of objects lie, one for each window."""
    where = journal_folder() if folder is None else Path(folder)
    windows = ["", *(f"-{window}" for window in range(2, _MOST_WINDOWS + 1))]
    sample = ImageSample.of(image)
    keys = (sample.key(f"{name} {labels_name} {shape}") for labels_name in sets)
    return [[where / f"{key}{window}.jsonl" for window in windows] for key in keys]


def _read_unused(path: Path) -> Recovered | None:
    """Read a journal, unless there is none, a session has it open, or nothing was done."""
    if not path.exists():
        return None
    try:
        with locked(path):
            recovered = read_journal(path)
    except JournalInUseError:
        return None
    return None if recovered.is_empty else recovered


def start_over(journal: Journal) -> None:
    """Close a journal and put its file aside; the next one of the image begins empty."""
    journal.close()
    journal.path.replace(next(path for path in _asides(journal.path) if not path.exists()))


def _asides(path: Path) -> Iterator[Path]:
    """Yield what a journal that is put aside may be called."""
    yield path.with_suffix(".old.jsonl")
    for number in itertools.count(2):
        yield path.with_suffix(f".old-{number}.jsonl")


def _drawn(recovered: Recovered, shape: tuple[int, ...]) -> NDArray[np.unsignedinteger] | None:
    if recovered.is_empty or not any(change.patches for change in recovered.history.done):
        return None
    highest = max([_highest(recovered.history), *recovered.table.entries])
    labels = np.zeros(shape, np.uint32 if highest > _UINT16 else np.uint16)
    recovered.draw(labels)
    return labels


def _highest(history: History) -> int:
    """Return the highest label that was ever drawn, as far as it takes a wide type; else 0."""
    patches = (p for change in (*history.done, *history.undone) for p in change.patches)
    blocks = (block for patch in patches for block in (patch.before, patch.after))
    wide = (block.values for block in blocks if block.dtype.itemsize > np.uint16().itemsize)
    return max((int(values.max(initial=0)) for values in wide), default=0)


def resume(session: Session, opened: OpenedJournal) -> str:
    """Let a session go on from a journal; for the main thread.

    Returns
    -------
    str
        What was found, for people; empty where there was nothing.
    """
    recovered = opened.journal.recovered
    missed = 0 if opened.labels is None else _put(session, opened, opened.labels)
    session.objects.attach(opened.journal)
    found = ""
    if not recovered.is_empty:
        begun = str(recovered.header.get("begun", "an earlier session"))
        found = f"Went on from {begun}: {len(recovered.table)} objects"
        count = len(recovered.prompts.points)
        found += f" and {count} points" if count else ""
        found += f"; {missed:,} pixels of the layer are not as they were left, and stay" * bool(
            missed
        )
    return ". ".join(filter(None, (found, recovered.notice, opened.notice)))


def _put(session: Session, opened: OpenedJournal, labels: NDArray[np.unsignedinteger]) -> int:
    """Show recovered objects in the chosen layer, as far as it fits, or in a new one.

    Returns the number of pixels in which the chosen layer does not fit.
    """
    if session.labels is not None:
        return session.objects.replay(opened.journal.recovered.history)
    name = opened.journal.labels_name
    session.labels = add_output_layer(session.viewer, session.image, name, labels)
    return 0
