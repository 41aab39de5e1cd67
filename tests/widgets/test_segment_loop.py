"""The annotating loop: mouse, keys, hovering, drafts, undo into the layers, recovery."""

import numpy as np

from napari_sam.viewer.overlays import GESTURE_NAME
from napari_sam.viewer.preview import HOVER_NAME, PREVIEW_NAME
from napari_sam.widgets.hovering import SLOW
from tests.widgets.person import Mouse, press
from tests.widgets.test_docks import TOTAL, has_mask


def shown(dock, name):
    return np.asarray(dock.viewer.layers[name].data) > 0


def test_clicks_and_their_modifiers(dock, qtbot):
    mouse = Mouse(dock.prompts.point_layer)
    mouse.drag((8, 8))
    mouse.drag((30, 30))
    qtbot.waitUntil(lambda: has_mask(dock, TOTAL))
    mouse.drag((31, 31), modifiers=("Shift",))
    qtbot.waitUntil(lambda: has_mask(dock, 100))
    mouse.drag((21, 21), button=2)
    points = dock.prompts.point_layer
    qtbot.waitUntil(lambda: len(points.data) == 4)
    assert list(points.features["prompt"]) == ["positive"] * 2 + ["negative"] * 2
    assert dock.prompts.polarity["positive"].isChecked()


def test_a_drag_is_a_box_and_takes_the_place_of_the_last(dock, qtbot):
    mouse = Mouse(dock.prompts.point_layer)
    mouse.drag((3, 3), (10, 10), (16, 16))
    qtbot.waitUntil(lambda: has_mask(dock, 100))
    mouse.drag((18, 18), (30, 30), (36, 46))
    qtbot.waitUntil(lambda: has_mask(dock, 15 * 25))
    assert len(dock.prompts.shape_layer.data) == 1
    assert dock.viewer.layers.selection.active is dock.prompts.point_layer
    assert not shown(dock, GESTURE_NAME).any()


def test_what_is_drawn_is_seen(dock, qtbot):
    mouse = Mouse(dock.prompts.point_layer)
    seen = []
    dock.prompts.drawing.connect(
        lambda kind, _: seen.append((kind, kind and int(shown(dock, GESTURE_NAME).sum())))
    )
    mouse.drag((3, 3), (16, 16), (16, 20))
    assert seen[-1][0] == ""
    assert [kind for kind, _ in seen[:-1]] == ["box", "box"]
    assert seen[1][1] == 2 * (14 + 18) - 4


def test_a_lasso(dock, qtbot):
    mouse = Mouse(dock.prompts.point_layer)
    around = [(18, 18), (18, 47), (37, 47), (37, 18), (19, 18)]
    mouse.drag(*around, modifiers=("Alt",))
    qtbot.waitUntil(lambda: has_mask(dock, 15 * 25))
    assert dock.prompts.shape_layer.shape_type == ["polygon"]
    assert len(dock.session.prompts.outline) >= 4


def test_a_scribble_is_points_along_it(dock, qtbot):
    mouse = Mouse(dock.prompts.point_layer)
    path = [(22 + step, 22 + step) for step in range(12)]
    mouse.drag(*path, modifiers=("Control",))
    qtbot.waitUntil(lambda: has_mask(dock, 15 * 25))
    assert len(dock.prompts.point_layer.data) == 8


def test_hovering_shows_what_a_click_would_give(dock, qtbot):
    mouse = Mouse(dock.prompts.point_layer)
    qtbot.waitUntil(lambda: dock.session.ahead() is None)  # embedded
    mouse.move((8, 8))
    qtbot.waitUntil(lambda: HOVER_NAME in dock.viewer.layers and shown(dock, HOVER_NAME).any())
    assert shown(dock, HOVER_NAME).sum() == 100
    mouse.move((30, 30))
    qtbot.waitUntil(lambda: shown(dock, HOVER_NAME).sum() == 15 * 25)
    mouse.move((200, 8))
    assert not shown(dock, HOVER_NAME).any()
    mouse.move((8, 8))
    qtbot.waitUntil(lambda: shown(dock, HOVER_NAME).any())
    dock.hovering.setChecked(False)
    assert not shown(dock, HOVER_NAME).any()
    assert len(dock.prompts.point_layer.data) == 0
    assert dock.session.objects.history.done == []


