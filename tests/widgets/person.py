"""A person at a dock in tests: a mouse and keys on a layer, as napari tells them."""

from types import SimpleNamespace

import numpy as np
from napari.utils.key_bindings import coerce_keybinding


class Mouse:
    """Sends a layer what napari sends it."""

    def __init__(self, layer):
        self.layer = layer

    def drag(self, *path, modifiers=(), button=1):
        """Press at the first place, move over the others, release at the last."""
        event = SimpleNamespace(
            type="mouse_press",
            pos=np.array(path[0][::-1], float) * 10,
            position=path[0],
            modifiers=modifiers,
            button=button,
            handled=False,
        )
        running = []
        for callback in list(self.layer.mouse_drag_callbacks):
            step = callback(self.layer, event)
            if hasattr(step, "__next__") and next(step, "ended") != "ended":
                running.append(step)
        moves = [("mouse_move", at) for at in path[1:]] + [("mouse_release", path[-1])]
        for kind, at in moves:
            event.type, event.position = kind, at
            event.pos = np.array(at[::-1], float) * 10
            running = [step for step in running if next(step, "ended") != "ended"]

    def move(self, at):
        event = SimpleNamespace(position=at, modifiers=())
        for callback in list(self.layer.mouse_move_callbacks):
            if getattr(callback, "__name__", "") == "_move":
                callback(self.layer, event)

    def wheel(self, steps, modifiers=("Shift",)):
        event = SimpleNamespace(delta=np.array([0, steps]), modifiers=modifiers, handled=False)
        for callback in list(self.layer.mouse_wheel_callbacks):
            callback(self.layer, event)


def press(layer, key):
    """Call what a key is bound to on a layer; returns a generator for keys that are held."""
    return layer.keymap[coerce_keybinding(key)](layer)
