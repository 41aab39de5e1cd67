"""The docks in a real viewer window (offscreen): clicks to masks, jobs, cancel, errors."""

import threading
import time

import numpy as np
from napari.utils.notifications import notification_manager
from qtpy.QtCore import QTimer

from napari_sam.widgets import EverythingWidget, SegmentWidget
from napari_sam.widgets.run_box import PURPOSE
from napari_sam.widgets.words import NO_IMAGE
from tests.oracle import OraclePredictor

SQUARE = np.s_[5:15, 5:15]
BAR = np.s_[20:35, 20:45]
TOTAL = 100 + 15 * 25


def drawn() -> np.ndarray:
    image = np.zeros((40, 50))
    image[SQUARE] = image[BAR] = 1
    return image


def open_segment(viewer, image=None, predictor=None, **options) -> SegmentWidget:
    viewer.add_image(drawn() if image is None else image, name="drawn", **options)
    dock = SegmentWidget(viewer)
    viewer.window.add_dock_widget(dock, name="Segment")
    dock.show()
    dock.use_predictor(predictor or OraclePredictor())
    return dock


def open_everything(viewer, image=None, predictor=None) -> EverythingWidget:
    viewer.add_image(drawn() if image is None else image, name="drawn")
    dock = EverythingWidget(viewer)
    viewer.window.add_dock_widget(dock, name="Everything")
    dock.show()
    dock.use_predictor(predictor or OraclePredictor())
    return dock


def has_mask(dock: SegmentWidget, pixels: int) -> bool:
    prediction = None if dock.session is None else dock.session.prediction
    return prediction is not None and int(prediction.masks[0].sum()) == pixels


def test_click_mask_commit_undo(viewer, qtbot):
    dock = open_segment(viewer)
    points = dock.prompts.new_points()
    points.add((8, 8))
    qtbot.waitUntil(lambda: has_mask(dock, 100))
    assert dock.candidates.buttons[0].isChecked()
    assert "IoU 0.95\n100 px" in dock.candidates.buttons[0].text()
    points.add((30, 30))
    qtbot.waitUntil(lambda: has_mask(dock, TOTAL))
    dock.prompts.toggle_polarity()
    points.add((31, 31))
    qtbot.waitUntil(lambda: has_mask(dock, 100))
    assert dock.commit() == 1
    labels = dock.output.labels.layer
    assert labels.data.sum() == 100
    assert len(points.data) == 0
    undo = next(call for key, call in points.keymap.items() if str(key) == "Ctrl+Z")
    undo(points)  # Ctrl+Z on the prompts reaches the labels
    assert labels.data.sum() == 0


def test_removing_and_moving_points_predicts_anew(viewer, qtbot):
    dock = open_segment(viewer)
    points = dock.prompts.new_points()
    points.add([(8, 8), (30, 30)])
    qtbot.waitUntil(lambda: has_mask(dock, TOTAL))
    points.selected_data = {0}
    points.remove_selected()
    qtbot.waitUntil(lambda: has_mask(dock, TOTAL - 100))
    points.data = np.array([[8.0, 8.0]])
    qtbot.waitUntil(lambda: has_mask(dock, 100))


def test_a_box_and_another_candidate(viewer, qtbot):
    dock = open_segment(viewer)
    shapes = dock.prompts.new_boxes()
    shapes.add_rectangles([[18, 18], [36, 46]])
    qtbot.waitUntil(lambda: has_mask(dock, 15 * 25))
    dock.candidates.buttons[1].click()
    dock.findChild(type(dock.candidates.buttons[0]), "commit").click()
    assert (dock.output.labels.layer.data == 1).sum() == 13 * 23
    assert len(shapes.data) == 0


def test_prompts_belong_to_their_slice(viewer, qtbot):
    dock = open_segment(viewer, np.stack([drawn(), drawn()]))
    viewer.dims.set_current_step(0, 0)
    points = dock.prompts.new_points()
    points.add((0, 8, 8))
    qtbot.waitUntil(lambda: has_mask(dock, 100))
    viewer.dims.set_current_step(0, 1)
    qtbot.waitUntil(lambda: dock.session.prediction is None)
    viewer.dims.set_current_step(0, 0)
    qtbot.waitUntil(lambda: has_mask(dock, 100))
    dock.commit()
    assert dock.output.labels.layer.data[0].sum() == 100
    assert dock.output.labels.layer.data[1].sum() == 0


def test_committing_into_a_chosen_label_of_a_chosen_layer(viewer, qtbot):
    dock = open_segment(viewer)
    mine = viewer.add_labels(np.zeros((40, 50), np.int32), name="mine")
    dock.output.labels.choose(mine)
    dock.output.label_id.setValue(9)
    dock.prompts.new_points().add((8, 8))
    qtbot.waitUntil(lambda: has_mask(dock, 100))
    assert dock.commit() == 9
    assert (mine.data == 9).sum() == 100


