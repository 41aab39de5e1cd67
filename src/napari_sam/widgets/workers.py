"""Work beside the GUI thread: one runner for all docks.

A job is a generator; it is held or cancelled at its next yield, and closed in its own thread.
Results arrive on the GUI thread. An error becomes one napari notification. A runner's jobs end when
its widget goes, or the application quits.

To Qt's workers, a job that fails has returned its error. They take a RuntimeError for their own
end, and what napari tells of a worker's error fails itself where PySide6 is the Qt binding.
"""

from __future__ import annotations

import contextlib
import threading
import traceback
from collections.abc import Callable, Generator
from typing import Any, NamedTuple, TypeVar

from napari.qt.threading import GeneratorWorker
from napari.utils.notifications import notification_manager, show_warning
from qtpy.QtCore import QObject, QTimer
from qtpy.QtWidgets import QApplication, QWidget

from napari_sam.viewer.napari_private import announce_task

Event = TypeVar("Event")
Result = TypeVar("Result")
_PATIENCE = 0.05
"""Seconds between two looks at what a job that is held waits for."""


class Runner(QObject):
    """Runs one job at a time for a widget; a new job takes the place of the one before.

    Parameters
    ----------
    parent : QWidget
        The widget whose jobs these are.
    viewer : napari.Viewer, optional
        In whose window they run.
    """

    def __init__(self, parent: QWidget, viewer: Any = None) -> None:
        super().__init__(parent)
        self._viewer = viewer
        self._worker: Any = None
        self._serial = 0
        self._alive = [True]
        self._control = _Control()
        self._control.ended.set()
        parent.destroyed.connect(self._alive.clear)
        application = QApplication.instance()
        if application is not None:
            application.aboutToQuit.connect(self.cancel)

    @property
    def busy(self) -> bool:
        """Whether a job is under way."""
        return self._worker is not None

    def start(
        self,
        job: Callable[[], Generator[Event, None, Result]],
        *,
        on_event: Callable[[Event], object] | None = None,
        on_result: Callable[[Result], object] | None = None,
        on_error: Callable[[BaseException], object] | None = None,
        on_end: Callable[[], object] | None = None,
        in_turn: bool = False,
        title: str = "",
    ) -> None:
        """Start a job.

        Parameters
        ----------
        job : callable
            Returns a generator; runs in a worker thread.
        on_event, on_result : callable, optional
            Called on the GUI thread with what the generator yields and returns.
        on_error : callable, optional
            Called on the GUI thread with an error, instead of `report_error`.
        on_end : callable, optional
            Called on the GUI thread at the end, however it came; not for a job that was replaced.
        in_turn : bool
            Begin only when the job before has let go of everything, such as its lock.
        title : str
            What napari asks about before it closes the viewer's window meanwhile; by default it
            does not.
        """
        self.cancel()
        self._serial += 1
        serial = self._serial

        before, self._control = self._control, _Control()
        control = self._control
        steps = control.steps(job, before if in_turn else None)
        # not by napari's create_worker, for which the window keeps all that a job refers to
        worker = _ClosingWorker(lambda: (yield from steps))
        worker.on_closed = control.ended.set
        if title:
            worker.finished.connect(announce_task(self._viewer, title, self.cancel))

        def current(call: Callable[..., object]) -> Callable[..., None]:
            def forward(*arguments: object) -> None:
                if self._alive and serial == self._serial:
                    call(*arguments)

            return forward

        def end() -> None:
            self._worker = None
            if on_end is not None:
                on_end()

        worker.yielded.connect(current(_told(on_event)))
        worker.returned.connect(current(_heard(on_result, on_error or report_error)))
        worker.finished.connect(current(end))
        self._worker = worker
        worker.start()

    def pause(self) -> None:
        """Hold the job at its next yield."""
        self._control.may_go.clear()

    def resume(self) -> None:
        """Let a job that is held go on."""
        self._control.may_go.set()

    def cancel(self) -> None:
        """Ask the job to stop at its next yield, and drop what it still says."""
        if self._worker is not None:
            self._control.stopped.set()
            self._worker.quit()
            self._worker = None
        self._serial += 1


class _Control:
    """What the GUI thread tells a job, and hears of its end."""

    def __init__(self) -> None:
        self.may_go, self.stopped, self.ended = (threading.Event() for _ in range(3))
        self.may_go.set()

    def steps(
        self, job: Callable[[], Generator[Event, None, Result]], before: _Control | None
    ) -> Generator[Event | None, None, Result | _Failed | None]:
        """Hand on the steps of a job, hold it where that is asked for, and close it at the end.

        It begins when the job before has ended; until then None is yielded.
        """
        while before is not None and not before.ended.wait(_PATIENCE):
            yield None
        try:
            with contextlib.closing(job()) as steps:
                while True:
                    try:
                        event = next(steps)
                    except StopIteration as end:
                        result: Result = end.value
                        return result
                    yield event
                    while not self.may_go.wait(_PATIENCE):
                        if self.stopped.is_set():
                            return None
        except Exception as error:  # noqa: BLE001  told on the GUI thread
            return _Failed(error)


class _Failed(NamedTuple):
    """What a job returns that raised an error."""

    error: Exception


def _told(on_event: Callable[[Any], object] | None) -> Callable[[Any], None]:
    """Call with what a job yields, but not while it waits for its turn."""

    def tell(event: Any) -> None:
        if event is not None and on_event is not None:
            on_event(event)

    return tell


def _heard(
    on_result: Callable[[Any], object] | None, on_error: Callable[[BaseException], object]
) -> Callable[[Any], None]:
    """Call with what a job returned, or with its error."""

    def hear(result: Any) -> None:
        if isinstance(result, _Failed):
            on_error(result.error)
        elif on_result is not None:
            on_result(result)

    return hear


class _ClosingWorker(GeneratorWorker):
    """A worker that closes its generator in its own thread, so that nobody else waits for that."""

    on_closed: Callable[[], object]

    def work(self) -> Any:
        """Do the steps."""
        try:
            with contextlib.closing(self._gen):
                return super().work()
        finally:
            self.on_closed()


def report_error(error: BaseException) -> None:
    """Show an error as a napari notification, with its traceback behind it.

    napari keeps every error that it was told of. Once all calls that led to it have ended, its
    frames let go of what they held: images, models, widgets that would outlive the application.
    """
    notification_manager.receive_error(type(error), error, error.__traceback__)
    QTimer.singleShot(0, lambda: _forget_locals(error))


def report_refusal(error: BaseException) -> None:
    """Show why something that a person asked for is not done: no fault, so without a traceback."""
    show_warning(str(error))


def _forget_locals(error: BaseException | None) -> None:
    """Empty the frames of an error, of those that led to it, and of their callers."""
    while error is not None:
        for frame, _ in traceback.walk_tb(error.__traceback__):
            for caller, _ in traceback.walk_stack(frame):
                with contextlib.suppress(RuntimeError):  # it is still running
                    caller.clear()
                    _ = caller.f_locals  # before Python 3.13 a copy, which this brings up to date
        error = error.__cause__ or error.__context__
