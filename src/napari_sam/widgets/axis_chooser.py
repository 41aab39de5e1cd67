"""A combo box of the axes that an image is sliced along, for images with several of them."""

from __future__ import annotations

from typing import TYPE_CHECKING

from qtpy.QtCore import QSignalBlocker
from qtpy.QtWidgets import QComboBox, QFormLayout

from napari_sam.viewer.layers import level_0
from napari_sam.viewer.stack_axes import stack_axes
from napari_sam.widgets.choosers import LayerChooser

if TYPE_CHECKING:
    from napari.components import ViewerModel
    from napari.layers import Image


class AxisChooser(QComboBox):
    """Choose the axis to propagate along; its row of a form is shown where there is a choice.

    Parameters
    ----------
    viewer : ViewerModel
        Says which axes are displayed.
    image : LayerChooser
        Chooses the image.
    form : QFormLayout
        Gets the row.
    """

    def __init__(self, viewer: ViewerModel, image: LayerChooser, form: QFormLayout) -> None:
        super().__init__()
        self._viewer = viewer
        self._image = image
        self.setToolTip("The axis that propagation goes along")
        form.addRow("Along", self)
        self._title = form.labelForField(self)
        image.layer_changed.connect(self._refresh)
        image.data_replaced.connect(self._refresh)
        viewer.dims.events.order.connect(self._refresh)
        viewer.dims.events.ndim.connect(self._refresh)
        self._refresh()

    @property
    def axis(self) -> int | None:
        """The chosen axis of the image's data; None where there is none."""
        axis: int | None = self.currentData()
        return axis

    def detach(self) -> None:
        """Stop following the viewer."""
        self._viewer.dims.events.order.disconnect(self._refresh)
        self._viewer.dims.events.ndim.disconnect(self._refresh)

    def _refresh(self, event: object = None) -> None:  # noqa: ARG002
        layer, chosen = self._image.layer, self.axis
        axes = {} if layer is None else self._axes(layer)
        with QSignalBlocker(self):
            self.clear()
            for axis, title in axes.items():
                self.addItem(title, axis)
            self.setCurrentIndex(max(0, self.findData(chosen)) if chosen in axes else 0)
        for widget in (self, self._title):
            widget.setVisible(len(axes) > 1)

    def _axes(self, layer: Image) -> dict[int, str]:
        """Return the axes to choose from, the likeliest first, and what each is called."""
        offset = self._viewer.dims.ndim - layer.ndim
        shown = {axis - offset for axis in self._viewer.dims.order[-2:]}
        shape, names = tuple(level_0(layer).shape), layer.axis_labels
        sliced = [axis for axis in range(layer.ndim) if axis not in shown]
        return {
            axis: f"{_name(names[axis], axis)} ({shape[axis]})"
            for axis in stack_axes(sliced, shape, names)
        }


def _name(label: str, axis: int) -> str:
    """Return what an axis is called; napari's default labels are numbers from the end."""
    return f"axis {axis}" if label.lstrip("-").isdigit() else label
