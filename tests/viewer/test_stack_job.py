"""A volume job as the viewer runs it, without Qt: its news, its layer, the way to its doubts."""

import numpy as np
import pytest
import zarr
from napari.components import ViewerModel

from napari_sam.segmentation.everything import EverythingConfig
from napari_sam.viewer.layers import camera_of, shown_plane
from napari_sam.viewer.results import StackResult
from napari_sam.viewer.stack_job import (
    StackForecast,
    StackJob,
    StackOpened,
    StackStep,
    advice,
)
from napari_sam.viewer.stack_words import doubt_cells, opened_line, progress_line, report_lines
from napari_sam.viewer.stacks import take_stack
from napari_sam.volume import LinkDoubt, VolumeConfig
from tests.oracle import OraclePredictor

CONFIG = VolumeConfig(everything=EverythingConfig(object_diameter=20))


def wide_stack():
    """Four slices of 40 x 5000 pixels, two blocks each, with an object on the seam at 4096."""
    stack = np.zeros((4, 40, 5000), np.uint8)
    stack[:, 10:30, 20:40] = stack[:, 5:25, 4080:4110] = 200
    return stack


class Run:
    """A viewer, and a job on what it shows."""

    def __init__(self, data, output, at=(), **options):
        self.viewer = ViewerModel()
        self.image = self.viewer.add_image(data, **options)
        for axis, index in enumerate(at):
            self.viewer.dims.set_current_step(axis, index)
        plane = shown_plane(self.viewer, self.image)
        self.result = StackResult(self.viewer, self.image, plane, output)
        self.job = StackJob(
            predictor=OraclePredictor(threshold=100),
            stack=take_stack(self.image, plane),
            output=output,
            config=CONFIG,
        )

    def steps(self):
        """Show what the job tells, and yield it; keeps the outcome."""
        self.outcome = yield from self._shown()
        self.result.finish(self.outcome)

    def _shown(self):
        job = self.job.run()
        while True:
            try:
                news = next(job)
            except StopIteration as stop:
                return stop.value
            if isinstance(news, StackStep):
                self.result.show(news)
            yield news


def test_news_come_in_order_and_in_words(tmp_path):
    zarr.create_array(store=tmp_path / "in.zarr", data=np.repeat(wide_stack(), 2, 0)[..., :64])
    run = Run(zarr.open_array(tmp_path / "in.zarr", mode="r"), tmp_path / "o.zarr")
    news = list(run.steps())
    assert [type(item) for item in news[:2]] == [StackOpened, StackStep]  # few blocks: no forecast
    assert str(tmp_path / "in.zarr") in news[0].command
    assert opened_line(news[0]) == ""
    assert progress_line(news[2]).startswith("Segmenting: 2 of 8 blocks\n")
    assert progress_line(news[-1]) == "Finishing"
    assert dict(report_lines(run.outcome.report))["Objects"] == "1"
    assert not any(isinstance(item, StackForecast) for item in news)


def test_a_pyramid_of_blocks_becomes_the_label_image(tmp_path):
    run = Run(wide_stack(), tmp_path / "o.zarr", scale=(2, 0.5, 0.5), translate=(1, 2, 3))
    job = run.steps()
    while not (isinstance(news := next(job), StackStep) and news.event.done == 3):
        pass
    layer = run.result.layer
    assert layer.multiscale
    assert len(layer.data) == 6
    first = np.asarray(layer.data[0][0])
    assert (first > 0).sum() == 20 * 20 + 20 * 30
    np.testing.assert_array_equal(np.asarray(layer.data[2][0]), first[::4, ::4])
    assert not np.asarray(layer.data[0][3]).any()
    list(job)
    assert run.result.layer is layer
    assert sorted(np.unique(layer.data[0])) == [0, 1, 2]
    assert np.allclose(layer.data_to_world((1, 5, 6)), run.image.data_to_world((1, 5, 6)))
    assert not layer.editable
    assert len(run.viewer.layers) == 2


def test_a_run_on_other_levels_takes_the_place_of_the_layer(tmp_path):
    run = Run(wide_stack()[..., :64], tmp_path / "o.zarr")
    list(run.steps())
    arrays = run.outcome.levels
    other = StackResult(
        run.viewer, run.image, shown_plane(run.viewer, run.image), tmp_path / "o.zarr"
    )
    other._open((arrays[0], arrays[0][:, ::2, ::2]))
    assert len(run.viewer.layers) == 2
    assert other.layer.multiscale


@pytest.mark.parametrize("ndisplay", [2, 3])
def test_a_doubt_is_found_again_in_time_and_space(tmp_path, ndisplay):
    movie = np.stack([wide_stack()[..., :64] * 0, wide_stack()[..., :64]])
    run = Run(movie, tmp_path / "o.zarr", at=(1,), scale=(1, 2, 0.5, 0.5))
    list(run.steps())
    viewer = run.viewer
    viewer.dims.set_current_step(0, 0)
    viewer.dims.ndisplay = ndisplay
    run.result.jump_to(
        doubt := LinkDoubt(
            kind="weak", doubt=0.9, z=2, centre=(20.0, 30.0), objects=(1, 1), nodes=(0, 1), iou=0.5
        )
    )
    assert viewer.dims.ndisplay == 2
    assert tuple(viewer.dims.current_step[:2]) == (1, 2)
    camera = camera_of(viewer)
    assert tuple(camera.center[-2:]) == (10, 15)
    assert run.result.layer.selected_label == 1
    assert viewer.layers.selection.active is run.result.layer
    assert doubt_cells(doubt) == ("0.90", "weak link", "1", "2")


def test_the_shown_slice_alone_is_drawn_again(tmp_path):
    run = Run(wide_stack()[..., :64], tmp_path / "o.zarr", at=(2,))
    drawn, job = [], run.steps()
    for news in job:
        if isinstance(news, StackStep) and news.levels is not None:
            run.result.layer.events.set_data.connect(lambda _: drawn.append("drawn"))
        if isinstance(news, StackStep) and news.event.stage == "segment":
            drawn.append(news.event.z)
    assert drawn[:5] == [0, 1, "drawn", 2, 3]


def test_advice_is_for_people():
    assert advice(ValueError("no")) == "Stopped: no"
