"""The volume job from end to end, with the oracle in place of the network."""

import dataclasses
import threading

import dask.array as da
import numpy as np
import pytest
import zarr

from napari_sam.segmentation.everything import EverythingConfig
from napari_sam.volume import (
    JobMismatchError,
    LedgerError,
    LinkConfig,
    OutputError,
    VolumeConfig,
    iter_volume,
    open_source,
    segment_volume,
)
from tests.oracle import OraclePredictor
from tests.volume.toys import drawn_volume, tree, write_image


@pytest.fixture
def predictor():
    return OraclePredictor(threshold=100)


def expected_labels():
    """Return the labels of the drawn volume: objects in order of appearance."""
    labels = np.zeros((5, 300, 40), np.uint32)
    labels[0:4, 10:30, 5:25] = 1
    labels[1, 100:110, 5:15] = 2
    labels[2:4, 200:220, 10:30] = 3
    return labels


def read_levels(report):
    group = zarr.open_group(report.labels_path, mode="r")
    datasets = group.attrs["ome"]["multiscales"][0]["datasets"]
    return [group[dataset["path"]] for dataset in datasets]


def test_objects_are_linked_through_slices(predictor, tmp_path):
    report = segment_volume(predictor, drawn_volume(), tmp_path / "out.zarr")
    full, half = read_levels(report)
    np.testing.assert_array_equal(full[:], expected_labels())
    np.testing.assert_array_equal(half[:], expected_labels()[:, ::2, ::2])
    assert full.dtype == np.uint32
    assert (full.chunks, full.shards) == ((1, 512, 512), (8, 512, 512))
    assert full.metadata.zarr_format == 3
    assert (report.n_objects, report.n_resumed, report.shape) == (3, 0, (5, 300, 40))
    assert report.labels_path == tmp_path / "out.zarr" / "labels" / "sam"


def test_large_slices_are_segmented_in_tiles(predictor, tmp_path):
    predictor.view = 80
    config = VolumeConfig(everything=EverythingConfig(object_diameter=20))
    report = segment_volume(predictor, drawn_volume(), tmp_path / "out.zarr", config)
    np.testing.assert_array_equal(read_levels(report)[0][:], expected_labels())
    assert predictor.n_embed == 4 * 7  # rows of 300 in steps of at most 40; slice 4 is empty


def test_events_tell_every_step_of_every_stage(predictor, tmp_path):
    events = []
    segment_volume(predictor, drawn_volume(), tmp_path / "o.zarr", on_progress=events.append)
    stages = [(event.stage, event.done, event.total, event.z) for event in events]
    assert stages == [
        *(("segment", z + 1, 5, z) for z in range(5)),
        *(("link", z + 1, 5, z) for z in range(5)),
        ("write", 1, 1, 0),
        ("finish", 1, 1, None),
    ]
    assert not any(event.resumed for event in events)


@pytest.mark.parametrize("volume", [drawn_volume()[2], np.zeros((3, 20, 20), np.uint8)])
def test_single_slice_and_empty_volume(predictor, tmp_path, volume):
    report = segment_volume(predictor, volume, tmp_path / "out.zarr")
    labels = read_levels(report)[0][:]
    assert labels.shape == (1, 300, 40) if volume.ndim == 2 else (3, 20, 20)
    np.testing.assert_array_equal(labels > 0, np.atleast_3d(volume > 100).reshape(labels.shape))
    assert report.n_objects == len(np.unique(labels)) - 1


def test_numpy_dask_and_zarr_give_the_same_output(predictor, tmp_path):
    volume = drawn_volume()
    stored = zarr.create_array(store=tmp_path / "in.zarr", data=volume, chunks=(2, 64, 64))
    for name, source in (
        ("numpy", volume),
        ("dask", da.from_array(volume, chunks=(1, 100, 40))),
        ("zarr", stored),
        ("path", tmp_path / "in.zarr"),
    ):
        segment_volume(predictor, source, tmp_path / name)
    expected = tree(tmp_path / "numpy" / "labels")
    assert all(tree(tmp_path / name / "labels") == expected for name in ("dask", "zarr", "path"))
    assert tree(tmp_path / "zarr") == tree(tmp_path / "path")


