"""Answers while a person moves: the latest question wins, one is in flight.

A dock asks many times a second. Questions that wait are replaced by newer ones of their kind, and
urgent kinds go first. There is no queue to fall behind in.
"""

from __future__ import annotations

import atexit
import threading
import time
import weakref
from collections import Counter
from collections.abc import Callable
from typing import Any

from qtpy.QtCore import QObject, Signal
from qtpy.QtWidgets import QApplication

_PATIENCE = 30.0
"""Seconds that the interpreter waits at its end for what is being answered."""


class LatestWins(QObject):
    """A thread that answers the latest question of each kind.

    Parameters
    ----------
    kinds : tuple of str
        The most urgent first.
    parent : QObject
        The widget whose questions these are; the thread ends with it.
    """

    answered = Signal(str, object, float)
    """Kind, answer, and the seconds it took; on the GUI thread."""
    failed = Signal(str, object)
    """Kind and exception; on the GUI thread."""

    def __init__(self, kinds: tuple[str, ...], parent: QObject) -> None:
        super().__init__(parent)
        self._kinds = kinds
        self._waiting: dict[str, Callable[[], Any]] = {}
        self._in_flight = ""
        self._state = threading.Condition()
        self._ended = False
        self._on_the_way: Counter[str] = Counter()
        self.answered.connect(self._answer_arrived)
        self.failed.connect(self._error_arrived)
        self._thread = threading.Thread(target=self._answer, name="napari-sam", daemon=True)
        self._thread.start()
        atexit.register(_finish, weakref.ref(self))
        parent.destroyed.connect(self._end_by(self._state))
        application = QApplication.instance()
        if application is not None:
            application.aboutToQuit.connect(self.end)

    @property
    def busy(self) -> bool:
        """Whether anything is asked and its answer has not arrived."""
        with self._state:
            return bool(self._waiting or self._in_flight or self._on_the_way.total())

    def is_asked(self, kind: str) -> bool:
        """Tell whether a question of a kind waits, is in flight, or its answer on the way."""
        with self._state:
            asked = kind in self._waiting or self._in_flight == kind
            return asked or self._on_the_way[kind] > 0

    def ask(self, kind: str, question: Callable[[], Any]) -> None:
        """Ask; a question of the same kind that still waits is forgotten."""
        with self._state:
            self._waiting[kind] = question
            self._state.notify()

    def forget(self, kind: str) -> None:
        """Forget a question that still waits."""
        with self._state:
            self._waiting.pop(kind, None)

    def end(self) -> None:
        """Answer nothing more."""
        with self._state:
            self._ended = True
            self._waiting.clear()
            self._state.notify()

    def wait(self, seconds: float) -> bool:
        """Wait until the thread is over, which `end` asks for; returns whether it is."""
        self._thread.join(seconds)
        return not self._thread.is_alive()

    def _end_by(self, state: threading.Condition) -> Callable[..., None]:
        """Return a slot that ends the thread without touching the QObject, which is going."""

        def end(*_: object) -> None:
            with state:
                self.__dict__["_ended"] = True
                self.__dict__["_waiting"].clear()
                state.notify()

        return end

    def _next(self) -> tuple[str, Callable[[], Any]] | None:
        with self._state:
            while not self._waiting and not self._ended:
                self._state.wait()
            if self._ended:
                return None
            kind = min(self._waiting, key=self._kinds.index)
            self._in_flight = kind
            return kind, self._waiting.pop(kind)

    def _answer(self) -> None:
        while (found := self._next()) is not None:
            kind, question = found
            started = time.perf_counter()
            try:
                answer = question()
            except Exception as error:  # noqa: BLE001  it is told on the GUI thread
                self._tell("failed", kind, error)
                continue
            self._tell("answered", kind, answer, time.perf_counter() - started)

    def _answer_arrived(self, kind: str, _: object, __: float) -> None:
        """Note, before anybody else, that an answer is on the GUI thread."""
        with self._state:
            self._on_the_way[kind] -= 1

    def _error_arrived(self, kind: str, _: object) -> None:
        with self._state:
            self._on_the_way[kind] -= 1

    def _tell(self, signal: str, *values: Any) -> None:
        """Emit, unless the widget went meanwhile."""
        with self._state:
            ended = self._ended
            self._in_flight = ""  # before the GUI thread may look whether it is
            self._on_the_way[values[0]] += 1
        if not ended:
            try:
                getattr(self, signal).emit(*values)
            except RuntimeError:  # Qt deleted the object between the question and here
                self._ended = True


def _finish(reference: weakref.ref[LatestWins]) -> None:
    """Wait for the answer in flight: a thread stopped in the middle of torch ends in an abort."""
    answering = reference()
    if answering is not None:
        answering.end()
        answering.wait(_PATIENCE)
