"""Combo boxes that the docks share: a layer of a kind, a model, a device."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from qtpy.QtCore import QSignalBlocker, Signal
from qtpy.QtWidgets import QComboBox, QFileDialog, QWidget

from napari_sam.viewer.napari_private import unwrapped

if TYPE_CHECKING:
    from napari.components import ViewerModel
    from napari.layers import Layer


class LayerChooser(QComboBox):
    """Choose a layer of the viewer; follows layers that come, go or are renamed.

    Parameters
    ----------
    viewer : ViewerModel
        Whose layers.
    kinds : tuple of type
        Layer types to choose from.
    nothing : str, optional
        First entry, which stands for no layer; without it there is none while there are layers.
    parent : QWidget, optional
        The dock.
    """

    layer_changed = Signal(object)
    data_replaced = Signal()
    """The chosen layer has other data than before."""

    def __init__(
        self,
        viewer: ViewerModel,
        kinds: tuple[type[Layer], ...],
        *,
        nothing: str | None = None,
        parent: QWidget | None = None,
    ) -> None:
        super().__init__(parent)
        self.setSizeAdjustPolicy(QComboBox.SizeAdjustPolicy.AdjustToMinimumContentsLengthWithIcon)
        self.setMinimumContentsLength(12)
        self._viewer = viewer
        self._kinds = kinds
        self._nothing = nothing
        self._layers: list[Layer | None] = []
        self._shown: Layer | None = None
        events = viewer.layers.events
        for event in (events.inserted, events.removed, events.reordered):
            event.connect(self._refresh)
        self.currentIndexChanged.connect(self._tell)
        self._refresh()
        if nothing is None:
            self.choose(self._first_choice())

    @property
    def layer(self) -> Any:
        """The chosen layer, or None."""
        index = self.currentIndex()
        return self._layers[index] if 0 <= index < len(self._layers) else None

    def choose(self, layer: Layer | None) -> None:
        """Choose a layer."""
        layer = None if layer is None else unwrapped(layer)
        if layer in self._layers:
            self.setCurrentIndex(self._layers.index(layer))

    def detach(self) -> None:
        """Stop following the viewer."""
        events = self._viewer.layers.events
        for event in (events.inserted, events.removed, events.reordered):
            event.disconnect(self._refresh)
        self._follow(None)

    def _first_choice(self) -> Layer | None:
        """Return the active layer if it is of the kind, else the topmost that is."""
        active = self._viewer.layers.selection.active
        if active in self._layers:
            return active
        return self._layers[-1] if self._layers else None

    def _refresh(self, event: object = None) -> None:  # noqa: ARG002
        chosen = self._shown
        self._layers = [None] if self._nothing is not None else []
        for layer in self._viewer.layers:
            if isinstance(layer, self._kinds):
                self._layers.append(layer)
                layer.events.name.connect(self._rename)
        blocker = QSignalBlocker(self)
        self.clear()
        self.addItems([self._nothing or "" if x is None else x.name for x in self._layers])
        blocker.unblock()
        if chosen in self._layers:
            self.setCurrentIndex(self._layers.index(chosen))
        self._tell()

    def _rename(self, event: object = None) -> None:  # noqa: ARG002
        for index, layer in enumerate(self._layers):
            if layer is not None and index < self.count():
                self.setItemText(index, layer.name)

    def _tell(self, index: int = 0) -> None:  # noqa: ARG002
        if self.layer is not self._shown:
            self._follow(self.layer)
            self.layer_changed.emit(self._shown)

    def _follow(self, layer: Layer | None) -> None:
        """Tell of other data of a layer, and no more of those of the one before."""
        if self._shown is not None:
            self._shown.events.data.disconnect(self._tell_data)
        self._shown = layer
        if layer is not None:
            layer.events.data.connect(self._tell_data)

    def _tell_data(self, event: object = None) -> None:  # noqa: ARG002
        self.data_replaced.emit()


class ModelChooser(QComboBox):
    """Choose a known model, or a checkpoint file."""

    model_changed = Signal(str)
    _BROWSE = "Checkpoint file ..."

    def __init__(self, parent: QWidget | None = None) -> None:
        super().__init__(parent)
        from napari_sam.model.registry import known_models

        for entry in known_models():
            note = "" if entry.is_available else "  (download)"
            self.addItem(entry.name + note, entry.name)
            self.setItemData(self.count() - 1, entry.title, 3)
        self.addItem(self._BROWSE, None)
        self._last = 0
        self.activated.connect(self._activated)

    @property
    def model(self) -> str:
        """A known model's name, or a path."""
        return str(self.itemData(self._last))

    def choose_file(self, path: str) -> None:
        """Add a checkpoint file to the list and choose it."""
        position = self.count() - 1
        self.insertItem(position, path.replace("\\", "/").rsplit("/", 1)[-1], path)
        self.setCurrentIndex(position)
        self._activated(position)

    def _activated(self, index: int) -> None:
        if self.itemData(index) is None:
            path, _ = QFileDialog.getOpenFileName(
                self, "Checkpoint", "", "Checkpoints (*.pth *.pt *.safetensors)"
            )
            self.setCurrentIndex(self._last)
            if path:
                self.choose_file(path)
            return
        if index != self._last:
            self._last = index
            self.model_changed.emit(self.model)


class DeviceChooser(QComboBox):
    """Choose where the model runs; what there is becomes known once torch is loaded."""

    device_changed = Signal(str)

    def __init__(self, parent: QWidget | None = None) -> None:
        super().__init__(parent)
        self.addItems(["auto", "cpu"])
        self.currentTextChanged.connect(self.device_changed)

    @property
    def device(self) -> str:
        """A device for `load_model`."""
        return str(self.currentText())

    def offer(self, devices: tuple[str, ...]) -> None:
        """Add devices that were found."""
        for device in devices:
            if self.findText(device) < 0:
                self.addItem(device)
