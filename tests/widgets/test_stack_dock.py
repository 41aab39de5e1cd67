"""Volume jobs from the dock "Everything": seen while they run, held, stopped, resumed, told of."""

import shlex
import threading

import numpy as np
import pytest
import zarr
from napari.utils.notifications import notification_manager
from qtpy.QtCore import Qt
from qtpy.QtWidgets import QApplication

from napari_sam.cli.main import build_parser
from napari_sam.cli.volumes import run_config, volume_config
from napari_sam.viewer.layers import camera_of
from napari_sam.volume import segment_volume
from napari_sam.volume.lock import JobLock
from tests.oracle import OraclePredictor
from tests.volume.toys import tree
from tests.widgets.test_docks import drawn, open_everything

N_SLICES = 12
TIMED, HELD = 2, 5
"""Slices that the forecast takes, and that are done when the predictor waits."""


def drawn_stack():
    """Two objects through 12 slices; the bar moves so far in slice 6 that links are in doubt."""
    stack = np.stack([drawn()] * N_SLICES)
    stack[6:] = 0
    stack[6:, 5:15, 5:15] = stack[6:, 20:35, 30:50] = 1
    return stack


def layer_of(viewer):
    return next(layer for layer in viewer.layers if layer.name.startswith("SAM volume"))


@pytest.fixture
def folder(tmp_path):
    zarr.create_array(store=tmp_path / "in.zarr", data=drawn_stack())
    return tmp_path


@pytest.fixture
def whole(folder):
    """What a job without a break writes."""
    segment_volume(OraclePredictor(), folder / "in.zarr", folder / "whole.zarr")
    return tree(folder / "whole.zarr")


class Gated(OraclePredictor):
    """Waits in the sixth slice of a first run until it is let through."""

    def __init__(self):
        super().__init__()
        self.gate = threading.Event()

    def embed(self, image, **options):
        if self.n_embed == TIMED + HELD:
            assert self.gate.wait(20)
        return super().embed(image, **options)


@pytest.fixture
def person(viewer, folder, qtbot):
    return Person(viewer, folder, qtbot)


class Person:
    """Sits at the dock."""

    def __init__(self, viewer, folder, qtbot, output="out.zarr"):
        self.viewer, self.folder, self.qtbot = viewer, folder, qtbot
        image = zarr.open_array(folder / "in.zarr", mode="r")
        self.predictor = Gated()
        self.dock = open_everything(viewer, image, self.predictor)
        self.box = self.dock.run_box
        self.click(self.dock.whole_stack)
        if not self.dock.whole_stack.isChecked():  # a window that is not shown has no sizes
            self.dock.whole_stack.setChecked(True)
        self.dock.output.setText(str(folder / output))

    def start_anew(self, output):
        """Choose another folder, and a predictor that waits again."""
        self.predictor = Gated()
        self.dock.use_predictor(self.predictor)
        self.dock.output.setText(str(self.folder / output))

    def click(self, button):
        self.qtbot.mouseClick(button, Qt.MouseButton.LeftButton, pos=button.rect().center())

    def run(self):
        assert self.box.start.isEnabled()
        self.click(self.box.start)

    def run_half(self):
        """Run until the predictor waits."""
        self.run()
        progress = self.box.progress
        self.qtbot.waitUntil(lambda: (progress.value(), progress.maximum()) == (HELD, N_SLICES))

    def wait_for_end(self):
        self.predictor.gate.set()
        self.qtbot.waitUntil(self.box.start.isEnabled, timeout=20_000)

    def run_to_end(self):
        self.run()
        self.wait_for_end()


