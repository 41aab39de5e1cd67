"""Opens the dock "Objects" beside the dock "Segment", and asks it what is selected."""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Any

from napari_sam.viewer.layers import read_shapes, shown_plane, to_data
from napari_sam.widgets.object_table import ObjectTableWidget
from napari_sam.widgets.session_dock import SessionDock
from napari_sam.widgets.words import counted

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from napari_sam.viewer.entries import ObjectEntry


class TableDock:
    """The table of a dock's session, if it is open.

    Parameters
    ----------
    dock : SessionDock
        Whose session.
    say : callable
        Shows a line of text.
    start : callable
        Runs a job of the session, as `SessionJobs.start` does.
    """

    def __init__(
        self, dock: SessionDock, say: Callable[[str], None], start: Callable[..., None]
    ) -> None:
        self._dock = dock
        self._say = say
        self._start = start
        self.widget: ObjectTableWidget | None = None

    def open(self) -> None:
        """Show the table of the session, opening one if need be."""
        session = self._dock.session
        if session is None:
            self._dock.open_then(self.open)
            return
        self.close()
        self.widget = ObjectTableWidget(session, self._line, self.take_up, self._say)
        self._dock.viewer.window.add_dock_widget(self.widget, name="Objects", area="right")

    def close(self) -> None:
        """Take the table away."""
        widget, self.widget = self.widget, None
        if widget is not None:
            with contextlib.suppress(LookupError, RuntimeError):  # closed by hand
                widget.detach()
                self._dock.viewer.window.remove_dock_widget(widget)

    def chosen(self) -> list[int]:
        """Return the objects that are selected, where the table is seen and up to date."""
        session = self._dock.session
        if self.widget is None or session is None:
            return []
        try:
            return self.widget.chosen if self.widget.shows(session) else []
        except RuntimeError:  # Qt has deleted it
            return []

    def take_up(self) -> None:
        """List the objects that the layer shows and the table does not, found in a worker."""
        from napari_sam.viewer.unlisted import iter_unlisted

        session = self._dock.session
        if session is None or session.labels is None:
            self._say("There is no Labels layer to take objects up from: choose one")
            return
        data, listed = session.labels.data, frozenset(session.objects.table.entries)

        def write(found: Sequence[ObjectEntry]) -> None:
            count = session.objects.take_up(found)
            taken = f"Took up {counted(count, 'object')} of the layer"
            self._say(taken if count else "All objects of the layer are listed")

        self._start(session, lambda: iter_unlisted(data, listed), on_result=write)

    def _line(self) -> tuple[NDArray[Any], tuple[int, int]] | None:
        """Return the last line on the shown slice, in pixels of the labels, and their axes."""
        session, image = self._dock.session, self._dock.image.layer
        shapes = self._dock.prompts.shape_layer
        if session is None or session.labels is None or image is None or shapes is None:
            return None
        plane = shown_plane(self._dock.viewer, image)
        lines = read_shapes(self._dock.viewer, image, shapes, plane).lines
        if not lines:
            return None
        there = to_data(self._dock.viewer, session.labels, image, plane.lifted(lines[-1]))
        return there[:, list(plane.axes)], plane.axes
