"""The dock "Segment": clicks and boxes become objects."""

from __future__ import annotations

import time
from collections.abc import Callable, Generator
from typing import TYPE_CHECKING, Any

import numpy as np
from napari.layers import Image, Labels, Points, Shapes
from qtpy.QtCore import QTimer
from qtpy.QtGui import QHideEvent, QShowEvent
from qtpy.QtWidgets import (
    QButtonGroup,
    QCheckBox,
    QFormLayout,
    QGridLayout,
    QGroupBox,
    QHBoxLayout,
    QLabel,
    QPushButton,
    QSpinBox,
    QVBoxLayout,
    QWidget,
)

from napari_sam.viewer.layers import (
    NEGATIVE,
    POSITIVE,
    boxes_from_shapes,
    prompts_from_points,
    shown_plane,
)
from napari_sam.viewer.napari_private import unwrapped
from napari_sam.widgets.candidates import CandidateButtons
from napari_sam.widgets.choosers import LayerChooser
from napari_sam.widgets.models import ModelBox
from napari_sam.widgets.prompt_layers import (
    add_boxes_layer,
    add_points_layer,
    bind_keys,
    polarity_of,
    set_polarity,
)
from napari_sam.widgets.workers import Runner, report_error

if TYPE_CHECKING:
    import napari

    from napari_sam.viewer.requests import PredictAnswer, PredictRequest
    from napari_sam.viewer.session import Session

_SETTLE_MS = 20
_PAST = ("added", "removed", "changed")


