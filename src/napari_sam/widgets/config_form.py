"""A settings dataclass as a form: one function of its fields' metadata, for every dock."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable
from typing import Any, Generic, TypeVar

from qtpy.QtCore import Qt, Signal
from qtpy.QtWidgets import (
    QCheckBox,
    QComboBox,
    QDoubleSpinBox,
    QFormLayout,
    QLabel,
    QLineEdit,
    QSpinBox,
    QToolButton,
    QVBoxLayout,
    QWidget,
)

Config = TypeVar("Config")
_AUTO = "auto"


class ConfigForm(QWidget, Generic[Config]):
    """A form for a frozen dataclass whose fields say label, tooltip, range or choices.

    Parameters
    ----------
    config_type : type
        The dataclass; each field's metadata may hold `label`, `tooltip`, `min`, `max`, `step`,
        `choices` and `advanced`. Fields without a label are not shown.
    parent : QWidget, optional
        The dock.
    """

    changed = Signal()

    def __init__(self, config_type: type[Config], parent: QWidget | None = None) -> None:
        super().__init__(parent)
        self._type = config_type
        self._readers: dict[str, Callable[[], Any]] = {}
        self.editors: dict[str, QWidget] = {}
        layout = QVBoxLayout(self)
        layout.setContentsMargins(0, 0, 0, 0)
        basic, advanced = QWidget(self), QWidget(self)
        forms = {False: _form(basic), True: _form(advanced)}
        for field in dataclasses.fields(config_type):  # type: ignore[arg-type]
            if "label" in field.metadata:
                self._add(field, forms[bool(field.metadata.get("advanced"))])
        layout.addWidget(basic)
        if forms[True].rowCount():
            toggle = QToolButton(self)
            toggle.setText("Advanced")
            toggle.setCheckable(True)
            toggle.setArrowType(Qt.ArrowType.RightArrow)
            toggle.setToolButtonStyle(Qt.ToolButtonStyle.ToolButtonTextBesideIcon)
            toggle.toggled.connect(advanced.setVisible)
            toggle.toggled.connect(
                lambda shown: toggle.setArrowType(
                    Qt.ArrowType.DownArrow if shown else Qt.ArrowType.RightArrow
                )
            )
            layout.addWidget(toggle)
            layout.addWidget(advanced)
        advanced.hide()

    def value(self) -> Config:
        """Return the settings that the form shows.

        Raises
        ------
        ValueError
            If they do not fit together.
        """
        return self._type(**{name: read() for name, read in self._readers.items()})

    def _add(self, field: dataclasses.Field[Any], form: QFormLayout) -> None:
        editor, read, changed = _editor(field)
        tooltip = field.metadata.get("tooltip", "")
        label = QLabel(field.metadata["label"])
        label.setToolTip(tooltip)
        editor.setToolTip(tooltip)
        editor.setObjectName(field.name)
        changed.connect(self.changed)
        form.addRow(label, editor)
        self._readers[field.name] = read
        self.editors[field.name] = editor


def _form(page: QWidget) -> QFormLayout:
    form = QFormLayout(page)
    form.setContentsMargins(0, 0, 0, 0)
    form.setFieldGrowthPolicy(QFormLayout.FieldGrowthPolicy.AllNonFixedFieldsGrow)
    return form


def _editor(field: dataclasses.Field[Any]) -> tuple[QWidget, Callable[[], Any], Any]:
    """Return a field's editor, how to read it, and its signal."""
    hints, default = field.metadata, field.default
    if "choices" in hints:
        combo = QComboBox()
        combo.addItems([str(choice) for choice in hints["choices"]])
        combo.setCurrentText(str(default))
        return combo, lambda: hints["choices"][combo.currentIndex()], combo.currentIndexChanged
    if isinstance(default, bool):
        check = QCheckBox()
        check.setChecked(default)
        return check, check.isChecked, check.toggled
    if isinstance(default, int):
        whole = QSpinBox()
        whole.setRange(hints["min"], hints["max"])
        whole.setSingleStep(hints.get("step", 1))
        whole.setValue(default)
        return whole, whole.value, whole.valueChanged
    if isinstance(default, float):
        number = _number(hints)
        number.setValue(default)
        shown = number.value()  # rounded: an untouched editor stands for the default itself

        def read_number() -> float:
            return default if number.value() == shown else number.value()

        return number, read_number, number.valueChanged
    if default is None and "min" in hints:
        optional = _number({**hints, "min": hints["min"] - hints["step"]})
        optional.setDecimals(1)
        optional.setSpecialValueText(_AUTO)
        optional.setValue(optional.minimum())

        def read() -> float | None:
            return None if optional.value() == optional.minimum() else optional.value()

        return optional, read, optional.valueChanged
    line = QLineEdit("" if default is None else str(default))
    return line, lambda: line.text() or default, line.textChanged


def _number(hints: Any) -> QDoubleSpinBox:
    number = QDoubleSpinBox()
    number.setRange(hints["min"], hints["max"])
    number.setSingleStep(hints.get("step", 0.1))
    number.setDecimals(3 if hints.get("step", 1) < 0.1 else 2)
    return number
