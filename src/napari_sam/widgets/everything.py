"""The dock "Everything": all objects of a slice, or of a whole stack as a job that resumes."""

from __future__ import annotations

import weakref
from collections.abc import Callable, Generator
from typing import TYPE_CHECKING, Any

import numpy as np
from napari.layers import Image
from qtpy.QtWidgets import (
    QFormLayout,
    QGroupBox,
    QRadioButton,
    QVBoxLayout,
    QWidget,
)

from napari_sam.segmentation.everything_config import EverythingConfig
from napari_sam.viewer.layers import Plane, level_0, read_array, shown_plane
from napari_sam.viewer.napari_private import unwrapped
from napari_sam.viewer.results import SliceResult
from napari_sam.widgets.choosers import LayerChooser
from napari_sam.widgets.closing_dock import ClosingDock
from napari_sam.widgets.config_form import ConfigForm
from napari_sam.widgets.handing_back import HandingBack
from napari_sam.widgets.level_box import LevelBox
from napari_sam.widgets.models import ModelBox
from napari_sam.widgets.run_box import PURPOSE, RunBox
from napari_sam.widgets.scrolling import Scrolling
from napari_sam.widgets.stack_box import StackBox
from napari_sam.widgets.stack_runs import StackRuns
from napari_sam.widgets.volume_report import VolumeReportBox
from napari_sam.widgets.words import NO_IMAGE, counted
from napari_sam.widgets.workers import Runner, report_refusal

if TYPE_CHECKING:
    import napari

    from napari_sam.segmentation.decoded_masks import DecodedMasks
    from napari_sam.segmentation.progress import Progress

_MARGINS = 48
"""Pixels of a group box and its page to the left and right of what is in it."""


