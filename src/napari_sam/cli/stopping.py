"""Ctrl+C asks a job to stop where nothing is lost; a second one does not wait."""

from __future__ import annotations

import contextlib
import os
import signal
import threading
from collections.abc import Callable, Iterator
from types import FrameType

_TOLD = b"\nStopping after this step; Ctrl+C again stops at once.\n"
_STDERR = 2


@contextlib.contextmanager
def gentle_stop() -> Iterator[Callable[[], bool]]:
    """Let the first Ctrl+C only be told; yields what says whether there was one.

    A second one raises KeyboardInterrupt. Outside the main thread nothing changes.
    """
    asked = threading.Event()
    if threading.current_thread() is not threading.main_thread():
        yield asked.is_set
        return

    def stop(_number: int, _frame: FrameType | None) -> None:
        if asked.is_set():
            raise KeyboardInterrupt
        asked.set()
        with contextlib.suppress(OSError):
            os.write(_STDERR, _TOLD)  # the interrupted code may be printing, which cannot nest

    before = signal.signal(signal.SIGINT, stop)
    try:
        yield asked.is_set
    finally:
        signal.signal(signal.SIGINT, before)
