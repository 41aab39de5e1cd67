"""What a mouse does on the prompt layer: clicks, boxes, lassos, scribbles, hovering, the wheel.

Everything happens on that one layer and while it is in its adding mode; in pan/zoom mode, and on
every other layer, the mouse is napari's.
"""

from __future__ import annotations

from collections.abc import Callable, Generator
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

if TYPE_CHECKING:
    from napari.layers import Points

_CLICK_PIXELS = 5
"""A mouse that moved less on the screen has clicked."""
_RIGHT = 2

Path = list[NDArray[np.float64]]
"""Points of the world, in order."""


@dataclass(frozen=True, kw_only=True)
class GestureCalls:
    """What a dock does with gestures; places are points of the world.

    Attributes
    ----------
    click : callable
        Place, and whether it is in the object.
    reopen : callable
        Place of an object to take up again.
    dragging : callable
        Kind (``"box"``, ``"lasso"`` or ``"scribble"``) and the path so far.
    dropped : callable
        Kind, path, and whether a scribble is in the object.
    hover : callable
        Place.
    wheel : callable
        Steps up (positive) or down.
    """

    click: Callable[[NDArray[np.float64], bool], object]
    reopen: Callable[[NDArray[np.float64]], object]
    dragging: Callable[[str, Path], object]
    dropped: Callable[[str, Path, bool], object]
    hover: Callable[[NDArray[np.float64]], object]
    wheel: Callable[[int], object]


class Gestures:
    """Listens to the mouse on a Points layer.

    Parameters
    ----------
    layer : Points
        The prompt layer.
    calls : GestureCalls
        Who is told.
    """

    def __init__(self, layer: Points, calls: GestureCalls) -> None:
        self._layer = layer
        self._calls = calls
        layer.mouse_drag_callbacks.append(self._drag)
        layer.mouse_move_callbacks.append(self._move)
        layer.mouse_wheel_callbacks.append(self._wheel)
        layer.events.mode.connect(self._take_clicks)
        self._take_clicks()

    def detach(self) -> None:
        """Leave the layer as napari made it."""
        self._layer.mouse_drag_callbacks.remove(self._drag)
        self._layer.mouse_move_callbacks.remove(self._move)
        self._layer.mouse_wheel_callbacks.remove(self._wheel)
        self._layer.events.mode.disconnect(self._take_clicks)
        mode = str(self._layer.mode)
        self._layer.mode = "pan_zoom"
        self._layer.mode = mode  # napari puts its own callback back

    def _take_clicks(self, event: object = None) -> None:  # noqa: ARG002
        """While points are added, clicks and drags are the dock's: napari neither adds nor pans."""
        if str(self._layer.mode) != "add":
            return
        self._layer.mouse_pan = False
        callbacks = self._layer.mouse_drag_callbacks
        for callback in [c for c in callbacks if getattr(c, "__name__", "") == "add"]:
            callbacks.remove(callback)

    def _active(self) -> bool:
        return str(self._layer.mode) == "add" and bool(self._layer.visible)

    def _drag(self, _: Any, event: Any) -> Generator[None, None, None]:
        if not self._active():
            return
        kind = _kind(event)
        inside = event.button != _RIGHT and "Shift" not in event.modifiers
        start = np.array(event.pos, float)
        path = [np.array(event.position, float)]
        moved = False
        yield
        while event.type == "mouse_move":
            moved = moved or bool(np.abs(np.array(event.pos) - start).max() >= _CLICK_PIXELS)
            if event.button != _RIGHT:
                event.handled = True
                if moved:
                    path.append(np.array(event.position, float))
                    self._calls.dragging(kind, path)
            yield
        if not moved:
            if "Alt" in event.modifiers:
                self._calls.reopen(path[0])
            else:
                self._calls.click(path[0], inside)
        elif event.button != _RIGHT:
            path.append(np.array(event.position, float))
            self._calls.dropped(kind, path, inside)

    def _move(self, _: Any, event: Any) -> None:
        if self._active():
            self._calls.hover(np.array(event.position, float))

    def _wheel(self, _: Any, event: Any) -> None:
        if self._active() and "Shift" in event.modifiers:
            event.handled = True
            self._calls.wheel(1 if sum(event.delta) > 0 else -1)


def _kind(event: Any) -> str:
    if "Alt" in event.modifiers:
        return "lasso"
    return "scribble" if "Control" in event.modifiers else "box"
