"""A model that a dock uses: chosen by name and device, loaded beside the GUI thread, kept."""

from __future__ import annotations

from collections.abc import Callable, Generator

from qtpy.QtCore import Signal
from qtpy.QtWidgets import QFormLayout, QWidget

from napari_sam.widgets.choosers import DeviceChooser, ModelChooser
from napari_sam.widgets.workers import Runner


class ModelBox(QWidget):
    """Rows for model and device, and the predictor that they name.

    Parameters
    ----------
    parent : QWidget
        The dock.
    """

    status = Signal(str)
    changed = Signal()
    failed = Signal()
    _downloaded = Signal(int, int)

    def __init__(self, parent: QWidget) -> None:
        super().__init__(parent)
        self.model = ModelChooser(self)
        self.device = DeviceChooser(self)
        self.model.setToolTip("The network; others are downloaded when they are first used")
        self.device.setToolTip("Where it runs; auto takes a GPU where there is one")
        self._runner = Runner(self)
        self._predictor: object | None = None
        self._waiting: list[Callable[[object], object]] = []
        self._wanted: object | None = None
        form = QFormLayout(self)
        form.setContentsMargins(0, 0, 0, 0)
        form.addRow("Model", self.model)
        form.addRow("Device", self.device)
        self.model.model_changed.connect(self._drop)
        self.device.device_changed.connect(self._drop)
        self._downloaded.connect(self._tell_download)

    def use(self, predictor: object) -> None:
        """Use a predictor that was made elsewhere."""
        self._runner.cancel()
        self._predictor = predictor
        self.changed.emit()

    def when_loaded(self, call: Callable[[object], object]) -> None:
        """Call with the predictor: at once where it is loaded, else when it is."""
        if self._predictor is not None:
            call(self._predictor)
            return
        self._waiting.append(call)
        if not self._runner.busy:
            self._load()

    def stop_waiting(self) -> None:
        """Forget who waits for the predictor; it is loaded all the same."""
        self._waiting.clear()

    def _load(self) -> None:
        name, device = self.model.model, self.device.device
        self._wanted = wanted = object()

        def tell(done: int, total: int) -> None:
            if self._wanted is not wanted:
                raise InterruptedError("another model was chosen")
            self._downloaded.emit(done, total)

        def load() -> Generator[str, None, tuple[object, tuple[str, ...]]]:
            yield f"Loading {name} ..."
            from napari_sam.model.devices import available_devices
            from napari_sam.segmentation.predictor import Predictor

            predictor = Predictor(name, device, on_progress=tell)
            _ = predictor.model_digest  # reads all weights, once; sessions ask for it
            return predictor, available_devices()

        def loaded(result: tuple[object, tuple[str, ...]]) -> None:
            self._predictor = result[0]
            self.device.offer(result[1])
            self.status.emit(f"{name} runs on {getattr(result[0], 'device', 'cpu')}")

        self._runner.start(load, on_event=self.status.emit, on_result=loaded, on_end=self._ended)

    def _ended(self) -> None:
        """Call those who wait, or tell that the model could not be loaded."""
        waiting, self._waiting = self._waiting, []
        if self._predictor is None:
            self.failed.emit()
            return
        for call in waiting:
            call(self._predictor)

    def _drop(self, _: str) -> None:
        self._runner.cancel()
        self._waiting.clear()
        self._wanted = None
        self._predictor = None
        self.changed.emit()

    def _tell_download(self, done: int, total: int) -> None:
        self.status.emit(
            f"Downloading {self.model.model}: {done / 1e6:.0f} of {total / 1e6:.0f} MB"
        )
