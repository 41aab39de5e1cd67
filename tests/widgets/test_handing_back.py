"""Focus goes back to the image when an entry ends."""

import pytest
from qtpy.QtCore import Qt
from qtpy.QtWidgets import QApplication, QComboBox, QSpinBox, QVBoxLayout, QWidget

from napari_sam.widgets.handing_back import HandingBack


@pytest.fixture
def dock(qtbot):
    window = QWidget()
    layout = QVBoxLayout(window)
    inner = QWidget()
    layout.addWidget(inner)
    rows = QVBoxLayout(inner)
    number, names = QSpinBox(), QComboBox()
    names.addItems(["one", "two"])
    rows.addWidget(number)
    rows.addWidget(names)
    HandingBack(inner)
    qtbot.addWidget(window)
    window.show()
    window.activateWindow()
    qtbot.waitUntil(window.isActiveWindow)
    yield inner
    window.close()


def test_enter_ends_an_entry_and_keeps_it(dock, qtbot):
    number = dock.findChild(QSpinBox)
    number.setFocus()
    number.selectAll()
    qtbot.keyClicks(number, "7")
    qtbot.keyClick(number, Qt.Key.Key_Return)
    assert number.value() == 7
    assert QApplication.focusWidget() is None


def test_a_choice_from_a_list_ends_it(dock, qtbot):
    names = dock.findChild(QComboBox)
    names.setFocus()
    names.showPopup()
    qtbot.waitUntil(lambda: names.view().isVisible())
    names.hidePopup()
    qtbot.waitUntil(lambda: QApplication.focusWidget() is None)


def test_arrows_and_tab_stay_in_the_dock(dock, qtbot):
    names = dock.findChild(QComboBox)
    names.setFocus()
    qtbot.keyClick(names, Qt.Key.Key_Down)
    assert names.currentText() == "two"
    assert QApplication.focusWidget() is names
