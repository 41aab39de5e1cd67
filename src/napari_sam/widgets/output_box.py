"""The part of the dock "Segment" that is about objects: where they go, how, and as what."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from napari.layers import Labels
from qtpy.QtCore import Signal
from qtpy.QtWidgets import (
    QComboBox,
    QDoubleSpinBox,
    QFormLayout,
    QGridLayout,
    QGroupBox,
    QPushButton,
    QSpinBox,
    QVBoxLayout,
    QWidget,
)

from napari_sam.segmentation.doubt import MAX_DOUBT
from napari_sam.viewer.labels_output import OVERLAPS, check_writable, image_of
from napari_sam.widgets.axis_chooser import AxisChooser
from napari_sam.widgets.choosers import LayerChooser
from napari_sam.widgets.workers import report_refusal

if TYPE_CHECKING:
    from napari.components import ViewerModel
    from napari.layers import Image

OVERLAP_TITLES = {
    "keep": "keep other objects",
    "overwrite": "overwrite other objects",
    "background": "only into background",
}
_BUTTONS = (
    ("Commit", "commit", "Write the mask into the Labels layer (Enter)"),
    ("Clear", "drop", "Drop the prompts on this slice (Escape)"),
    ("Undo", "undo", "Take back the last prompt, commit, deletion, ... (Ctrl+Z)"),
    ("Redo", "redo", "Do again what was taken back (Ctrl+Shift+Z)"),
    ("Each alone", "each", "One object for each box and each positive point on this slice"),
    ("Everything in view", "everything", "Find every object in view, as drafts (W)"),
    ("Find alike", "alike", "Find others like the objects selected in the table, or the last (O)"),
    ("Refine", "refine", "Give the objects of this slice back to the model as mask prompts"),
    ("Table ...", "table", "All objects: select, jump, delete, merge, split, class, sort"),
    ("Propagate", "propagate", "Carry the objects of this slice through the stack (K)"),
    ("Review", "review", "Go to the most doubtful object that nobody reviewed (J)"),
)


class OutputBox(QGroupBox):
    """Chooses Labels layer, label, class and overlap policy; buttons for what a person does.

    Parameters
    ----------
    viewer : ViewerModel
        Whose layers.
    image : LayerChooser
        Chooses the image; the layer that was made for it is chosen with it.
    parent : QWidget
        The dock.
    """

    pressed = Signal(str)
    """The name of an action, as in `keys.ACTIONS`."""

    def __init__(self, viewer: ViewerModel, image: LayerChooser, parent: QWidget) -> None:
        super().__init__("Objects", parent)
        self._viewer = viewer
        layout = QVBoxLayout(self)
        form = QFormLayout()
        layout.addLayout(form)
        self.labels = LayerChooser(viewer, (Labels,), nothing="new layer", parent=self)
        self.labels.setToolTip("The Labels layer that objects are written into")
        self.label_id = QSpinBox()
        self.label_id.setToolTip("The number that the next objects get in the Labels layer")
        self.label_id.setRange(0, 2**31 - 1)
        self.label_id.setSpecialValueText("next free")
        self.category = QComboBox()
        self.category.setEditable(True)
        self.category.setToolTip("Class of the next objects; type a new name to add one")
        self.overlap = QComboBox()
        for name in OVERLAPS:
            self.overlap.addItem(OVERLAP_TITLES[name], name)
        self.overlap.setToolTip("What a commit does where other objects lie already")
        form.addRow("Labels", self.labels)
        form.addRow("Label", self.label_id)
        form.addRow("Class", self.category)
        form.addRow("Overlaps", self.overlap)
        self.reach = QSpinBox()
        self.reach.setRange(0, 1_000_000)
        self.reach.setSpecialValueText("all slices")
        self.reach.setToolTip("How far propagation goes, each way")
        form.addRow("Reach", self.reach)
        self.along = AxisChooser(viewer, image, form)
        self.max_doubt = QDoubleSpinBox()
        self.max_doubt.setRange(0, 1)
        self.max_doubt.setSingleStep(0.05)
        self.max_doubt.setValue(MAX_DOUBT)
        self.max_doubt.setToolTip(
            "Masks that are found in more doubt are not committed; what is there is left to you"
        )
        form.addRow("Doubt", self.max_doubt)
        grid = QGridLayout()
        self.buttons: dict[str, QPushButton] = {}
        for index, (text, name, tooltip) in enumerate(_BUTTONS):
            button = QPushButton(text)
            button.setToolTip(tooltip)
            button.setObjectName(text.lower().replace(" ", "_"))
            button.clicked.connect(lambda _=False, name=name: self.pressed.emit(name))
            self.buttons[name] = button
            row, column = divmod(index, 2) if index >= 4 else divmod(index, 4)
            grid.addWidget(button, row, 2 * column if index >= 4 else column, 1, 1 + (index >= 4))
        layout.addLayout(grid)
        image.layer_changed.connect(self._follow)
        self._follow(image.layer)

    @property
    def policy(self) -> str:
        """What a commit does with pixels of other objects."""
        return str(self.overlap.currentData())

    def _follow(self, image: Image | None) -> None:
        """Choose the layer that was made for an image, unless a person chose one of their own."""
        layer, key = self.labels.layer, None if image is None else str(image.unique_id)
        if layer is not None and image_of(layer) in (None, key):
            return
        made = (one for one in self._viewer.layers if key and image_of(one) == key)
        self.labels.choose(next(made, None))

    def writable(self) -> Any:
        """Return the chosen Labels layer; None, with a word, where it cannot be written."""
        layer = self.labels.layer
        try:
            if layer is not None:
                check_writable(layer)
        except ValueError as error:
            report_refusal(error)
            return None
        return layer

    def offer(self, categories: list[str]) -> None:
        """Offer classes that are known; the chosen one stays."""
        offered = [self.category.itemText(index) for index in range(self.category.count())]
        if offered == ["", *categories]:
            return  # drawing a box anew draws the whole window anew
        chosen = self.category.currentText()
        self.category.clear()
        self.category.addItems(["", *categories])
        self.category.setCurrentText(chosen)
