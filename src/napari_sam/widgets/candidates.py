"""The three candidates as buttons: predicted IoU and area, one of them shown."""

from __future__ import annotations

from typing import TYPE_CHECKING

from qtpy.QtCore import Signal
from qtpy.QtWidgets import QButtonGroup, QGroupBox, QHBoxLayout, QPushButton, QWidget

if TYPE_CHECKING:
    from napari_sam.segmentation.prediction import MaskPrediction

_COUNT = 3
_NOTHING = "\n\N{EN DASH}\n"


class CandidateButtons(QGroupBox):
    """Choose one of the candidates.

    Parameters
    ----------
    parent : QWidget, optional
        The dock.
    """

    chosen = Signal(int)

    def __init__(self, parent: QWidget | None = None) -> None:
        super().__init__("Candidates", parent)
        line = QHBoxLayout(self)
        group = QButtonGroup(self)
        self.buttons = [QPushButton() for _ in range(_COUNT)]
        for index, button in enumerate(self.buttons):
            button.setCheckable(True)
            button.setMinimumHeight(3 * button.fontMetrics().lineSpacing() + 12)
            button.setToolTip("Predicted IoU, and area in pixels; the best scored is shown first")
            button.clicked.connect(lambda _=False, index=index: self.chosen.emit(index))
            group.addButton(button)
            line.addWidget(button, 1)
        self.show_prediction(None, 0)

    def show_prediction(self, prediction: MaskPrediction | None, shown: int) -> None:
        """Show the candidates of a prediction, or that there are none."""
        for index, button in enumerate(self.buttons):
            if prediction is None or index >= len(prediction):
                button.setEnabled(False)
                button.setText(f"{index + 1}{_NOTHING}")
                continue
            area = int(prediction.areas[index])
            score = float(prediction.predicted_iou[index])
            button.setEnabled(True)
            button.setText(f"{index + 1}\nIoU {score:.2f}\n{area:,} px")
            button.setChecked(index == shown)