def test_blocks_are_seen_while_the_job_runs(person):
    viewer = person.viewer
    viewer.dims.set_current_step(0, 3)
    person.run_half()
    layer = layer_of(viewer)
    assert sorted(np.unique(np.asarray(layer.data[3]))) == [0, 1, 2]
    assert not np.asarray(layer.data[N_SLICES - 1]).any()
    assert np.max(layer._slice.image.raw) == 2, "the shown slice was drawn again when it was done"
    assert f"Segmenting: {HELD} of {N_SLICES} blocks" in person.box.status.text()
    assert "left" in person.box.status.text()
    told = person.box.told.text()
    assert "Time: " in told
    assert "Disk: " in told
    assert "no file" not in told
    person.wait_for_end()
    assert layer_of(viewer) is layer
    assert isinstance(layer.data, zarr.Array)
    assert not layer.editable
    n_embed, labels = person.predictor.n_embed, np.asarray(layer.data)
    person.run_to_end()  # a finished job is shown at once
    assert person.predictor.n_embed == n_embed
    assert layer_of(viewer) is layer
    np.testing.assert_array_equal(np.asarray(layer.data), labels)


def test_pause_resume_and_cancel_change_nothing_in_the_result(person, whole):
    person.run_half()
    person.click(person.box.pause)
    person.predictor.gate.set()
    person.qtbot.wait(200)  # what is in hand is finished
    stopped_at = person.predictor.n_embed
    assert stopped_at < TIMED + N_SLICES
    person.qtbot.wait(200)
    assert person.predictor.n_embed == stopped_at
    assert person.box.progress.value() == HELD + 1
    assert person.box.status.text().startswith("Paused")
    assert person.box.pause.text() == "Resume"
    person.click(person.box.pause)
    person.wait_for_end()
    assert tree(person.folder / "out.zarr") == whole

    person.start_anew("other.zarr")
    person.run_half()
    person.click(person.box.cancel)
    person.run()  # at once: the first run still holds the lock
    person.wait_for_end()
    assert "blocks from before" in person.box.status.text()
    assert tree(person.folder / "other.zarr") == whole

    person.start_anew("third.zarr")
    person.run_half()
    person.click(person.box.pause)
    person.click(person.box.cancel)
    assert person.box.pause.text() == "Pause"
    person.run_to_end()
    assert tree(person.folder / "third.zarr") == whole


def test_the_copied_command_reproduces_the_job_and_the_report_leads_to_its_doubts(person):
    folder, viewer = person.folder, person.viewer
    person.dock.stack.links.editors["iou_thresh"].value = 0.6
    person.dock.form.editors["min_mask_region_area"].value = 10
    person.dock.stack.naming.editors["name"].value = "nuclei"
    person.run_to_end()
    person.click(person.box.copy)
    line = QApplication.clipboard().text()
    arguments = build_parser().parse_args(shlex.split(line)[1:])
    assert arguments.model == "oracle"
    assert arguments.output == str(folder / "out.zarr")
    config, run = volume_config(arguments), run_config(arguments)
    segment_volume(OraclePredictor(), arguments.source, folder / "again.zarr", config, run=run)
    assert tree(folder / "again.zarr") == tree(folder / "out.zarr")

    report = person.dock.report
    assert not report.isHidden()
    told = told_in(report._lines)
    assert told["Before linking"] == f"{2 * N_SLICES} in {N_SLICES} slices"
    assert told["Objects"] == "3"
    assert told["Smallest"] == "1200 voxels"
    doubt = report._doubts[0]
    assert (doubt.kind, doubt.z) == ("missed", 5)
    viewer.dims.set_current_step(0, 0)
    cell = report.table.visualItemRect(report.table.item(0, 1)).center()
    person.qtbot.mouseClick(report.table.viewport(), Qt.MouseButton.LeftButton, pos=cell)
    layer = layer_of(viewer)
    assert viewer.dims.current_step[0] == 5
    camera = camera_of(viewer)
    np.testing.assert_allclose(camera.center[-2:], doubt.centre)
    assert layer.selected_label in doubt.objects
    viewer.layers.remove(layer)
    report.chosen.emit(doubt)  # nothing to jump to, and no error


