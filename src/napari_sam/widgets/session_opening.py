"""Opening the session of a dock: the journal in the background, then what it tells of."""

from __future__ import annotations

import threading
import weakref
from collections.abc import Callable, Container, Generator, Sequence
from typing import TYPE_CHECKING, Any, NamedTuple

from qtpy.QtWidgets import QWidget

from napari_sam.viewer.labels_output import (
    NotedJournal,
    journal_name,
    journals_shown,
    note_journal,
    noted_journal,
)
from napari_sam.viewer.layers import level_0
from napari_sam.widgets.session_dock import SessionDock
from napari_sam.widgets.words import READY
from napari_sam.widgets.workers import Runner, report_error

if TYPE_CHECKING:
    from napari_sam.viewer.recovery import ObjectSet, OpenedJournal
    from napari_sam.viewer.session import Session


class _Found(NamedTuple):
    """What was found and what went wrong: Qt's workers take returned errors for theirs."""

    opened: OpenedJournal | None
    error: Exception | None = None
    further: Sequence[ObjectSet] = ()

    def close(self) -> None:
        """Let others use the journal."""
        if self.opened is not None:
            self.opened.journal.close()


class SessionOpening:
    """Opens one session at a time; one that nobody waits for any more is closed again.

    Parameters
    ----------
    dock : SessionDock
        Whose session.
    parent : QWidget
        What the work in the background ends with.
    say : callable
        Shows a line of text.
    """

    def __init__(self, dock: SessionDock, parent: QWidget, say: Callable[[str], None]) -> None:
        self._dock = dock
        self._parent = parent
        self._say = say
        self._wanted: object | None = None
        self._unclaimed: _Found | None = None
        self._claim, self._turn = threading.Lock(), threading.Lock()
        self._searched: weakref.WeakSet[Any] = weakref.WeakSet()

    def start(self, predictor: Any, on_opened: Callable[[Session | None], object]) -> None:
        """Open a session for the chosen image and Labels layer; None where there is no image."""
        image = self._dock.image.layer
        if image is None:
            on_opened(None)
            return
        labels = self._dock.output.writable()
        name = journal_name(self._dock.viewer, image, labels)
        noted = noted_journal(labels, image)
        known = labels is not None or image in self._searched
        shown = None if known else journals_shown(self._dock.viewer, image)
        wanted = object()
        self._want(wanted)

        def job() -> Generator[str, None, _Found]:
            yield "Looking for what was done to this image before ..."
            with self._turn:
                found = self._journal(image, labels, name, noted, shown)
                with self._claim:
                    if self._wanted is wanted:
                        self._unclaimed = found
                        return found
                found.close()
                return found

        def opened(found: _Found) -> None:
            if self._wanted is wanted:
                self._unclaimed = None
                on_opened(self._session(predictor, image, labels, found))
            else:
                found.close()

        Runner(self._parent).start(job, on_event=self._say, on_result=opened)

    def note(self, session: Session) -> None:
        """Note that a session's layer shows its objects: opening it again draws nothing."""
        journal = session.objects.journal
        if session.labels is not None and journal is not None:
            note_journal(session.labels, session.image, NotedJournal(journal.path))

    def close(self, session: Session) -> None:
        """Close a session, and note in its layer how much of the journal it shows."""
        journal = session.objects.journal
        session.close()
        if session.labels is not None and journal is not None:
            noted = NotedJournal(journal.path, journal.length)
            note_journal(session.labels, session.image, noted)

    def forget(self, *_: object) -> None:
        """Wait no longer for the session that is being opened."""
        self._want(None)

    def _want(self, wanted: object | None) -> None:
        """Wait for another opening, and close what the one before has opened: it holds a lock."""
        with self._claim:
            self._wanted, forgotten, self._unclaimed = wanted, self._unclaimed, None
        if forgotten is not None:
            forgotten.close()

    def _journal(
        self,
        image: Any,
        labels: Any,
        name: str,
        noted: NotedJournal | None,
        shown: Container[str] | None,
    ) -> _Found:
        """Open the journal, and draw what it tells of where the layer does not show it yet.

        Further sets of objects are looked for where it is said which ones are shown.
        """
        from napari_sam.viewer.journal import ImageSample
        from napari_sam.viewer.recovery import further_sets, open_journal

        array = level_0(image)
        shape = tuple(array.shape)[: image.ndim] if labels is None else tuple(labels.data.shape)
        try:
            sample = ImageSample.of(array)
            opened = open_journal(sample, shape, image.name, labels_name=name, shown=noted)
        except Exception as error:  # noqa: BLE001  the session goes on without a journal
            return _Found(None, RuntimeError(f"This session is not written down: {error}"))
        if shown is None:
            return _Found(opened)
        try:
            return _Found(opened, further=further_sets(sample, shape, image.name, shown=shown))
        except Exception as error:  # noqa: BLE001  and without what was not asked for
            return _Found(opened, RuntimeError(f"Further objects were not found: {error}"))

    def _session(self, predictor: Any, image: Any, labels: Any, found: _Found) -> Session:
        from napari_sam.viewer.recovery import resume, show_sets
        from napari_sam.viewer.session import Session

        session = Session(self._dock.viewer, predictor, image, labels)
        if found.error is not None:
            report_error(found.error)
        told = "" if found.opened is None else resume(session, found.opened)
        further = show_sets(session, found.further)
        if further:
            names = ", ".join(layer.name for layer in further)
            told = f"{told}. Further objects of this image: {names}".removeprefix(". ")
        self._say(told or READY)
        self._searched.add(image)
        self.note(session)
        return session