class SegmentWidget(QWidget):
    """Prompt the model with points and boxes, choose a candidate, commit it as an object.

    Parameters
    ----------
    napari_viewer : napari.Viewer
        The viewer that the dock belongs to.
    """

    def __init__(self, napari_viewer: napari.Viewer) -> None:
        super().__init__()
        self._viewer = unwrapped(napari_viewer)
        self._session: Session | None = None
        self._runner = Runner(self)
        self._waiting = False
        self._removing = False
        self._closed = False
        self._watched: dict[str, Any] = {}
        self._timer = QTimer(self)
        self._timer.setSingleShot(True)
        self._timer.setInterval(_SETTLE_MS)
        self._timer.timeout.connect(self._collect)
        self._build()
        self._viewer.dims.events.point.connect(self._schedule)
        self._viewer.dims.events.ndisplay.connect(self._schedule)

    # what a script may use, too

    @property
    def session(self) -> Session | None:
        """The session of the chosen image, once a model is loaded."""
        return self._session

    def use_predictor(self, predictor: object) -> None:
        """Use a predictor that was made elsewhere."""
        self.models.use(predictor)

    def commit(self) -> int | None:
        """Commit the shown candidate; returns its label, or None after an error that was told."""
        if self._session is None:
            self._say("Add a point or a box first")
            return None
        label = self.label_id.value() or None
        try:
            self._session.labels = self.output.layer
            written = self._session.commit(label, overwrite=self.overwrite.isChecked())
        except ValueError as error:
            report_error(error)
            return None
        self.output.choose(self._session.labels)
        self._remove_prompts()
        self._show_candidates()
        self._say(f"Committed object {written}; Ctrl+Z takes it back")
        return written

    def clear(self) -> None:
        """Drop the prompts on this slice and the preview."""
        self._remove_prompts()
        if self._session is not None:
            self._session.clear()
        self._show_candidates()
        self._say("Cleared")

    def undo(self) -> None:
        """Take back the last commit, as Ctrl+Z on the Labels layer does."""
        labels = self.output.layer
        if labels is None:
            self._say("There is nothing to take back")
            return
        labels.undo()
        self._say("Took back the last change of the labels")

    def new_points(self) -> Points | None:
        """Make a Points layer that fits the image, and watch it."""
        image = self._image()
        if image is None:
            return None
        layer = add_points_layer(self._viewer, image)
        self.points.choose(layer)
        return layer

    def new_boxes(self) -> Shapes | None:
        """Make a Shapes layer that fits the image, and watch it."""
        image = self._image()
        if image is None:
            return None
        layer = add_boxes_layer(self._viewer, image)
        self.boxes.choose(layer)
        return layer

    def toggle_polarity(self) -> None:
        """Make the next points negative, or positive again."""
        layer = self.points.layer
        if layer is not None:
            self._set_polarity(NEGATIVE if polarity_of(layer) == POSITIVE else POSITIVE)

    def hideEvent(self, event: QHideEvent) -> None:  # noqa: N802
        """Leave prompts unanswered while the dock is closed (a minimised window is not)."""
        self._closed = not event.spontaneous()
        super().hideEvent(event)

    def showEvent(self, event: QShowEvent) -> None:  # noqa: N802
        """Answer what was prompted meanwhile."""
        self._closed = False
        self._schedule()
        super().showEvent(event)

    # building

    def _build(self) -> None:
        layout = QVBoxLayout(self)
        self.image = LayerChooser(self._viewer, (Image,), parent=self)
        self.models = ModelBox(self)
        top = QFormLayout()
        top.addRow("Image", self.image)
        layout.addLayout(top)
        layout.addWidget(self.models)
        self.candidates = CandidateButtons(self)
        self.candidates.chosen.connect(self._choose)
        layout.addWidget(self._prompts_box())
        layout.addWidget(self.candidates)
        layout.addWidget(self._output_box())
        self.status = QLabel("Make a Points or Shapes layer and click an object")
        self.status.setWordWrap(True)
        self.status.setMinimumHeight(3 * self.status.fontMetrics().lineSpacing())
        layout.addWidget(self.status)
        layout.addStretch(1)
        self.models.status.connect(self._say)
        self.models.changed.connect(self._new_session)
        self.models.failed.connect(lambda: self._say("The model could not be loaded"))
        self.image.layer_changed.connect(self._new_session)

    def _prompts_box(self) -> QGroupBox:
        box = QGroupBox("Prompts")
        grid = QGridLayout(box)
        self.points = LayerChooser(self._viewer, (Points,), nothing="none", parent=self)
        self.boxes = LayerChooser(self._viewer, (Shapes,), nothing="none", parent=self)
        rows = (
            ("Points", self.points, self.new_points, "Click objects in a new Points layer"),
            ("Boxes", self.boxes, self.new_boxes, "Draw boxes in a new Shapes layer"),
        )
        for row, (name, chooser, make, tooltip) in enumerate(rows):
            button = QPushButton("New")
            button.setToolTip(tooltip)
            button.setObjectName(f"new_{name.lower()}")
            button.clicked.connect(lambda _=False, make=make: make())
            grid.addWidget(QLabel(name), row, 0)
            grid.addWidget(chooser, row, 1)
            grid.addWidget(button, row, 2)
        grid.setColumnStretch(1, 1)
        self.polarity = {POSITIVE: QPushButton(), NEGATIVE: QPushButton()}
        line = QHBoxLayout()
        group = QButtonGroup(box)
        for kind, text in ((POSITIVE, "+ object"), (NEGATIVE, "\N{MINUS SIGN} background")):
            button = self.polarity[kind]
            button.setText(text)
            button.setCheckable(True)
            button.setToolTip("What the next point means (key T on the Points layer)")
            button.clicked.connect(lambda _=False, kind=kind: self._set_polarity(kind))
            group.addButton(button)
            line.addWidget(button)
        self.polarity[POSITIVE].setChecked(True)
        line.addStretch(1)
        grid.addLayout(line, 2, 1, 1, 2)
        self.points.layer_changed.connect(lambda layer: self._watch("points", layer))
        self.boxes.layer_changed.connect(lambda layer: self._watch("boxes", layer))
        return box

    def _output_box(self) -> QGroupBox:
        box = QGroupBox("Output")
        layout = QVBoxLayout(box)
        form = QFormLayout()
        self.output = LayerChooser(self._viewer, (Labels,), nothing="new layer", parent=self)
        self.label_id = QSpinBox()
        self.label_id.setRange(0, 2**31 - 1)
        self.label_id.setSpecialValueText("next free")
        self.overwrite = QCheckBox("Overwrite other objects")
        form.addRow("Labels", self.output)
        form.addRow("Label", self.label_id)
        form.addRow(self.overwrite)
        layout.addLayout(form)
        line = QHBoxLayout()
        for text, call, tooltip in (
            ("Commit", self.commit, "Write the mask into the Labels layer (Enter)"),
            ("Clear", self.clear, "Drop the prompts on this slice"),
            ("Undo", self.undo, "Take back the last commit (Ctrl+Z)"),
        ):
            button = QPushButton(text)
            button.setToolTip(tooltip)
            button.setObjectName(text.lower())
            button.clicked.connect(lambda _=False, call=call: call())
            line.addWidget(button)
        layout.addLayout(line)
        return box

    # prompts to prediction

    def _image(self) -> Image | None:
        if self.image.layer is None:
            self._say("Open an image first")
        return self.image.layer

    def _watch(self, kind: str, layer: Any) -> None:
        """Listen to a prompt layer instead of the one before."""
        before = self._watched.pop(kind, None)
        if before is not None:
            before.events.data.disconnect(self._on_data)
        if layer is not None:
            self._watched[kind] = layer
            layer.events.data.connect(self._on_data)
            keys: dict[str, Callable[[], object]] = {"Control-Z": self.undo, "Enter": self.commit}
            if kind == "points":
                keys["T"] = self.toggle_polarity
                self._set_polarity(polarity_of(layer))
            bind_keys(layer, keys)
        self._schedule()

    def _set_polarity(self, polarity: str) -> None:
        self.polarity[polarity].setChecked(True)
        layer = self.points.layer
        if layer is not None and polarity_of(layer) != polarity:
            set_polarity(layer, polarity)

    def _on_data(self, event: Any) -> None:
        action = getattr(event, "action", None)
        if not self._removing and getattr(action, "value", action) in _PAST:
            self._schedule()

    def _schedule(self, event: object = None) -> None:  # noqa: ARG002
        self._timer.start()

    def _new_session(self, _: object = None) -> None:
        if self._session is not None:
            self._session.close()
            self._session = None
        self._show_candidates()
        self._schedule()

    def _has_prompts(self) -> bool:
        return any(len(layer.data) for layer in self._watched.values())

    def _collect(self) -> None:
        """Read the prompt layers; predict, or take the preview away."""
        image = self.image.layer
        if image is None or self._closed:
            return
        if self._session is None:
            if self._has_prompts():
                self.models.when_loaded(self._open_session)
            return
        try:
            self._read_prompts(self._session, image)
            request = self._session.snapshot()
        except ValueError as error:
            self._session.clear()
            self._show_candidates()
            self._say(str(error))
            return
        if request.prompts.is_empty:
            self._session.clear()
            self._show_candidates()
        elif self._runner.busy:
            self._waiting = True
        else:
            self._compute(request)

    def _open_session(self, predictor: Any) -> None:
        from napari_sam.viewer.session import Session

        if self.image.layer is not None and self._session is None:
            self._session = Session(self._viewer, predictor, self.image.layer)
            self._schedule()

    def _read_prompts(self, session: Session, image: Image) -> None:
        plane = shown_plane(self._viewer, image)
        points, labels = np.empty((0, 2)), np.empty(0, np.int64)
        box = None
        if "points" in self._watched:
            points, labels, _ = prompts_from_points(
                self._viewer, image, self._watched["points"], plane
            )
        if "boxes" in self._watched:
            found, _ = boxes_from_shapes(self._viewer, image, self._watched["boxes"], plane)
            box = found[-1] if len(found) else None
        session.set_prompts(points, labels, box)

    def _compute(self, request: PredictRequest) -> None:
        from napari_sam.viewer.requests import compute

        started = time.perf_counter()

        def job() -> Generator[str, None, PredictAnswer]:
            yield "Embedding and decoding ..."
            return compute(request)

        def apply(answer: PredictAnswer) -> None:
            if self._session is not None and self._session.apply(answer):
                self._show_candidates()
                diameter = self._session.object_diameter
                size = "" if diameter is None else f"; objects of about {diameter:.0f} px"
                self._say(f"Answered in {(time.perf_counter() - started) * 1000:.0f} ms{size}")

        self._runner.start(job, on_event=self._say, on_result=apply, on_end=self._go_on)

    def _go_on(self) -> None:
        if self._waiting:
            self._waiting = False
            self._schedule()

    def _choose(self, index: int) -> None:
        if self._session is not None and self._session.prediction is not None:
            self._session.choose(index)

    def _show_candidates(self) -> None:
        session = self._session
        if session is None:
            self.candidates.show_prediction(None, 0)
        else:
            self.candidates.show_prediction(session.prediction, session.candidate)

    def _remove_prompts(self) -> None:
        """Remove the prompts on this slice from their layers."""
        image = self.image.layer
        if image is None:
            return
        try:
            plane = shown_plane(self._viewer, image)
        except ValueError:
            return
        self._removing = True
        try:
            for kind, layer in self._watched.items():
                read = prompts_from_points if kind == "points" else boxes_from_shapes
                indices = read(self._viewer, image, layer, plane)[-1]
                if len(indices):
                    layer.selected_data = set(indices.tolist())
                    layer.remove_selected()
        finally:
            self._removing = False

    def _say(self, text: str) -> None:
        self.status.setText(text)
