"""Opens the dock "Objects" beside the dock "Segment", and asks it what is selected."""

from __future__ import annotations

import contextlib
from collections.abc import Callable
from typing import TYPE_CHECKING, Any

from napari_sam.viewer.layers import read_shapes, shown_plane, to_data
from napari_sam.widgets.object_table import ObjectTableWidget
from napari_sam.widgets.session_dock import SessionDock

if TYPE_CHECKING:
    from numpy.typing import NDArray


class TableDock:
    """The table of a dock's session, if it is open.

    Parameters
    ----------
    dock : SessionDock
        Whose session.
    say : callable
        Shows a line of text.
    """

    def __init__(self, dock: SessionDock, say: Callable[[str], None]) -> None:
        self._dock = dock
        self._say = say
        self.widget: ObjectTableWidget | None = None

    def open(self) -> None:
        """Show the table of the session, opening one if need be."""
        session = self._dock.session
        if session is None:
            self._dock.open_then(self.open)
            return
        self.close()
        self.widget = ObjectTableWidget(session, self._line, self._say)
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
