"""Thresholds and level of masks that were decoded: sliders that draw them anew at once."""

from __future__ import annotations

import dataclasses
from typing import TYPE_CHECKING, Any

from magicgui.widgets import ComboBox, FloatSlider
from qtpy.QtCore import Signal
from qtpy.QtWidgets import QFormLayout, QGroupBox, QLabel, QWidget

from napari_sam.segmentation.everything_config import LEVELS, EverythingConfig
from napari_sam.widgets.live import LatestWins
from napari_sam.widgets.workers import report_error

if TYPE_CHECKING:
    from napari_sam.segmentation.decoded_masks import DecodedMasks

_THRESHOLDS = ("pred_iou_thresh", "stability_score_thresh")
_SLIDER_WIDTH = 170
"""Pixels; narrower ones show no track."""
_DIGITS = 2


class LevelBox(QGroupBox):
    """Shown while there are masks to draw anew.

    Parameters
    ----------
    parent : QWidget
        The dock.
    """

    chosen = Signal(object)
    """The settings that a person chose, an `EverythingConfig`."""
    drawn = Signal(object)
    """The labels (H, W) at these settings, as soon as they are there."""

    def __init__(self, parent: QWidget) -> None:
        super().__init__("Masks of the last run", parent)
        self._masks: DecodedMasks | None = None
        self._config = EverythingConfig()
        self._live = LatestWins(("labels",), self)
        self._live.answered.connect(self._answered)
        self._live.failed.connect(lambda _, error: report_error(error))
        self.editors: dict[str, Any] = {
            **{name: FloatSlider(min=0, max=1, step=0.01) for name in _THRESHOLDS},
            "level": ComboBox(choices=LEVELS),
        }
        form = QFormLayout(self)
        for field in dataclasses.fields(EverythingConfig):
            if field.name in self.editors:
                self._add(field, form)
        self.hide()

    @property
    def busy(self) -> bool:
        """Whether labels are on their way."""
        return self._live.busy

    def open(self, masks: DecodedMasks, config: EverythingConfig) -> None:
        """Offer masks, whose labels at some settings are shown already."""
        self._masks, self._config = masks, config
        for name, editor in self.editors.items():
            with editor.changed.blocked():
                if name in _THRESHOLDS:
                    editor.min = getattr(masks.config, name)
                editor.value = getattr(config, name)
        self.show()

    def clear(self) -> None:
        """Let go of the masks."""
        self._live.forget("labels")
        self._masks = None
        self.hide()

    def _add(self, field: dataclasses.Field[Any], form: QFormLayout) -> None:
        editor = self.editors[field.name]
        editor.tooltip = field.metadata["tooltip"]
        label = QLabel(field.metadata["label"])
        label.setToolTip(editor.tooltip)
        if field.name in _THRESHOLDS:
            editor.native.setMinimumWidth(_SLIDER_WIDTH)
        form.addRow(label, editor.native)
        editor.changed.connect(lambda value: self._choose(field.name, value))

    def _choose(self, name: str, value: Any) -> None:
        masks = self._masks
        if masks is None:
            return
        value = round(value, _DIGITS) if name in _THRESHOLDS else value
        self._config = config = dataclasses.replace(self._config, **{name: value})
        self.chosen.emit(config)
        self._live.ask("labels", lambda: (masks, masks.labels(config)))

    def _answered(self, _: str, answer: Any, __: float) -> None:
        masks, labels = answer
        if masks is self._masks:  # not those of an earlier run
            self.drawn.emit(labels)
