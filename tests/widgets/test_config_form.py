import dataclasses

import pytest

from napari_sam.segmentation.everything import EverythingConfig
from napari_sam.widgets.config_form import ConfigForm


@pytest.fixture
def form(qtbot):
    form = ConfigForm(EverythingConfig)
    qtbot.addWidget(form)
    return form


def test_the_form_starts_with_the_defaults(form):
    assert form.value() == EverythingConfig()


def test_every_setting_has_an_editor_with_a_tooltip(form):
    names = {field.name for field in dataclasses.fields(EverythingConfig)}
    assert set(form.editors) == names
    assert all(editor.tooltip for editor in form.editors.values())


def test_edits_are_read(form, qtbot):
    with qtbot.waitSignal(form.changed):
        form.editors["points_per_side"].value = 16
    form.editors["object_diameter"].value = 25
    form.editors["mode"].value = "grid"
    form.editors["pred_iou_thresh"].value = 0.7
    expected = EverythingConfig(
        points_per_side=16, object_diameter=25.0, mode="grid", pred_iou_thresh=0.7
    )
    assert form.value() == expected


def test_advanced_settings_are_folded(form):
    form.show()
    assert not form.editors["box_nms_thresh"].native.isVisible()
    assert form.editors["points_per_side"].native.isVisible()