def test_place_in_the_world_is_kept(predictor, tmp_path):
    path = write_image(
        tmp_path / "image.zarr",
        [drawn_volume()[None]],
        axes="czyx",
        version="0.4",
        scales=[((1, 2.0, 0.5, 0.25), (0, 10.0, 20.0, 30.0))],
        units="micrometer",
    )
    report = segment_volume(predictor, path, tmp_path / "out.zarr")
    assert report.scale == (2.0, 0.5, 0.25)
    assert report.translation == (10.0, 20.0, 30.0)
    written = open_source(report.labels_path, level=1)
    assert written.scale == (2.0, 1.0, 0.5)
    assert written.translation == (10.0, 20.0, 30.0)
    assert written.units == ("micrometer",) * 3
    labels_group = zarr.open_group(tmp_path / "out.zarr" / "labels", mode="r")
    assert labels_group.attrs["ome"] == {"version": "0.5", "labels": ["sam"]}


def test_settings_say_where_a_volume_lies_whose_source_does_not(predictor, tmp_path):
    config = VolumeConfig(voxel_size=(2, 0.5, 0.5), origin=(0, 100, 0), unit="micrometer")
    report = segment_volume(predictor, drawn_volume(), tmp_path / "out.zarr", config)
    assert (report.scale, report.units) == ((2, 0.5, 0.5), ("micrometer",) * 3)
    written = open_source(tmp_path / "out.zarr" / "labels" / "sam")
    assert (written.scale, written.translation) == ((2, 0.5, 0.5), (0, 100, 0))
    assert written.units == ("micrometer",) * 3


def test_contrast_is_the_same_for_all_slices_and_for_resumed_ones(predictor, tmp_path, monkeypatch):
    seen = []
    embed = predictor.embed

    def watched(image, *, contrast_limits=None, **options):
        seen.append(contrast_limits)
        return embed(image, contrast_limits=contrast_limits, **options)

    monkeypatch.setattr(predictor, "embed", watched)
    job = iter_volume(predictor, drawn_volume(), tmp_path / "out.zarr")
    next(job)
    job.close()
    segment_volume(predictor, drawn_volume(), tmp_path / "out.zarr")
    assert set(seen) == {(0.0, 200.0)}
    config = VolumeConfig(contrast_limits=(0, 500))
    segment_volume(predictor, drawn_volume(), tmp_path / "other.zarr", config)
    assert seen[-1] == (0.0, 500.0)


def test_closed_job_resumes_where_it_stopped(predictor, tmp_path):
    segment_volume(predictor, drawn_volume(), tmp_path / "whole.zarr")
    job = iter_volume(predictor, drawn_volume(), tmp_path / "out.zarr")
    for _ in range(3):
        next(job)
    job.close()
    again = OraclePredictor(threshold=100)
    report = segment_volume(again, drawn_volume(), tmp_path / "out.zarr")
    assert (report.n_resumed, again.n_embed) == (3, 1)  # of slices 3 and 4 the last is empty
    assert tree(tmp_path / "out.zarr") == tree(tmp_path / "whole.zarr")


def test_finished_job_is_not_done_again(predictor, tmp_path):
    first = segment_volume(predictor, drawn_volume(), tmp_path / "out.zarr")
    before, predictor.n_embed = tree(tmp_path / "out.zarr"), 0
    second = segment_volume(predictor, drawn_volume(), tmp_path / "out.zarr")
    assert dataclasses.replace(second, n_resumed=0) == first
    assert (predictor.n_embed, second.n_resumed) == (0, 5)
    assert tree(tmp_path / "out.zarr") == before


