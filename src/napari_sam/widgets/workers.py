"""Work beside the GUI thread: one runner for all docks.

A job is a generator; it is cancelled at its next yield. Results arrive on the GUI thread. An error
becomes one napari notification. A runner's jobs end when its widget goes, or the application quits.
"""

from __future__ import annotations

from collections.abc import Callable, Generator
from typing import Any, TypeVar

from napari.qt.threading import create_worker
from napari.utils.notifications import notification_manager
from qtpy.QtCore import QObject
from qtpy.QtWidgets import QApplication, QWidget

Event = TypeVar("Event")
Result = TypeVar("Result")


class Runner(QObject):
    """Runs one job at a time for a widget; a new job takes the place of the one before.

    Parameters
    ----------
    parent : QWidget
        The widget whose jobs these are.
    """

    def __init__(self, parent: QWidget) -> None:
        super().__init__(parent)
        self._worker: Any = None
        self._serial = 0
        self._alive = [True]
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
        on_end: Callable[[], object] | None = None,
    ) -> None:
        """Start a job.

        Parameters
        ----------
        job : callable
            Returns a generator; runs in a worker thread.
        on_event, on_result : callable, optional
            Called on the GUI thread with what the generator yields and returns.
        on_end : callable, optional
            Called on the GUI thread at the end, however it came; not for a job that was replaced.
        """
        self.cancel()
        self._serial += 1
        serial = self._serial

        def steps() -> Generator[Event, None, Result]:
            return (yield from job())

        worker = create_worker(steps, _ignore_errors=True, _start_thread=False)

        def current(call: Callable[..., object] | None) -> Callable[..., None]:
            def forward(*arguments: object) -> None:
                if call is not None and self._alive and serial == self._serial:
                    call(*arguments)

            return forward

        def end() -> None:
            if self._alive and serial == self._serial:
                self._worker = None
                if on_end is not None:
                    on_end()

        worker.yielded.connect(current(on_event))
        worker.returned.connect(current(on_result))
        worker.errored.connect(current(report_error))
        worker.finished.connect(end)
        self._worker = worker
        worker.start()

    def cancel(self) -> None:
        """Ask the job to stop at its next yield, and drop what it still says."""
        if self._worker is not None:
            self._worker.quit()
            self._worker = None
        self._serial += 1


def report_error(error: BaseException) -> None:
    """Show an error as a napari notification, with its traceback behind it."""
    notification_manager.receive_error(type(error), error, error.__traceback__)
