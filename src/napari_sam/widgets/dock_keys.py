"""The keys of the dock "Segment", on its prompt layers and on the Labels layer it writes."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING, Any, Protocol

from napari_sam.widgets.keys import Call, KeysDialog, held, pressed, unbind

if TYPE_CHECKING:
    from napari.layers import Labels

    from napari_sam.viewer.session import Session
    from napari_sam.widgets.prompt_board import PromptBoard


class KeyedDock(Protocol):
    """What keys need of the dock."""

    prompts: PromptBoard

    @property
    def session(self) -> Session | None:
        """The session, once it is open."""
        ...

    def undo(self) -> None:
        """Take back the last change."""
        ...

    def redo(self) -> None:
        """Do it again."""
        ...


class DockKeys:
    """Binds what a dock does.

    Parameters
    ----------
    dock : KeyedDock
        Whose prompt layers.
    actions : mapping of str to callable
        What keys do, by the names in `keys.ACTIONS`.
    peek : callable
        Called with True when the key is pressed, with False when it is let go.
    """

    def __init__(
        self,
        dock: KeyedDock,
        actions: Mapping[str, Callable[[], object]],
        peek: Callable[[bool], object],
    ) -> None:
        self._dock = dock
        self._calls: dict[str, Call] = {name: pressed(call) for name, call in actions.items()}
        self._calls["peek"] = held(peek)
        self._output: tuple[Labels, list[str]] | None = None
        dock.prompts.set_calls(self._calls)

    def bind_output(self, labels: Labels | None) -> None:
        """Let the keys work on a Labels layer instead of the one before."""
        if self._output is not None:
            unbind(*self._output)
            self._output = None
        if labels is not None:
            calls = {**self._calls, "undo": self._undo, "redo": self._redo}
            self._output = labels, self._dock.prompts.keymap.bind(labels, calls)

    def show(self) -> None:
        """Show all keys, to be changed."""
        parent: Any = self._dock
        if KeysDialog(self._dock.prompts.keymap, parent).exec():
            self._dock.prompts.rebind()
            self.bind_output(None if self._output is None else self._output[0])

    def _undo(self, labels: Labels) -> None:
        (self._dock.undo if self._knows(labels) else labels.undo)()

    def _redo(self, labels: Labels) -> None:
        (self._dock.redo if self._knows(labels) else labels.redo)()

    def _knows(self, labels: Labels) -> bool:
        """Tell whether the session, and not only napari, has a history of the layer."""
        session = self._dock.session
        if session is None or session.labels is not labels:
            return False
        return bool(session.objects.history.done or session.objects.history.undone)
