"""What the helpers of the dock "Segment" need of it."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Any, Protocol

if TYPE_CHECKING:
    from napari_sam.viewer.session import Session
    from napari_sam.widgets.choosers import LayerChooser
    from napari_sam.widgets.output_box import OutputBox
    from napari_sam.widgets.prompt_board import PromptBoard


class SessionDock(Protocol):
    """What the jobs need of the dock."""

    image: LayerChooser
    prompts: PromptBoard
    output: OutputBox
    viewer: Any

    @property
    def session(self) -> Session | None:
        """The session, once it is open."""
        ...

    def open_then(self, call: Callable[[], object]) -> None:
        """Open a session, then call."""
        ...

    def show_written(self, session: Session) -> None:
        """Show that objects were written."""
        ...

    def renew(self) -> None:
        """Close the session; the next click opens another."""
        ...
