"""Going on where a session was killed: the journal of an image, found, read and drawn."""

from __future__ import annotations

import itertools
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from napari_sam.viewer.journal import Journal, JournalInUseError, image_key, journal_folder
from napari_sam.viewer.labels_output import LABELS_NAME, add_output_layer

if TYPE_CHECKING:
    from napari_sam.viewer.session import Session

_MOST_WINDOWS = 9
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
    """

    journal: Journal
    labels: NDArray[np.unsignedinteger] | None


def open_journal(
    array: Any,
    shape: tuple[int, ...],
    name: str,
    folder: str | Path | None = None,
    *,
    labels_name: str = LABELS_NAME,
    draw: bool = True,
) -> OpenedJournal:
    """Open the journal of an image and a Labels layer; slow: for a worker thread.

    Parameters
    ----------
    array : array
        The image's data, by which the journal is found again.
    shape : tuple of int
        Of the labels.
    name, labels_name : str
        Of the image and of the Labels layer.
    folder : str or Path, optional
        Where journals lie; by default the user's data folder.
    draw : bool
        Whether the objects that the journal tells of are drawn; otherwise the layer shows them.

    Returns
    -------
    OpenedJournal
        A second window on the same image gets a journal of its own.

    Raises
    ------
    OSError
        If the folder cannot be written.
    """
    key = image_key(array, f"{name} {labels_name} {shape}")
    where = journal_folder() if folder is None else Path(folder)
    header = {"image": name, "labels": labels_name, "shape": list(shape)}
    for window in range(1, _MOST_WINDOWS + 1):
        suffix = "" if window == 1 else f"-{window}"
        try:
            journal = Journal(where / f"{key}{suffix}.jsonl", header)
        except JournalInUseError:
            continue
        return OpenedJournal(journal=journal, labels=_drawn(journal, shape) if draw else None)
    raise OSError(f"{_MOST_WINDOWS} windows have journals of this image open; close some")


def start_over(journal: Journal) -> None:
    """Close a journal and put its file aside; the next one of the image begins empty."""
    journal.close()
    journal.path.replace(next(path for path in _asides(journal.path) if not path.exists()))


def _asides(path: Path) -> Iterator[Path]:
    """Yield what a journal that is put aside may be called."""
    yield path.with_suffix(".old.jsonl")
    for number in itertools.count(2):
        yield path.with_suffix(f".old-{number}.jsonl")


def _drawn(journal: Journal, shape: tuple[int, ...]) -> NDArray[np.unsignedinteger] | None:
    recovered = journal.recovered
    if recovered.is_empty or not any(change.patches for change in recovered.history.done):
        return None
    highest = max([0, *recovered.table.entries])
    labels = np.zeros(shape, np.uint32 if highest > _UINT16 else np.uint16)
    recovered.draw(labels)
    return labels


def resume(session: Session, opened: OpenedJournal) -> str:
    """Let a session go on from a journal; for the main thread.

    Returns
    -------
    str
        What was found, for people; empty where there was nothing.
    """
    recovered = opened.journal.recovered
    if opened.labels is not None:
        _put(session, opened, opened.labels)
    session.objects.attach(opened.journal)
    found = ""
    if not recovered.is_empty:
        begun = str(recovered.header.get("begun", "an earlier session"))
        found = f"Went on from {begun}: {len(recovered.table)} objects"
        count = len(recovered.prompts.points)
        found += f" and {count} points" if count else ""
    return f"{found}. {recovered.notice}" if recovered.notice else found


def _put(session: Session, opened: OpenedJournal, labels: NDArray[np.unsignedinteger]) -> None:
    """Show recovered labels in the chosen layer, where nothing is, or in a new one."""
    if session.labels is not None:
        session.objects.fill(labels, opened.journal.recovered.table)
        return
    name = opened.journal.labels_name
    session.labels = add_output_layer(session.viewer, session.image, name, labels)