def test_damaged_scratch_slice_is_made_again(predictor, tmp_path):
    segment_volume(predictor, drawn_volume(), tmp_path / "whole.zarr")
    job = iter_volume(predictor, drawn_volume(), tmp_path / "out.zarr")
    while next(job).stage != "write":
        pass
    job.close()
    chunks = tmp_path / "out.zarr" / ".napari_sam" / "sam" / "scratch.zarr" / "c"
    (chunks / "0" / "0" / "0" / "0").unlink()
    (chunks / "2" / "0" / "0" / "0").write_bytes(b"not a chunk")
    again = OraclePredictor(threshold=100)
    assert segment_volume(again, drawn_volume(), tmp_path / "out.zarr").n_resumed == 3
    assert again.n_embed == 2
    assert tree(tmp_path / "out.zarr") == tree(tmp_path / "whole.zarr")


@pytest.mark.parametrize(
    ("volume", "config", "model", "fields"),
    [
        (drawn_volume(), VolumeConfig(link=LinkConfig(iou_thresh=0.6)), "oracle", ("iou_thresh",)),
        (
            drawn_volume(),
            VolumeConfig(everything=EverythingConfig(points_per_side=24)),
            "oracle",
            ("points_per_side",),
        ),
        (drawn_volume()[:, ::-1], VolumeConfig(), "oracle", ("source_content",)),
        (drawn_volume()[1:], VolumeConfig(), "oracle", ("source_content", "source_shape")),
        (drawn_volume(), VolumeConfig(), "vit_b", ("model",)),
    ],
)
def test_another_job_is_refused(predictor, tmp_path, volume, config, model, fields):
    job = iter_volume(predictor, drawn_volume(), tmp_path / "out.zarr")
    next(job)
    job.close()
    before = tree(tmp_path)
    predictor.model_digest = model
    with pytest.raises(JobMismatchError, match=r"'out.zarr' belongs to another job") as caught:
        segment_volume(predictor, volume, tmp_path / "out.zarr", config)
    assert caught.value.fields == fields
    assert tree(tmp_path) == before


def test_start_over_replaces_the_job(predictor, tmp_path):
    config = VolumeConfig(link=LinkConfig(iou_thresh=0.9))
    segment_volume(predictor, drawn_volume()[:3], tmp_path / "out.zarr")
    segment_volume(predictor, drawn_volume(), tmp_path / "out.zarr", config, resume=False)
    segment_volume(predictor, drawn_volume(), tmp_path / "new.zarr", config)
    assert tree(tmp_path / "out.zarr") == tree(tmp_path / "new.zarr")


def test_start_over_needs_nothing_of_a_damaged_ledger(predictor, tmp_path):
    segment_volume(predictor, drawn_volume(), tmp_path / "out.zarr")
    whole = tree(tmp_path / "out.zarr")
    (tmp_path / "out.zarr" / ".napari_sam" / "sam" / "ledger.jsonl").write_bytes(b"{")
    with pytest.raises(LedgerError, match="start over with resume=False"):
        segment_volume(predictor, drawn_volume(), tmp_path / "out.zarr")
    segment_volume(predictor, drawn_volume(), tmp_path / "out.zarr", resume=False)
    assert tree(tmp_path / "out.zarr") == whole


def test_two_names_in_one_output(predictor, tmp_path):
    for name in ("sam", "again"):
        segment_volume(predictor, drawn_volume(), tmp_path / "o.zarr", VolumeConfig(name=name))
    labels_group = zarr.open_group(tmp_path / "o.zarr" / "labels", mode="r")
    assert labels_group.attrs["ome"]["labels"] == ["again", "sam"]
    assert tree(labels_group.store.root / "again" / "0") == tree(
        labels_group.store.root / "sam" / "0"
    )


