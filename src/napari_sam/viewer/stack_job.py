"""A volume job as the viewer runs it: it says how it can be resumed, what it takes, how it goes."""

from __future__ import annotations

import re
import time
from collections.abc import Generator
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path
from typing import Any

from napari_sam.viewer.stacks import Stack
from napari_sam.volume import (
    JobLockedError,
    JobMismatchError,
    LedgerError,
    OutputError,
    Preflight,
    RunConfig,
    VolumeConfig,
    VolumeError,
    VolumeEvent,
    VolumeReport,
    VolumeSource,
    iter_volume,
    preflight,
)
from napari_sam.volume.block_view import view_blocks
from napari_sam.volume.blocks import VolumePredictor
from napari_sam.volume.command import command_line
from napari_sam.volume.plan import VolumePlan, plan_volume
from napari_sam.volume.preflight import is_worth_telling

_OFTEN = 0.05
"""Seconds between what is told of steps that change nothing in the picture."""


@dataclass(frozen=True, kw_only=True)
class StackOpened:
    """The source is open.

    Attributes
    ----------
    location : str or None
        Where it lies; None if it is the layer's array, so that only this viewer can go on.
    command : str or None
        The line that does the same job in the shell.
    """

    location: str | None
    command: str | None


@dataclass(frozen=True, kw_only=True)
class StackForecast:
    """What a new job will take."""

    preflight: Preflight


@dataclass(frozen=True, kw_only=True)
class StackStep:
    """One step is done.

    Attributes
    ----------
    event : VolumeEvent
        Which.
    levels : tuple of array or None
        What is segmented so far, (Z, Y, X) at each level of the pyramid; told once.
    rate : float or None
        Steps a second of this stage, without those of earlier runs and without pauses.
    seconds_left : float or None
        Until the end of this stage.
    """

    event: VolumeEvent
    levels: tuple[Any, ...] | None = None
    rate: float | None = None
    seconds_left: float | None = None


@dataclass(frozen=True, kw_only=True)
class StackOutcome:
    """The job is done.

    Attributes
    ----------
    report : VolumeReport
        What came of it.
    levels : tuple of array
        The label image, (Z, Y, X) at each level of the pyramid.
    """

    report: VolumeReport
    levels: tuple[Any, ...] = field(repr=False)


StackNews = StackOpened | StackForecast | StackStep


@dataclass(frozen=True, kw_only=True, eq=False)
class StackJob:
    """Everything that a run needs, taken on the main thread; `run` belongs in another.

    Attributes
    ----------
    predictor : Predictor
        The model.
    stack : Stack
        What is segmented.
    output : Path
        The job's OME-Zarr group.
    config : VolumeConfig
        The settings; channel and time are those that the stack shows.
    run_config : RunConfig
        How it is run.
    resume : bool
        Go on with the job that is in the output, or start over.
    device : str
        Where the model runs, as the shell is told.
    """

    predictor: VolumePredictor
    stack: Stack
    output: Path
    config: VolumeConfig = field(default_factory=VolumeConfig)
    run_config: RunConfig = field(default_factory=RunConfig)
    resume: bool = True
    device: str = "auto"

    def run(self) -> Generator[StackNews, None, StackOutcome]:
        """Do the job step by step; closing the generator cancels it, and `run` resumes it.

        Raises
        ------
        JobLockedError, JobMismatchError, OutputError, VolumeError
            See `napari_sam.volume.segment_volume`; `advice` says what a person can do.
        """
        source, picks = self.stack.open()
        config = replace(self.config, **asdict(picks), **self.stack.placement(source))
        yield StackOpened(location=source.location, command=self._command(source, config))
        plan = plan_volume(self.output, config.name, source.shape, block_size=config.block_size)
        if is_worth_telling(plan, resume=self.resume):
            yield StackForecast(preflight=preflight(self.predictor, source, self.output, config))
        job = iter_volume(
            self.predictor, source, self.output, config, resume=self.resume, run=self.run_config
        )
        report = yield from _steps(job, plan)
        return StackOutcome(report=report, levels=open_levels(report))

    def _command(self, source: VolumeSource, config: VolumeConfig) -> str | None:
        """Return the shell's line; None for a model without a name."""
        model = str(getattr(self.predictor, "model_name", "custom"))
        if model == "custom":
            return None
        return command_line(
            source, self.output, config, model=model, device=self.device, run=self.run_config
        )


def _steps(
    job: Generator[VolumeEvent, None, VolumeReport], plan: VolumePlan
) -> Generator[StackStep, None, VolumeReport]:
    """Tell of the steps of a job, what there is to see, and the pace."""
    stage, told, is_seen, pace = "", -_OFTEN, False, _Pace()
    while True:
        started = time.perf_counter()
        try:
            event = next(job)
        except StopIteration as stop:
            report: VolumeReport = stop.value
            return report
        now = time.perf_counter()
        pace.add(event, now - started)
        levels = None
        if event.stage == "segment" and not is_seen:
            levels, is_seen = view_blocks(plan), True
        is_new = event.stage != stage or (event.stage == "segment" and not event.resumed)
        if is_new or now - told > _OFTEN:
            stage, told = event.stage, now
            yield StackStep(
                event=event, levels=levels, rate=pace.rate, seconds_left=pace.seconds_left
            )


class _Pace:
    """How quickly the steps of a stage are done: the time that a job was waited for."""

    def __init__(self) -> None:
        self._stage = ""
        self._steps = self._left = 0
        self._seconds = 0.0

    def add(self, event: VolumeEvent, seconds: float) -> None:
        """Take in a step; the first of a stage also waits for what goes before it."""
        if event.stage != self._stage:
            self._stage, self._steps, self._seconds = event.stage, 0, 0.0
        elif not event.resumed:
            self._steps += 1
            self._seconds += seconds
        self._left = event.total - event.done

    @property
    def rate(self) -> float | None:
        """Steps a second."""
        return self._steps / self._seconds if self._steps and self._seconds else None

    @property
    def seconds_left(self) -> float | None:
        """Until the end of the stage."""
        return None if self.rate is None else self._left / self.rate


def open_levels(report: VolumeReport) -> tuple[Any, ...]:
    """Open all levels of the label image that a job has written, (Z, Y, X) each."""
    import zarr

    group = zarr.open_group(report.labels_path, mode="r")
    datasets: Any = group.attrs["ome"]
    return tuple(group[level["path"]] for level in datasets["multiscales"][0]["datasets"])


def advice(error: BaseException) -> str:
    """Say what stopped a job, and what a person can do about it in the dock."""
    match error:
        case JobMismatchError():
            todo = (
                "Set that back, choose another folder or name, or tick 'Start over' to replace the "
                "job that is there."
            )
        case JobLockedError(is_stale=True):
            todo = "If that computer is gone or was cut off, tick 'Take over' and run again."
        case JobLockedError():
            todo = "Cancel it there, wait for its end, or choose another folder or name."
        case VolumeError():
            todo = (
                "What is done is kept. Run again to go on from there, or tick 'Skip slices that "
                "fail' to leave such slices empty."
            )
        case OutputError():
            todo = "Nothing was changed there. Choose another folder or name."
        case LedgerError():
            todo = "Tick 'Start over' to replace it, or choose another folder or name."
        case _:
            return f"Stopped: {error}"
    reason = re.split(r";|\.(?=\s)", str(error))[0]
    return f"{reason}.\n{todo}"
