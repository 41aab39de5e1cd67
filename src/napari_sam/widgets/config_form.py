"""A settings dataclass as a form: one function of its fields' metadata, for every dock."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Collection
from typing import Any, Generic, TypeVar

from magicgui.widgets import FloatSpinBox, create_widget
from magicgui.widgets.bases import ValueWidget
from qtpy.QtCore import Qt, Signal
from qtpy.QtWidgets import QFormLayout, QLabel, QToolButton, QVBoxLayout, QWidget

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
    names : collection of str, optional
        Show only these fields, advanced ones among the others; the rest keep their defaults.
    """

    changed = Signal()

    def __init__(
        self,
        config_type: type[Config],
        parent: QWidget | None = None,
        *,
        names: Collection[str] | None = None,
    ) -> None:
        super().__init__(parent)
        self._type = config_type
        self._readers: dict[str, Callable[[], Any]] = {}
        self.editors: dict[str, ValueWidget[Any]] = {}
        layout = QVBoxLayout(self)
        layout.setContentsMargins(0, 0, 0, 0)
        basic, advanced = QWidget(self), QWidget(self)
        forms = {False: _form(basic), True: _form(advanced)}
        for field in dataclasses.fields(config_type):  # type: ignore[arg-type]
            if "label" in field.metadata and (names is None or field.name in names):
                is_folded = names is None and bool(field.metadata.get("advanced"))
                self._add(field, forms[is_folded])
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
        editor, read = _editor(field)
        tooltip = field.metadata.get("tooltip", "")
        label = QLabel(field.metadata["label"])
        label.setToolTip(tooltip)
        editor.tooltip = tooltip
        editor.changed.connect(self._tell)
        form.addRow(label, editor.native)
        self._readers[field.name] = read
        self.editors[field.name] = editor

    def _tell(self, _: object) -> None:
        self.changed.emit()


def _form(page: QWidget) -> QFormLayout:
    form = QFormLayout(page)
    form.setContentsMargins(0, 0, 0, 0)
    form.setFieldGrowthPolicy(QFormLayout.FieldGrowthPolicy.AllNonFixedFieldsGrow)
    return form


def _editor(field: dataclasses.Field[Any]) -> tuple[ValueWidget[Any], Callable[[], Any]]:
    """Return a field's editor, and how to read it."""
    hints, default = field.metadata, field.default
    options = {name: hints[name] for name in ("min", "max", "step", "choices") if name in hints}
    if default is None and "min" in hints:
        return _optional_number(options)
    editor = create_widget(value=default, annotation=type(default), options=options)
    shown = editor.value  # may be rounded: an untouched editor stands for the default itself
    return editor, lambda: default if editor.value == shown else editor.value


def _optional_number(
    options: dict[str, Any],
) -> tuple[ValueWidget[Any], Callable[[], float | None]]:
    """Return an editor of a number whose lowest value, shown as "auto", stands for None."""
    nothing = options["min"] - options["step"]
    editor = FloatSpinBox(value=nothing, **{**options, "min": nothing})
    editor.native.setSpecialValueText(_AUTO)
    return editor, lambda: None if editor.value == nothing else float(editor.value)
