"""The dock "Everything": all objects of a slice, or of a whole stack as a job that resumes."""

from __future__ import annotations

from collections.abc import Generator
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from napari.layers import Image
from qtpy.QtWidgets import (
    QFileDialog,
    QFormLayout,
    QGroupBox,
    QHBoxLayout,
    QLabel,
    QLineEdit,
    QProgressBar,
    QPushButton,
    QRadioButton,
    QScrollArea,
    QVBoxLayout,
    QWidget,
)

from napari_sam.segmentation.everything import EverythingConfig
from napari_sam.viewer.layers import Plane, level_0, read_array, shown_plane
from napari_sam.viewer.napari_private import unwrapped
from napari_sam.viewer.results import SliceResult, StackResult, stack_source
from napari_sam.widgets.choosers import LayerChooser
from napari_sam.widgets.config_form import ConfigForm
from napari_sam.widgets.level_box import LevelBox
from napari_sam.widgets.models import ModelBox
from napari_sam.widgets.workers import Runner, report_error

if TYPE_CHECKING:
    import napari

    from napari_sam.segmentation.decoded_masks import DecodedMasks
    from napari_sam.segmentation.progress import Progress
    from napari_sam.volume import VolumeReport


class EverythingWidget(QWidget):
    """Segment everything in the shown slice or in the whole stack.

    Parameters
    ----------
    napari_viewer : napari.Viewer
        The viewer that the dock belongs to.
    """

    def __init__(self, napari_viewer: napari.Viewer) -> None:
        super().__init__()
        self._viewer = unwrapped(napari_viewer)
        self._runner = Runner(self)
        self._target: Any = None
        self._source: Any = None
        self._slice: SliceResult | None = None
        self._stack: StackResult | None = None
        self._build()
        self._viewer.layers.events.removed.connect(self._on_removed)

    def use_predictor(self, predictor: object) -> None:
        """Use a predictor that was made elsewhere."""
        self.models.use(predictor)

    def run(self) -> None:
        """Start the job that the dock shows."""
        image = self.image.layer
        if image is None:
            self._say("Open an image first")
            return
        try:
            config = self.form.value()
            plane = shown_plane(self._viewer, image)
            output = self._checked_output() if self.whole_stack.isChecked() else None
        except ValueError as error:
            report_error(error)
            return
        self._set_running(running=True)

        def start(predictor: Any) -> None:
            if output is None:
                self._run_slice(predictor, image, plane, config)
            else:
                self._run_stack(predictor, image, plane, config, output)

        self.models.when_loaded(start)

    def cancel(self) -> None:
        """Stop the job; what a stack has done is on disk, and running again resumes it."""
        self.models.stop_waiting()
        self._runner.cancel()
        self._set_running(running=False)
        self._say("Stopped")

    # building

    def _build(self) -> None:
        outer = QVBoxLayout(self)
        outer.setContentsMargins(0, 0, 0, 0)
        scroll = QScrollArea()
        scroll.setWidgetResizable(True)
        scroll.setFrameShape(QScrollArea.Shape.NoFrame)
        page = QWidget()
        layout = QVBoxLayout(page)
        scroll.setWidget(page)
        outer.addWidget(scroll)
        self.image = LayerChooser(self._viewer, (Image,), parent=self)
        self.models = ModelBox(self)
        top = QFormLayout()
        top.addRow("Image", self.image)
        layout.addLayout(top)
        layout.addWidget(self.models)
        layout.addWidget(self._target_box())
        settings = QGroupBox("Settings")
        inside = QVBoxLayout(settings)
        self.form: ConfigForm[EverythingConfig] = ConfigForm(EverythingConfig, settings)
        inside.addWidget(self.form)
        layout.addWidget(settings)
        layout.addStretch(1)
        bar = scroll.verticalScrollBar()
        scroll.setMinimumWidth(page.sizeHint().width() + (bar.sizeHint().width() if bar else 0))
        outer.addWidget(self._run_box())
        self.models.status.connect(self._say)
        self.models.failed.connect(self.cancel)

    def _target_box(self) -> QGroupBox:
        box = QGroupBox("What")
        layout = QVBoxLayout(box)
        self.this_slice = QRadioButton("This slice")
        self.whole_stack = QRadioButton("Whole stack, linked through z")
        self.this_slice.setChecked(True)
        layout.addWidget(self.this_slice)
        layout.addWidget(self.whole_stack)
        self.output = QLineEdit()
        self.output.setPlaceholderText("OME-Zarr folder for the result")
        self.output.setToolTip("A job that stopped goes on when it is run again on the same folder")
        self.browse = QPushButton("Choose ...")
        self.browse.clicked.connect(self._browse)
        line = QHBoxLayout()
        line.addWidget(self.output, 1)
        line.addWidget(self.browse)
        layout.addLayout(line)
        for widget in (self.output, self.browse):
            widget.setEnabled(False)
            self.whole_stack.toggled.connect(widget.setEnabled)
        return box

    def _run_box(self) -> QWidget:
        box = QWidget()
        layout = QVBoxLayout(box)
        self.levels = LevelBox(self)
        self.levels.chosen.connect(self._follow)
        self.levels.drawn.connect(self._show_slice)
        self.progress = QProgressBar()
        self.progress.setRange(0, 1)
        self.progress.setValue(0)
        self.start_button = QPushButton("Run")
        self.cancel_button = QPushButton("Cancel")
        self.cancel_button.setEnabled(False)
        self.start_button.clicked.connect(lambda _=False: self.run())
        self.cancel_button.clicked.connect(lambda _=False: self.cancel())
        line = QHBoxLayout()
        line.addWidget(self.start_button, 1)
        line.addWidget(self.cancel_button)
        self.status = QLabel("Finds every object, without prompts")
        self.status.setWordWrap(True)
        self.status.setMinimumHeight(3 * self.status.fontMetrics().lineSpacing())
        layout.addWidget(self.levels)
        layout.addLayout(line)
        layout.addWidget(self.progress)
        layout.addWidget(self.status)
        return box

    def _browse(self) -> None:
        path, _ = QFileDialog.getSaveFileName(
            self, "Result", "labels.ome.zarr", "OME-Zarr (*.zarr)"
        )
        if path:
            self.output.setText(path)

    def _checked_output(self) -> Path:
        text = self.output.text().strip()
        if not text:
            raise ValueError("Choose the OME-Zarr folder that the stack's labels go to")
        return Path(text)

    # jobs

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
            self._say(f"{int(labels.max(initial=0))} objects in {self._target.name!r}")

    def _offer(self, masks: DecodedMasks | None, config: EverythingConfig) -> None:
        """Offer other thresholds and levels of the masks of a slice, where there are any."""
        if masks is None:
            self.levels.clear()
        else:
            self.levels.open(masks, config)

    def _follow(self, config: EverythingConfig) -> None:
        """Let the settings of the next run be what a person found with the sliders."""
        for name in self.levels.editors:
            self.form.editors[name].value = getattr(config, name)

    def _run_stack(
        self,
        predictor: Any,
        image: Image,
        plane: Plane,
        config: EverythingConfig,
        output: Path,
    ) -> None:
        from napari_sam.volume import VolumeConfig, iter_volume

        try:
            source = stack_source(image, plane)
        except ValueError as error:
            report_error(error)
            self._set_running(running=False)
            return
        self._stack = StackResult(self._viewer, image, plane, output)

        def job() -> Generator[Progress, None, VolumeReport]:
            volume = VolumeConfig(everything=config)
            return (yield from iter_volume(predictor, source, output, volume))

        def show(report: VolumeReport) -> None:
            if self._stack is not None and image in self._viewer.layers:
                self._target = self._stack.finish(report)
                self._say(f"{report.n_objects} objects in {report.labels_path}")

        self._start(job, show, image)

    def _start(self, job: Any, show: Any, source: Any) -> None:
        self._source = source
        self._runner.start(job, on_event=self._on_event, on_result=show, on_end=self._on_end)

    def _on_event(self, event: Progress) -> None:
        self.progress.setRange(0, max(event.total, 1))
        self.progress.setValue(event.done)
        self._say(f"{event.stage}: {event.done} of {event.total}")
        if self._stack is not None:
            self._stack.show(event)

    def _on_end(self) -> None:
        self._set_running(running=False)
        self._stack = None

    def _on_removed(self, event: Any) -> None:
        """Stop a job whose image is gone, as when the viewer closes, and let go of its masks."""
        gone = unwrapped(event.value)
        if self._runner.busy and gone is self._source:
            self.cancel()
        if self._slice is not None and gone is self._slice.image:
            self._slice = None
            self.levels.clear()

    def _set_running(self, *, running: bool) -> None:
        self.start_button.setEnabled(not running)
        self.cancel_button.setEnabled(running)
        if running:
            self.progress.setRange(0, 0)
        elif self.progress.maximum() == 0:
            self.progress.setRange(0, 1)
            self.progress.setValue(0)

    def _say(self, text: str) -> None:
        self.status.setText(text)