def test_hovering_is_off_where_it_is_slow(dock, qtbot):
    answer = dock.session.ahead() or dock.session.snapshot()
    for _ in range(3):
        dock.hovering.show_answer(dock.session, answer.answer(), 2 * SLOW)
    assert not dock.hovering.isChecked()
    assert "too slow" in dock.status.text()


def test_granularity_by_wheel_and_keys(dock, qtbot):
    layer = dock.prompts.point_layer
    mouse = Mouse(layer)
    mouse.drag((8, 8))
    qtbot.waitUntil(lambda: has_mask(dock, 100))
    mouse.wheel(1)
    assert dock.session.candidate == 2  # dilated
    mouse.wheel(-1)
    press(layer, "9")
    assert dock.session.candidate == 1
    assert dock.candidates.buttons[1].isChecked()
    press(layer, "G")
    assert dock.session.candidate == 0
    mouse.wheel(1, modifiers=())  # the wheel alone zooms
    assert dock.session.candidate == 0


def test_keys_commit_drop_peek_and_turbo(dock, qtbot):
    layer = dock.prompts.point_layer
    mouse = Mouse(layer)
    mouse.drag((8, 8))
    qtbot.waitUntil(lambda: has_mask(dock, 100))
    press(layer, "Escape")
    assert dock.session.prediction is None
    assert len(layer.data) == 0
    mouse.drag((8, 8))
    qtbot.waitUntil(lambda: has_mask(dock, 100))
    press(layer, "N")
    labels = dock.output.labels.layer
    assert labels.data.sum() == 100
    held = press(layer, "H")
    next(held)
    assert not labels.visible
    assert not dock.viewer.layers[PREVIEW_NAME].visible
    next(held, None)
    assert labels.visible
    labels.visible = False
    held = press(layer, "H")
    next(held)
    next(held, None)
    assert not labels.visible  # as it was
    labels.visible = True
    press(layer, "U")
    mouse.drag((30, 30))
    qtbot.waitUntil(lambda: (labels.data == 2).sum() == 15 * 25)


def test_undo_puts_prompts_back_into_the_layers(dock, qtbot):
    layer = dock.prompts.point_layer
    mouse = Mouse(layer)
    mouse.drag((8, 8))
    qtbot.waitUntil(lambda: has_mask(dock, 100))
    mouse.drag((18, 18), (30, 30), (36, 46))
    qtbot.waitUntil(lambda: dock.session.prompts.box is not None and not dock.busy)
    assert dock.commit() == 1
    assert len(layer.data) == len(dock.prompts.shape_layer.data) == 0
    labels = dock.output.labels.layer
    press(layer, "Ctrl+Z")
    assert not labels.data.any()
    assert len(layer.data) == len(dock.prompts.shape_layer.data) == 1
    press(labels, "Ctrl+Z")
    assert (len(layer.data), len(dock.prompts.shape_layer.data)) == (1, 0)
    qtbot.waitUntil(lambda: has_mask(dock, 100))
    press(layer, "Ctrl+Z")
    assert len(layer.data) == 0
    for _ in range(3):
        press(layer, "Ctrl+Shift+Z")
    assert labels.data.any()
    qtbot.wait(50)
    assert dock.session.objects.history.undone == []
    assert [c.kind for c in dock.session.objects.history.done] == ["prompts", "prompts", "commit"]


def test_reopening_by_alt_click(dock, qtbot):
    mouse = Mouse(dock.prompts.point_layer)
    mouse.drag((8, 8))
    qtbot.waitUntil(lambda: has_mask(dock, 100))
    dock.commit()
    mouse.drag((10, 10), modifiers=("Alt",))
    assert len(dock.prompts.point_layer.data) == 1
    qtbot.waitUntil(lambda: has_mask(dock, 100))
    dock.candidates.buttons[1].click()
    assert dock.commit() == 1
    assert dock.output.labels.layer.data.sum() == 64
    mouse.drag((0, 0), modifiers=("Alt",))
    assert "no object to reopen" in dock.status.text()