def told_in(form):
    """Return the rows of a form of labels."""
    roles = form.ItemRole.LabelRole, form.ItemRole.FieldRole
    rows = [
        [form.itemAt(row, role).widget().text() for role in roles] for row in range(form.rowCount())
    ]
    return dict(rows)


def run_with_error(person):
    told = []
    notification_manager.notification_ready.connect(told.append)
    try:
        person.run_to_end()
        person.qtbot.waitUntil(lambda: bool(told))
    finally:
        notification_manager.notification_ready.disconnect(told.append)
    assert len(told) == 1
    return person.box.status.text()


def test_what_stops_a_job_is_told_with_what_to_do(person):
    person.run_to_end()
    person.dock.stack.links.editors["iou_thresh"].value = 0.25
    text = run_with_error(person)
    assert "iou_thresh was 0.5, now 0.25" in text
    assert "tick 'Start over'" in text
    person.dock.stack.start_over.setChecked(True)
    person.run_to_end()
    assert "objects in" in person.box.status.text()
    assert not person.dock.stack.start_over.isChecked()
    with JobLock(person.folder / "out.zarr" / ".napari_sam" / "sam" / "job.lock"):
        text = run_with_error(person)
    assert "in use by" in text
    assert "wait for its end" in text
    person.run_to_end()
    assert "objects in" in person.box.status.text()


class Failing(OraclePredictor):
    """Cannot do one slice."""

    def embed(self, image, **options):
        if np.asarray(image)[20:35, 46:50].any() and self.n_embed > 6:
            raise RuntimeError("the card fell off")
        return super().embed(image, **options)


def test_a_slice_that_fails_stops_the_job_or_is_skipped(person):
    person.dock.use_predictor(Failing())
    text = run_with_error(person)
    assert "the card fell off" in text
    assert "Skip slices that fail" in text
    person.dock.stack.skip.setChecked(True)
    person.run_to_end()
    assert not person.dock.report.failed.isHidden()
    assert "the card fell off" in person.dock.report.failed.text()


def test_an_image_in_memory_says_that_only_it_can_go_on(viewer, qtbot, folder):
    dock = open_everything(viewer, drawn_stack()[:3])
    dock.whole_stack.setChecked(True)
    dock.output.setText(str(folder / "out.zarr"))
    dock.run()
    qtbot.waitUntil(lambda: "only this image" in dock.run_box.told.text())
    qtbot.waitUntil(dock.start_button.isEnabled, timeout=20_000)
    assert dock.run_box.command.text() == ""


def test_a_removed_image_stops_its_job_and_a_new_one_goes_on(person, whole):
    person.run_half()
    person.viewer.layers.remove("drawn")
    assert person.box.start.isEnabled()
    assert "run again to go on" in person.box.status.text()
    person.viewer.add_image(zarr.open_array(person.folder / "in.zarr", mode="r"), name="again")
    person.dock.image.choose(person.viewer.layers["again"])
    person.run_to_end()
    assert tree(person.folder / "out.zarr") == whole


def test_a_closed_viewer_leaves_a_job_that_resumes(make_napari_viewer, qtbot, folder, whole):
    person = Person(make_napari_viewer(), folder, qtbot)
    person.run_half()
    control = person.dock._runner._control
    person.viewer.close()
    person.predictor.gate.set()
    qtbot.waitUntil(control.ended.is_set)
    report = segment_volume(OraclePredictor(), folder / "in.zarr", folder / "out.zarr")
    assert HELD <= report.n_resumed <= HELD + 1
    assert tree(folder / "out.zarr") == whole


def test_two_viewers_run_two_jobs(make_napari_viewer, qtbot, folder, whole):
    people = [Person(make_napari_viewer(), folder, qtbot, output=f"{name}.zarr") for name in "ab"]
    for person in people:
        person.run()
    for person, name in zip(people, "ab", strict=True):
        person.wait_for_end()
        assert tree(folder / f"{name}.zarr") == whole
        assert layer_of(person.viewer).data.shape == (N_SLICES, 40, 50)
