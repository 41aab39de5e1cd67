"""What a job on a whole stack needs: where labels go, how objects are linked, how it resumes."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

from qtpy.QtCore import Qt
from qtpy.QtWidgets import (
    QCheckBox,
    QFileDialog,
    QHBoxLayout,
    QLineEdit,
    QPushButton,
    QToolButton,
    QVBoxLayout,
    QWidget,
)

from napari_sam.segmentation.everything import EverythingConfig
from napari_sam.volume import LinkConfig, RunConfig, VolumeConfig
from napari_sam.widgets.config_form import ConfigForm

_NAME, _BLOCKS = ("name",), ("block_size", "empty_contrast")


class StackBox(QWidget):
    """Shown for the whole stack.

    Parameters
    ----------
    parent : QWidget
        The dock.
    """

    def __init__(self, parent: QWidget) -> None:
        super().__init__(parent)
        layout = QVBoxLayout(self)
        layout.setContentsMargins(0, 0, 0, 0)
        self.output = QLineEdit()
        self.output.setPlaceholderText("OME-Zarr folder for the result")
        self.output.setToolTip("A job that stopped goes on when it is run again on the same folder")
        self.browse = QPushButton("Choose ...")
        self.browse.clicked.connect(lambda _=False: self._browse())
        line = QHBoxLayout()
        line.addWidget(self.output, 1)
        line.addWidget(self.browse)
        layout.addLayout(line)
        self.naming: ConfigForm[VolumeConfig] = ConfigForm(VolumeConfig, self, names=_NAME)
        layout.addWidget(self.naming)
        self.blocks: ConfigForm[VolumeConfig] = ConfigForm(VolumeConfig, self, names=_BLOCKS)
        self.links: ConfigForm[LinkConfig] = ConfigForm(LinkConfig, self)
        self.fold_page = folded = QWidget(self)
        inside = QVBoxLayout(folded)
        inside.setContentsMargins(12, 0, 0, 0)
        inside.addWidget(self.links)
        inside.addWidget(self.blocks)
        self.fold = _fold_button("Links and blocks", folded)
        layout.addWidget(self.fold)
        layout.addWidget(folded)
        self.skip = _check_box(
            "Skip slices that fail",
            "Leave them empty, go on, and try them again in the next run; else the job stops there",
        )
        self.start_over = _check_box(
            "Start over", "Replace the job that the folder holds, instead of going on with it"
        )
        self.take_over = _check_box(
            "Take over", "Take the job from a computer that was cut off from it"
        )
        self.take_over.hide()
        for box in (self.skip, self.start_over, self.take_over):
            layout.addWidget(box)

    def full_width(self) -> int:
        """Return the width that it needs unfolded, pixels."""
        return int(max(self.sizeHint().width(), self.fold_page.sizeHint().width()))

    def output_folder(self) -> Path:
        """Return the folder that was chosen.

        Raises
        ------
        ValueError
            If there is none.
        """
        text = self.output.text().strip()
        if not text:
            raise ValueError("Choose the OME-Zarr folder that the stack's labels go to")
        return Path(text).expanduser().absolute()

    def config(self, everything: EverythingConfig) -> VolumeConfig:
        """Return the settings of the job.

        Raises
        ------
        ValueError
            If one is not possible.
        """
        blocks = self.blocks.value()
        return replace(
            self.naming.value(),
            everything=everything,
            link=self.links.value(),
            **{name: getattr(blocks, name) for name in _BLOCKS},
        )

    def run_config(self) -> RunConfig:
        """Return how the job is run."""
        skip = self.skip.isChecked()
        return RunConfig(
            on_error="skip" if skip else "stop",
            retry_failed=skip,
            take_lock=self.take_over.isChecked(),
        )

    def begun(self) -> None:
        """Let what is meant for one run be over, now that the run has begun."""
        self.start_over.setChecked(False)
        self.take_over.setChecked(False)
        self.take_over.hide()

    def _browse(self) -> None:
        path, _ = QFileDialog.getSaveFileName(
            self,
            "Result",
            "labels.ome.zarr",
            "OME-Zarr (*.zarr)",
            options=QFileDialog.Option.DontConfirmOverwrite,
        )
        if path:
            self.output.setText(path)


def _check_box(text: str, tooltip: str) -> QCheckBox:
    box = QCheckBox(text)
    box.setToolTip(tooltip)
    return box


def _fold_button(text: str, page: QWidget) -> QToolButton:
    """Return a button that shows and hides a page, which begins hidden."""
    button = QToolButton()
    button.setText(text)
    button.setCheckable(True)
    button.setArrowType(Qt.ArrowType.RightArrow)
    button.setToolButtonStyle(Qt.ToolButtonStyle.ToolButtonTextBesideIcon)

    def fold(shown: bool) -> None:  # noqa: FBT001  as Qt calls it
        page.setVisible(shown)
        button.setArrowType(Qt.ArrowType.DownArrow if shown else Qt.ArrowType.RightArrow)

    button.toggled.connect(fold)
    page.hide()
    return button