def test_errors_are_one_notification_that_says_what_to_do(viewer, qtbot):
    dock = open_segment(viewer)
    dock.prompts.new_points().add((8, 8))
    qtbot.waitUntil(lambda: has_mask(dock, 100))
    import dask.array as da

    lazy = viewer.add_labels(da.zeros((40, 50), dtype=np.uint8), name="lazy")
    told = []
    notification_manager.notification_ready.connect(told.append)
    try:
        dock.output.labels.choose(lazy)
        qtbot.waitUntil(lambda: dock.session is not None and has_mask(dock, 100))
    finally:
        notification_manager.notification_ready.disconnect(told.append)
    assert len(told) == 1
    assert "dask array and cannot be written" in told[0].message
    assert dock.output.labels.layer is None  # a new layer instead
    assert dock.commit() == 1


def test_an_error_in_a_worker_is_one_notification(viewer, qtbot):
    class Broken(OraclePredictor):
        def embed(self, *arguments, **options):
            raise ValueError("the weights are on fire; buy water")

    told = []
    notification_manager.notification_ready.connect(told.append)
    try:
        dock = open_segment(viewer, predictor=Broken())
        dock.prompts.new_points().add((8, 8))
        qtbot.waitUntil(lambda: bool(told))
        qtbot.wait(50)
    finally:
        notification_manager.notification_ready.disconnect(told.append)
    assert [note.message for note in told] == ["the weights are on fire; buy water"]


def test_a_model_that_does_not_load_is_told_and_the_dock_goes_on(viewer, qtbot, tmp_path):
    dock = open_everything(viewer)
    (tmp_path / "garbage.pth").write_bytes(b"garbage")
    dock.models.model.choose_file(str(tmp_path / "garbage.pth"))
    told = []
    notification_manager.notification_ready.connect(told.append)
    try:
        dock.run()
        assert not dock.start_button.isEnabled()
        qtbot.waitUntil(dock.start_button.isEnabled, timeout=20_000)
    finally:
        notification_manager.notification_ready.disconnect(told.append)
    assert len(told) == 1
    assert "garbage.pth cannot be read as weights" in told[0].message
    dock.use_predictor(OraclePredictor())
    dock.run()
    qtbot.waitUntil(lambda: dock._target is not None)


def test_clicks_while_the_model_loads_are_answered(viewer, qtbot):
    viewer.add_image(drawn(), name="drawn")
    dock = SegmentWidget(viewer)
    viewer.window.add_dock_widget(dock)
    points = dock.prompts.new_points()
    for point in [(8, 8), (9, 9), (10, 10)]:
        points.add(point)
        qtbot.wait(40)
    answered = lambda: dock.session is not None and dock.session.prediction is not None  # noqa: E731
    qtbot.waitUntil(answered, timeout=30_000)
    assert dock.session.predictor.model_name == "nano"


def test_two_viewers_are_independent(make_napari_viewer, qtbot):
    docks = [open_segment(make_napari_viewer()) for _ in range(2)]
    docks[0].prompts.new_points().add((8, 8))
    qtbot.waitUntil(lambda: has_mask(docks[0], 100))
    docks[0].commit()
    assert docks[1].session is None
    assert [layer.name for layer in docks[1].viewer.layers] == ["drawn"]


class Heartbeat:
    """Longest time between two turns of the event loop."""

    def __init__(self, parent) -> None:
        self.longest = 0.0
        self._last = time.perf_counter()
        self._timer = QTimer(parent)
        self._timer.setInterval(5)
        self._timer.timeout.connect(self._beat)
        self._timer.start()

    def _beat(self) -> None:
        now = time.perf_counter()
        self.longest = max(self.longest, now - self._last)
        self._last = now


def test_the_gui_never_waits_for_an_embedding(viewer, qtbot):
    from napari_sam.segmentation.predictor import Predictor

    image = np.random.default_rng(0).normal(100, 20, (900, 900)).astype(np.float32)
    rows, cols = np.mgrid[:900, :900]
    image[np.hypot(rows - 450, cols - 450) < 30] += 100
    dock = open_segment(viewer, image, Predictor("nano", "cpu"))
    points = dock.prompts.new_points()
    points.add((450, 450))
    qtbot.waitUntil(
        lambda: dock.session is not None and dock.session.prediction is not None, timeout=60_000
    )
    first = dock.session.embedding
    dock.session.object_diameter = None  # forgets the embedding: the next click makes it anew
    points.add((455, 455))
    qtbot.waitUntil(lambda: dock._live.busy)  # the click itself is napari's
    heart = Heartbeat(dock)
    qtbot.waitUntil(lambda: dock.session.embedding is not first, timeout=60_000)
    assert heart.longest < 0.1


def test_everything_on_a_slice(viewer, qtbot):
    dock = open_everything(viewer)
    dock.run()
    qtbot.waitUntil(lambda: dock._target is not None)
    assert dock._target.data.max() == 2
    assert dock.start_button.isEnabled()