class EverythingWidget(ClosingDock):
    """Segment everything in the shown slice or in the whole stack.

    Parameters
    ----------
    napari_viewer : napari.Viewer
        The viewer that the dock belongs to.
    """

    def __init__(self, napari_viewer: napari.Viewer) -> None:
        super().__init__()
        self._viewer = unwrapped(napari_viewer)
        self._runner = Runner(self, self._viewer)
        self._target: Any = None
        self._source: Any = None
        self._followed: weakref.WeakSet[Any] = weakref.WeakSet()
        self._waiting: Callable[[Any], None] | None = None
        self._slice: SliceResult | None = None
        self._build()
        self.runs = StackRuns(self._viewer, self._runner, self.run_box, self.stack, self.report)
        self._viewer.layers.events.removed.connect(self._on_removed)

    def use_predictor(self, predictor: object) -> None:
        """Use a predictor that was made elsewhere."""
        self.models.use(predictor)

    def run(self) -> None:
        """Start the job that the dock shows."""
        image = self.image.layer
        if image is None:
            self._say(NO_IMAGE)
            return
        try:
            config = self.form.value()
            plane = shown_plane(self._viewer, image)
            whole = self.whole_stack.isChecked()
            begin = self.runs.prepared(image, plane, config) if whole else None
        except ValueError as error:
            self._say(str(error))
            report_refusal(error)
            return
        self._follow(image)
        self.run_box.set_running(running=True, can_pause=begin is not None)

        def start(predictor: Any) -> None:
            if self._waiting is not start:
                return
            self._waiting = None
            if begin is None:
                self._run_slice(predictor, image, plane, config)
            else:
                begin(predictor, self.models.device.device, self._finish(image))

        self._waiting = start
        self._wait_on()

    def cancel(self) -> None:
        """Stop the job; what a stack has done is on disk, and running again resumes it."""
        self._waiting = None
        self.models.stop_waiting()
        self._runner.cancel()
        is_stack = self.run_box.pause.isEnabled()
        self.run_box.set_running(running=False)
        self._say("Stopped" + ". What was done is kept: run again to go on" * is_stack)

    def shut(self) -> None:
        """See `ClosingDock`; a stack goes on from what is on disk when it is run again."""
        self.cancel()
        self.image.detach()
        for image in self._followed:
            image.events.data.disconnect(self._data_replaced)
        self._viewer.layers.events.removed.disconnect(self._on_removed)

    # building

    def _build(self) -> None:
        outer = QVBoxLayout(self)
        outer.setContentsMargins(0, 0, 0, 0)
        page = QWidget()
        layout = QVBoxLayout(page)
        scroll = Scrolling(page)
        outer.addWidget(scroll)
        self.image = LayerChooser(self._viewer, (Image,), parent=self)
        self.image.setToolTip("The image that is segmented")
        self.models = ModelBox(self)
        top = QFormLayout()
        top.addRow("Image", self.image)
        layout.addLayout(top)
        layout.addWidget(self.models)
        layout.addWidget(self._target_box())
        self.report = VolumeReportBox(self)
        self.report.opened.connect(lambda: scroll.ensureWidgetVisible(self.report))
        layout.addWidget(self.report)
        settings = QGroupBox("Settings")
        inside = QVBoxLayout(settings)
        self.form: ConfigForm[EverythingConfig] = ConfigForm(EverythingConfig, settings)
        inside.addWidget(self.form)
        layout.addWidget(settings)
        layout.addStretch(1)
        self._make_room(scroll, page)
        outer.addWidget(self._levels_box())
        outer.addWidget(self._run_buttons())
        HandingBack(self)
        self.image.layer_changed.connect(self._image_chosen)
        self.models.status.connect(self._say)
        self.models.failed.connect(self.cancel)
        self.models.changed.connect(self._wait_on)

    def _image_chosen(self, image: Image | None) -> None:
        """Say what may be done now, where the dock asked for an image."""
        if image is not None and self.run_box.status.text() == NO_IMAGE:
            self._say(PURPOSE)

    def _make_room(self, scroll: Scrolling, page: QWidget) -> None:
        """Make the page wide enough for what may be shown in it."""
        hidden = (self.stack, self.report)
        for box in hidden:
            box.show()
        scroll.least_width = max(page.sizeHint().width(), self.stack.full_width() + _MARGINS)
        for box in hidden:
            box.hide()

    def _target_box(self) -> QGroupBox:
        box = QGroupBox("What")
        layout = QVBoxLayout(box)
        self.this_slice = QRadioButton("This slice")
        self.whole_stack = QRadioButton("Whole stack, linked through z")
        self.this_slice.setChecked(True)
        self.this_slice.setToolTip("The slice that the viewer shows, into a Labels layer")
        self.whole_stack.setToolTip("A job on disk, which can be paused and goes on after a stop")
        layout.addWidget(self.this_slice)
        layout.addWidget(self.whole_stack)
        self.stack = StackBox(box)
        self.output = self.stack.output
        layout.addWidget(self.stack)
        self.stack.hide()
        self.whole_stack.toggled.connect(self.stack.setVisible)
        return box

    def _levels_box(self) -> LevelBox:
        self.levels = LevelBox(self)
        self.levels.chosen.connect(self._take_over)
        self.levels.drawn.connect(self._show_slice)
        return self.levels

    def _run_buttons(self) -> RunBox:
        self.run_box = RunBox(self)
        self.run_box.started.connect(self.run)
        self.run_box.cancelled.connect(self.cancel)
        self.start_button, self.cancel_button = self.run_box.start, self.run_box.cancel
        self.progress, self.status = self.run_box.progress, self.run_box.status
        return self.run_box

    # jobs

    def _wait_on(self) -> None:
        """Wait for the model that is chosen now."""
        if self._waiting is not None:
            self.models.when_loaded(self._waiting)

    def _run_slice(
        self,
        predictor: Any,
        image: Image,
        plane: Plane,
        config: EverythingConfig,
    ) -> None:
        from napari_sam.segmentation.decoded_masks import iter_decoded
        from napari_sam.segmentation.everything import iter_everything, mode_of

        array = level_0(image)
        in_grid = mode_of(config, predictor) == "grid"

        def job() -> Generator[Progress, None, tuple[np.ndarray, DecodedMasks | None]]:
            pixels = read_array(array, plane)
            if not in_grid:
                return (yield from iter_everything(predictor, pixels, config)), None
            masks = yield from iter_decoded(predictor, pixels, config)
            return masks.labels(config), masks

        def show(found: tuple[np.ndarray, DecodedMasks | None]) -> None:
            if image in self._viewer.layers:
                self._slice = SliceResult(self._viewer, image, plane)
                self._show_slice(found[0])
                self._offer(found[1], config)

        self._start(job, show, image)

    def _show_slice(self, labels: np.ndarray) -> None:
        if self._slice is not None:
            self._target = self._slice.show(labels)
            left = f"; {self._slice.spared!r} was worked on and stays" if self._slice.spared else ""
            count = counted(int(labels.max(initial=0)), "object")
            self._say(f"{count} in {self._target.name!r}{left}")

    def _offer(self, masks: DecodedMasks | None, config: EverythingConfig) -> None:
        """Offer other thresholds and levels of the masks of a slice, where there are any."""
        if masks is None:
            self.levels.clear()
        else:
            self.levels.open(masks, config)

    def _take_over(self, config: EverythingConfig) -> None:
        """Let the settings of the next run be what a person found with the sliders."""
        for name in self.levels.editors:
            self.form.editors[name].value = getattr(config, name)

    def _start(self, job: Any, show: Any, source: Any) -> None:
        self._runner.start(
            job,
            on_event=self._on_event,
            on_result=show,
            on_end=self._on_end,
            title=f"segmenting everything in {source.name!r}",
        )

    def _finish(self, image: Image) -> Callable[[Any], None]:
        """Return what is called with the Labels layer of a stack, or None at the end of a job."""

        def finish(labels: Any) -> None:
            if labels is not None and image in self._viewer.layers:
                self._target = labels
            self.run_box.set_running(running=False)

        return finish

    def _on_event(self, event: Progress) -> None:
        self.run_box.show_progress(event.done, event.total)
        self._say(f"{event.stage}: {event.done} of {event.total}")

    def _on_end(self) -> None:
        self.run_box.set_running(running=False)

    def _on_removed(self, event: Any) -> None:
        """Stop a job whose image is gone, as when the viewer closes, and let go of its masks."""
        gone = unwrapped(event.value)
        if self._runner.busy and gone is self._source:
            self.cancel()
        if self._slice is not None and gone is self._slice.image:
            self._slice = None
            self.levels.clear()

    def _follow(self, image: Image) -> None:
        """Hear of other data of an image that is segmented, chosen or not."""
        self._source = image
        self._followed.add(image)
        image.events.data.connect(self._data_replaced)

    def _data_replaced(self, event: Any) -> None:
        """Stop a job on what an image showed before, and let go of its masks."""
        image = unwrapped(event.source)
        if (self._runner.busy or self._waiting) and self._source is image:
            self.cancel()
            self._say("Stopped: the image has other data now")
        if self._slice is not None and self._slice.image is image:
            self._slice = None
            self.levels.clear()

    def _say(self, text: str) -> None:
        self.run_box.say(text)
