"""Jobs on whole stacks in a dock: from its settings to the labels in the viewer and the report."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import TYPE_CHECKING, Any

from napari_sam.viewer.results import StackResult
from napari_sam.viewer.stack_job import (
    StackForecast,
    StackJob,
    StackNews,
    StackOpened,
    StackOutcome,
    StackStep,
    advice,
)
from napari_sam.viewer.stack_words import forecast_lines, opened_line, progress_line
from napari_sam.viewer.stacks import take_stack
from napari_sam.volume import JobLockedError, LinkDoubt
from napari_sam.widgets.workers import Runner, report_error

if TYPE_CHECKING:
    from napari.components import ViewerModel
    from napari.layers import Image

    from napari_sam.segmentation.everything import EverythingConfig
    from napari_sam.viewer.layers import Plane
    from napari_sam.widgets.run_box import RunBox
    from napari_sam.widgets.stack_box import StackBox
    from napari_sam.widgets.volume_report import VolumeReportBox

Begin = Callable[[Any, str, Callable[[Any], object]], None]
"""Starts a job: given the predictor, the device's name, and what to call with the Labels layer."""


class StackRuns:
    """Runs one job at a time, and shows what it tells.

    Parameters
    ----------
    viewer : ViewerModel
        Where labels are shown.
    runner : Runner
        Runs the jobs.
    run_box, settings, report : QWidget
        The dock's boxes.
    """

    def __init__(
        self,
        viewer: ViewerModel,
        runner: Runner,
        run_box: RunBox,
        settings: StackBox,
        report: VolumeReportBox,
    ) -> None:
        self._viewer = viewer
        self._runner = runner
        self._box = run_box
        self._settings = settings
        self._report = report
        self._result: StackResult | None = None
        self._notes: list[str] = []
        self._line = ""
        run_box.held.connect(self._hold)
        report.chosen.connect(self._jump)

    def prepared(self, image: Image, plane: Plane, config: EverythingConfig) -> Begin:
        """Take the settings and the stack as they are now; returns what starts the job.

        Raises
        ------
        ValueError
            If something is missing or does not fit.
        """
        job = partial(
            StackJob,
            stack=take_stack(image, plane),
            output=self._settings.output_folder(),
            config=self._settings.config(config),
            run_config=self._settings.run_config(),
            resume=not self._settings.start_over.isChecked(),
        )

        def begin(predictor: Any, device: str, finish: Callable[[Any], object]) -> None:
            self._begin(job(predictor=predictor, device=device), image, plane, finish)

        return begin

    def _begin(
        self, job: StackJob, image: Image, plane: Plane, finish: Callable[[Any], object]
    ) -> None:
        if image not in self._viewer.layers:  # it went while the model was loaded
            finish(None)
            return
        place = job.output / "labels" / job.config.name
        self._result = result = StackResult(self._viewer, image, plane, place)
        self._notes.clear()
        self._line = "Opening the stack"
        self._box.say(self._line)
        self._box.tell("")
        self._box.show_command(None)
        self._report.clear()

        def done(outcome: StackOutcome) -> None:
            labels = result.finish(outcome) if image in self._viewer.layers else None
            report = outcome.report
            again = f", {report.n_resumed} blocks from before" if report.n_resumed else ""
            self._box.tell("")
            self._box.say(f"{report.n_objects} objects in {report.labels_path}{again}")
            self._report.open(report)
            finish(labels)

        self._runner.start(
            job.run,
            on_event=self._on_news,
            on_result=done,
            on_error=self._on_error,
            on_end=lambda: finish(None),
            in_turn=True,
            title=f"segmenting {image.name!r} slice by slice; what is done so far stays",
        )

    def _on_news(self, news: StackNews) -> None:
        match news:
            case StackOpened():
                self._note(opened_line(news))
                self._box.show_command(news.command)
                self._line = "Measuring contrast and object size, timing two blocks"
                self._box.say(self._line)
            case StackForecast():
                self._note(forecast_lines(news))
            case StackStep():
                self._show(news)

    def _show(self, step: StackStep) -> None:
        if step.levels is not None:
            self._settings.begun()
        self._box.show_progress(step.event.done, step.event.total)
        self._line = progress_line(step)
        self._box.say(self._line if not self._box.pause.isChecked() else f"Paused. {self._line}")
        if self._result is not None:
            self._result.show(step)

    def _note(self, text: str) -> None:
        """Keep something in sight during the whole run."""
        if text:
            self._notes.append(text)
        self._box.tell("\n".join(self._notes))

    def _on_error(self, error: BaseException) -> None:
        report_error(error)
        self._box.say(advice(error))
        if isinstance(error, JobLockedError) and error.is_stale:
            self._settings.take_over.show()

    def _hold(self, held: bool) -> None:  # noqa: FBT001  as Qt calls it
        if not self._runner.busy:
            return
        if held:
            self._runner.pause()
            self._box.say(f"Paused. {self._line}")
        else:
            self._runner.resume()
            self._box.say(self._line)

    def _jump(self, doubt: LinkDoubt) -> None:
        if self._result is not None:
            self._result.jump_to(doubt)