def test_everything_uses_the_form(viewer, qtbot):
    dock = open_everything(viewer)
    dock.form.editors["min_mask_region_area"].value = 200
    dock.run()
    qtbot.waitUntil(lambda: dock._target is not None)
    assert np.array_equal(np.asarray(dock._target.data) > 0, _bar())


def _bar():
    mask = np.zeros((40, 50), bool)
    mask[BAR] = True
    return mask


def test_slices_fill_one_layer(viewer, qtbot):
    dock = open_everything(viewer, np.stack([drawn(), drawn()]))
    for z in (0, 1):
        viewer.dims.set_current_step(0, z)
        dock._target = None
        dock.run()
        qtbot.waitUntil(lambda: dock._target is not None and not dock._runner.busy)
    assert sorted(np.unique(dock._target.data[0])) == [0, 1, 2]
    assert sorted(np.unique(dock._target.data[1])) == [0, 3, 4]


def test_a_stack_is_linked_and_shown_from_disk(viewer, qtbot, tmp_path):
    dock = open_everything(viewer, np.stack([drawn()] * 4))
    dock.whole_stack.setChecked(True)
    dock.output.setText(str(tmp_path / "out.zarr"))
    dock.run()
    qtbot.waitUntil(lambda: dock._target is not None, timeout=20_000)
    assert sorted(np.unique(np.asarray(dock._target.data))) == [0, 1, 2]
    assert "2 objects" in dock.status.text()


class HeldPredictor(OraclePredictor):
    """Embeds no more than some slices before it may go on."""

    def __init__(self, free: int) -> None:
        super().__init__()
        self.free = free
        self.go_on = threading.Event()

    def embed(self, image, **options):
        if self.n_embed >= self.free:
            assert self.go_on.wait(timeout=60)
        return super().embed(image, **options)


def test_a_cancelled_stack_resumes(viewer, qtbot, tmp_path):
    predictor = HeldPredictor(free=8)
    dock = open_everything(viewer, np.stack([drawn()] * 24), predictor)
    dock.whole_stack.setChecked(True)
    dock.output.setText(str(tmp_path / "out.zarr"))
    dock.run()
    qtbot.waitUntil(lambda: dock.progress.value() >= 3 and dock.progress.maximum() == 24)
    dock.cancel()
    predictor.go_on.set()
    qtbot.wait(300)
    assert predictor.n_embed <= 8 + 4  # those in hand may end
    dock.run()
    qtbot.waitUntil(lambda: dock._target is not None, timeout=20_000)
    assert predictor.n_embed <= 24 + 2 + 4  # two are timed first, some were in hand
    assert "blocks from before" in dock.status.text()


def test_a_stack_needs_somewhere_to_go(viewer, qtbot):
    dock = open_everything(viewer, np.stack([drawn()] * 2))
    dock.whole_stack.setChecked(True)
    told = []
    notification_manager.notification_ready.connect(told.append)
    try:
        dock.run()
    finally:
        notification_manager.notification_ready.disconnect(told.append)
    assert "Choose the OME-Zarr folder" in told[0].message


def test_closing_the_viewer_ends_a_job(make_napari_viewer, qtbot, tmp_path):
    viewer = make_napari_viewer()
    predictor = OraclePredictor(seconds=0.05)
    dock = open_everything(viewer, np.stack([drawn()] * 200), predictor)
    dock.whole_stack.setChecked(True)
    dock.output.setText(str(tmp_path / "out.zarr"))
    dock.run()
    qtbot.waitUntil(lambda: predictor.n_embed >= 2)
    viewer.close()
    qtbot.wait(300)
    stopped_at = predictor.n_embed
    qtbot.wait(300)
    assert predictor.n_embed == stopped_at < 200


def test_a_dock_that_is_gone_no_longer_listens(viewer, qtbot):
    viewer.add_image(np.stack([drawn(), drawn()]), name="drawn")
    for kind in (SegmentWidget, EverythingWidget):
        dock = kind(viewer)
        dock.use_predictor(OraclePredictor())
        in_window = viewer.window.add_dock_widget(dock)
        if kind is SegmentWidget:
            points = dock.prompts.new_points()
        viewer.window.remove_dock_widget(in_window)
        dock.deleteLater()
        del dock, in_window
        qtbot.wait(50)
    viewer.dims.set_current_step(0, 1)
    viewer.layers["drawn"].name = "renamed"
    points.add((0, 8, 8))
    viewer.add_image(drawn(), name="another")
    viewer.layers.remove("renamed")
    qtbot.wait(100)


def test_everything_says_what_to_do_once_there_is_an_image(viewer):
    dock = EverythingWidget(viewer)
    viewer.window.add_dock_widget(dock, name="Everything")
    dock.run()
    assert dock.status.text() == NO_IMAGE
    viewer.add_image(drawn())
    assert dock.status.text() == PURPOSE
