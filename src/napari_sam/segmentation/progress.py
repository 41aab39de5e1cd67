"""Progress as values: long work is a generator that yields them and returns its result."""

from __future__ import annotations

from collections.abc import Callable, Generator
from dataclasses import dataclass
from typing import Any, TypeVar

Event = TypeVar("Event")
Result = TypeVar("Result")
Told = TypeVar("Told")


@dataclass(frozen=True)
class Progress:
    """How far a job is.

    Attributes
    ----------
    done, total : int
        Pieces.
    stage : str
        What is being done, for people.
    """

    done: int
    total: int
    stage: str


def retold(
    job: Generator[Event, Any, Result], retell: Callable[[Event], Told]
) -> Generator[Told, None, Result]:
    """Run a job as a part of another: yields what `retell` makes of its events.

    Returns
    -------
    object
        What the job returned.
    """
    while True:
        try:
            event = next(job)
        except StopIteration as stop:
            result: Result = stop.value
            return result
        yield retell(event)


def run(
    job: Generator[Event, Any, Result], on_progress: Callable[[Event], object] | None = None
) -> Result:
    """Run a job to its end.

    Parameters
    ----------
    job : generator
        Yields events and returns a result.
    on_progress : callable, optional
        Called with every event.

    Returns
    -------
    object
        What the job returned.
    """
    while True:
        try:
            event = next(job)
        except StopIteration as stop:
            result: Result = stop.value
            return result
        if on_progress is not None:
            on_progress(event)
