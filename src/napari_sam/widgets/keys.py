"""Keys of the dock "Segment": bound on its layers alone, listed, and changeable."""

from __future__ import annotations

import json
from collections.abc import Callable, Generator, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from napari.utils.key_bindings import coerce_keybinding
from qtpy.QtCore import QSettings
from qtpy.QtGui import QKeySequence
from qtpy.QtWidgets import (
    QDialog,
    QDialogButtonBox,
    QFormLayout,
    QKeySequenceEdit,
    QLabel,
    QVBoxLayout,
    QWidget,
)

if TYPE_CHECKING:
    from napari.layers import Layer

Call = Callable[..., Any]


@dataclass(frozen=True)
class KeyAction:
    """Something that a key does.

    Attributes
    ----------
    name : str
        In the settings.
    title : str
        For people.
    keys : tuple of str
        By default.
    """

    name: str
    title: str
    keys: tuple[str, ...]


ACTIONS = (
    KeyAction("commit", "Commit the object", ("Enter", "N")),
    KeyAction("drop", "Drop the prompts", ("Escape",)),
    KeyAction("polarity", "Next point: object or background", ("T",)),
    KeyAction("granularity", "Next larger candidate", ("G",)),
    KeyAction("candidate_1", "First candidate", ("8",)),
    KeyAction("candidate_2", "Second candidate", ("9",)),
    KeyAction("candidate_3", "Third candidate", ("0",)),
    KeyAction("peek", "Hide the overlays while held", ("H",)),
    KeyAction("everything", "Everything in view, as drafts", ("W",)),
    KeyAction("alike", "Find objects like the selected or the last one", ("O",)),
    KeyAction("propagate", "Propagate through the stack", ("K",)),
    KeyAction("propagate_here", "Propagate from this slice alone", ("Shift+K",)),
    KeyAction("stop", "Propagation ends before this slice", ("Q",)),
    KeyAction("review", "Next doubtful object", ("J",)),
    KeyAction("turbo", "Turbo: each click commits", ("U",)),
    KeyAction("undo", "Undo", ("Ctrl+Z",)),
    KeyAction("redo", "Redo", ("Ctrl+Shift+Z",)),
)
ALWAYS = ("undo", "redo")
"""Bound also where napari has a binding of its own for that kind of layer: ours does the same, and
more."""


def pressed(call: Callable[[], object]) -> Call:
    """Return what napari calls with the layer when a key is pressed."""

    def on_key(_: Any) -> None:
        call()

    return on_key


def held(call: Callable[[bool], object]) -> Call:
    """Return what napari calls when a key is pressed, and goes on with when it is let go."""

    def on_key(_: Any) -> Generator[None, None, None]:
        call(True)  # noqa: FBT003  whether it is held
        yield
        call(False)  # noqa: FBT003

    return on_key


class KeyMap:
    """Which keys do what; a person's changes are kept between sessions.

    Parameters
    ----------
    settings : QSettings, optional
        Where changes are kept.
    """

    def __init__(self, settings: QSettings | None = None) -> None:
        self._settings = settings or QSettings("napari-sam", "napari-sam")

    def keys(self, action: KeyAction) -> tuple[str, ...]:
        """Return the keys of an action."""
        kept = self._settings.value(f"keys/{action.name}")
        if kept is None:
            return action.keys
        try:
            return tuple(str(key) for key in json.loads(str(kept)))
        except (json.JSONDecodeError, TypeError):
            return action.keys

    def change(self, action: KeyAction, keys: tuple[str, ...]) -> None:
        """Give an action other keys."""
        if keys == action.keys:
            self._settings.remove(f"keys/{action.name}")
        else:
            self._settings.setValue(f"keys/{action.name}", json.dumps(keys))

    def bind(self, layer: Layer, calls: Mapping[str, Call]) -> list[str]:
        """Bind on one layer; returns the keys.

        Keys that napari itself uses on that kind of layer are left alone, but for undo and redo.
        """
        taken = {coerce_keybinding(key) for key in type(layer).class_keymap}
        bound = []
        for action in ACTIONS:
            call = calls.get(action.name)
            for key in self.keys(action) if call is not None else ():
                binding = coerce_keybinding(key)
                if binding in taken and action.name not in ALWAYS:
                    continue
                layer.bind_key(binding, call, overwrite=True)
                bound.append(key)
        return bound


_QT_NAMES = {
    "Return": "Enter",
    "Del": "Delete",
    "Ins": "Insert",
    "PgUp": "PageUp",
    "PgDown": "PageDown",
}


def napari_name(sequence: QKeySequence) -> str:
    """Return a key as napari spells it; empty where napari has no name for it."""
    *modifiers, key = sequence.toString().split(", ")[0].split("+")
    text = "+".join([*modifiers, _QT_NAMES.get(key, key)])
    try:
        known = str(coerce_keybinding(text)) if key else ""
    except ValueError:
        return ""
    return "" if "unknown" in known.lower() else text


def unbind(layer: Layer, keys: list[str]) -> None:
    """Take bindings off a layer."""
    for key in keys:
        layer.keymap.pop(coerce_keybinding(key), None)


class KeysDialog(QDialog):
    """Shows every key, and lets a person change the first of each action.

    Parameters
    ----------
    keymap : KeyMap
        What is shown and changed.
    parent : QWidget, optional
        The dock.
    """

    def __init__(self, keymap: KeyMap, parent: QWidget | None = None) -> None:
        super().__init__(parent)
        self.setWindowTitle("Keys of Segment")
        self._keymap = keymap
        layout = QVBoxLayout(self)
        note = QLabel("They work while one of the dock's layers is selected.")
        note.setWordWrap(True)
        layout.addWidget(note)
        form = QFormLayout()
        self.edits: dict[str, QKeySequenceEdit] = {}
        for action in ACTIONS:
            first, *others = keymap.keys(action) or ("",)
            edit = QKeySequenceEdit(QKeySequence(first))
            self.edits[action.name] = edit
            title = f"{action.title} (also {', '.join(others)})" if others else action.title
            form.addRow(title, edit)
        layout.addLayout(form)
        kinds = QDialogButtonBox.StandardButton
        buttons = QDialogButtonBox(kinds.Ok | kinds.Cancel | kinds.RestoreDefaults)
        buttons.accepted.connect(self.accept)
        buttons.rejected.connect(self.reject)
        buttons.button(kinds.RestoreDefaults).clicked.connect(self.restore)
        layout.addWidget(buttons)

    def restore(self) -> None:
        """Show the defaults."""
        for action in ACTIONS:
            self.edits[action.name].setKeySequence(QKeySequence(action.keys[0]))

    def accept(self) -> None:
        """Keep what was changed."""
        for action in ACTIONS:
            text = napari_name(self.edits[action.name].keySequence())
            first, *others = self._keymap.keys(action) or ("",)
            if text != napari_name(QKeySequence(first)):
                kept = (text, *others) if text else tuple(others)
                restored = napari_name(QKeySequence(action.keys[0])) == text
                self._keymap.change(action, action.keys if restored else kept)
        super().accept()