@pytest.mark.parametrize("resume", [True, False])
def test_foreign_outputs_are_left_alone(predictor, tmp_path, resume):
    write_image(tmp_path / "image.zarr", [drawn_volume()], axes="zyx")
    (tmp_path / "file.zarr").write_text("mine")
    segment_volume(predictor, drawn_volume(), tmp_path / "ours.zarr")
    write_image(tmp_path / "ours.zarr" / "labels" / "hand", [drawn_volume()], axes="zyx")
    before = tree(tmp_path)
    for output, config, message in (
        ("image.zarr", VolumeConfig(), "other contents and no .napari_sam"),
        ("file.zarr", VolumeConfig(), "is a file"),
        ("ours.zarr", VolumeConfig(name="hand"), "labels 'hand' that no job here has made"),
    ):
        with pytest.raises(OutputError, match=message):
            segment_volume(predictor, drawn_volume(), tmp_path / output, config, resume=resume)
    assert tree(tmp_path) == before


def test_finished_job_without_its_labels_is_told(predictor, tmp_path):
    report = segment_volume(predictor, drawn_volume(), tmp_path / "out.zarr")
    (report.labels_path / "0" / "zarr.json").unlink()
    with pytest.raises(OutputError, match=r"labels 'sam' are gone; start over with resume=False"):
        segment_volume(predictor, drawn_volume(), tmp_path / "out.zarr")


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"block_size": 3000}, "multiple of 2048, got 3000"),
        ({"empty_contrast": 2}, "empty_contrast must lie between"),
        ({"contrast_limits": (5, 5)}, "two numbers, the lower first"),
        ({"contrast_limits": (0, float("nan"))}, "two numbers, the lower first"),
        ({"voxel_size": (1, 0, 1)}, "voxel_size must be three positive numbers"),
        ({"origin": (1, float("inf"), 1)}, "origin must be three numbers"),
        ({"name": "../up"}, "name must be letters"),
        ({"name": "CON"}, "name must be letters"),
        ({"name": "dot."}, "name must be letters"),
        ({"name": ""}, "name must be letters"),
    ],
)
def test_wrong_settings_are_refused(settings, message):
    with pytest.raises(ValueError, match=message):
        VolumeConfig(**settings)


def test_job_may_move_between_threads(predictor, tmp_path):
    """A worker of the viewer makes the generator in one thread and steps it in another."""
    job = iter_volume(predictor, drawn_volume(), tmp_path / "out.zarr")
    next(job)
    stages = []
    thread = threading.Thread(target=lambda: stages.extend(event.stage for event in job))
    thread.start()
    thread.join()
    assert stages[-1] == "finish"


def test_napari_opens_the_output_with_its_scale(predictor, tmp_path):
    reader = pytest.importorskip("napari_ome_zarr")
    volume = dataclasses.replace(
        open_source(drawn_volume()),
        scale=(2.0, 0.5, 0.25),
        units=("micrometer",) * 3,
    )
    report = segment_volume(predictor, volume, tmp_path / "out.zarr")
    open_layers = reader._reader.napari_get_reader(str(report.labels_path))
    ((levels, options, kind),) = open_layers(str(report.labels_path))
    assert kind == "labels"
    np.testing.assert_array_equal(levels[0].compute(), expected_labels())
    np.testing.assert_array_equal(options["scale"], (2.0, 0.5, 0.25))
    assert options["units"] == ("micrometer",) * 3
    assert options["axis_labels"] == ("z", "y", "x")


def test_metadata_is_valid_by_the_models_of_the_standard(predictor, tmp_path):
    models = pytest.importorskip("ome_zarr_models.v05")
    report = segment_volume(predictor, drawn_volume(), tmp_path / "out.zarr")
    image = models.ImageLabel.from_zarr(zarr.open_group(report.labels_path, mode="r"))
    assert len(image.attributes.ome.multiscales[0].datasets) == 2
    models.Labels.from_zarr(zarr.open_group(report.labels_path.parent, mode="r"))
