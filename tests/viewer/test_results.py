"""Stacks of layers as sources of volume jobs, and their results as layers."""

import dask.array as da
import numpy as np
import pytest
from napari.components import ViewerModel

from napari_sam.viewer.drafts import Draft
from napari_sam.viewer.layers import shown_plane
from napari_sam.viewer.results import SliceResult, StackResult, show_slice_labels
from napari_sam.viewer.session import Session
from napari_sam.viewer.stack_job import StackOutcome, open_levels
from napari_sam.viewer.stacks import stack_source
from napari_sam.volume import segment_volume
from tests.oracle import OraclePredictor


def stack() -> np.ndarray:
    image = np.zeros((4, 32, 40))
    image[:, 5:15, 5:15] = image[1:3, 20:30, 20:35] = 1
    return image


def open_layer(data, **options):
    viewer = ViewerModel()
    layer = viewer.add_image(data, **options)
    return viewer, layer, shown_plane(viewer, layer)


def test_a_stack_keeps_its_place():
    _, layer, plane = open_layer(stack(), scale=(3, 0.5, 0.5), translate=(1, 2, 3))
    source = stack_source(layer, plane)
    assert source.shape == (4, 32, 40)
    assert source.scale == (3, 0.5, 0.5)
    assert source.translation == (1, 2, 3)
    assert np.array_equal(source.read(2), stack()[2])


@pytest.mark.parametrize("wrap", [np.asarray, da.from_array])
def test_time_stays_where_the_viewer_stands(wrap):
    viewer, layer, _ = open_layer(wrap(np.stack([stack() * 0, stack()])))
    viewer.dims.set_point(0, 1)
    source = stack_source(layer, shown_plane(viewer, layer))
    assert source.shape == (4, 32, 40)
    assert source.read(1).sum() == 100 + 150


def test_colour_stacks_are_read_as_colour():
    _, layer, plane = open_layer(np.repeat(stack()[..., None], 3, axis=-1), rgb=True)
    source = stack_source(layer, plane)
    assert source.is_rgb
    assert source.read(0).shape == (32, 40, 3)


def test_what_is_no_stack_is_refused():
    _, layer, plane = open_layer(stack()[0])
    with pytest.raises(ValueError, match="has no slices"):
        stack_source(layer, plane)
    viewer, layer, _ = open_layer(stack())
    viewer.dims.order = (1, 0, 2)
    with pytest.raises(ValueError, match="last two axes"):
        stack_source(layer, shown_plane(viewer, layer))


def test_a_finished_stack_lies_on_its_image(tmp_path):
    turn = np.array([[1, 0, 0], [0, 0.8, -0.6], [0, 0.6, 0.8]])
    viewer, layer, plane = open_layer(stack(), scale=(3, 2, 2), rotate=turn)
    report = segment_volume(OraclePredictor(), stack_source(layer, plane), tmp_path / "o.zarr")
    outcome = StackOutcome(report=report, levels=open_levels(report))
    labels = StackResult(viewer, layer, plane, tmp_path / "o.zarr").finish(outcome)
    assert np.allclose(labels.data_to_world((1, 5, 6)), layer.data_to_world((1, 5, 6)))
    assert sorted(np.unique(np.asarray(labels.data))) == [0, 1, 2]
    assert not labels.editable


def test_labels_of_slices_count_on():
    viewer, layer, _ = open_layer(stack())
    found = np.zeros((32, 40), np.uint32)
    found[3:5, 3:5], found[8:9, 8:9] = 1, 2
    for z in (0, 1):
        viewer.dims.set_point(0, z)
        labels = show_slice_labels(viewer, layer, shown_plane(viewer, layer), found)
    assert sorted(np.unique(labels.data[0])) == [0, 1, 2]
    assert sorted(np.unique(labels.data[1])) == [0, 3, 4]
    assert labels.data.dtype == np.uint16


def numbered(count: int) -> np.ndarray:
    """Return labels 1 ... count in a row."""
    labels = np.zeros((32, 40), np.uint32)
    labels[3, :count] = np.arange(1, count + 1)
    return labels


def test_a_slice_that_is_drawn_again_keeps_its_numbers():
    viewer, layer, _ = open_layer(stack())
    results = []
    for z in (0, 1):
        viewer.dims.set_point(0, z)
        results.append(SliceResult(viewer, layer, shown_plane(viewer, layer)))
        labels = results[z].show(numbered(3))
    results[0].show(numbered(2))
    assert sorted(np.unique(labels.data[0])) == [0, 1, 2]
    results[1].show(numbered(5))  # the last slice may grow
    assert sorted(np.unique(labels.data[1])) == [0, 4, 5, 6, 7, 8]
    results[0].show(numbered(4))  # more than fit below those of the other slice
    assert sorted(np.unique(labels.data[0])) == [0, 9, 10, 11, 12]
    assert sorted(np.unique(labels.data[1])) == [0, 4, 5, 6, 7, 8]
    assert len(viewer.layers) == 2


def test_a_layer_that_was_removed_is_made_again():
    viewer, layer, plane = open_layer(stack()[0])
    result = SliceResult(viewer, layer, plane)
    viewer.layers.remove(result.show(numbered(3)))
    assert result.show(numbered(4)).data.max() == 4
    assert len(viewer.layers) == 2


def run_everything(viewer, image, z, labels):
    viewer.dims.set_current_step(0, z)
    return show_slice_labels(viewer, image, shown_plane(viewer, image), labels)


@pytest.mark.parametrize("side", [40, 2100])
def test_labels_drawn_by_hand_are_not_given_again(side):
    """Also in layers that are too large to be counted."""
    viewer, image, _ = open_layer(np.zeros((2, side, side), np.uint8))
    found = np.zeros((side, side), np.uint32)
    found[3:5, 3:5], found[8:9, 8:9] = 1, 2
    layer = run_everything(viewer, image, 0, found)
    session = Session(viewer, OraclePredictor(), image, layer)
    plane = shown_plane(viewer, image)
    draft = Draft(mask=np.ones((3, 3), bool), corner=(20, 20))
    assert session.add_drafts(plane, [draft], "many").objects == 1
    assert run_everything(viewer, image, 1, found) is layer
    assert np.unique(layer.data[0]).tolist() == [0, 1, 2, 3]
    assert np.unique(layer.data[1]).tolist() == [0, 4, 5]
    draft = Draft(mask=np.ones((3, 3), bool), corner=(30, 30))
    session.add_drafts(shown_plane(viewer, image), [draft], "many")
    assert np.unique(layer.data[1]).tolist() == [0, 4, 5, 6]


def test_a_slice_that_was_corrected_is_left_alone():
    viewer, image, _ = open_layer(stack())
    found = np.zeros((32, 40), np.uint32)
    found[3:5, 3:5] = 1
    layer = run_everything(viewer, image, 0, found)
    assert run_everything(viewer, image, 0, found) is layer
    layer.data[0, 20:22, 20:22] = 9
    corrected = layer.data.copy()
    viewer.dims.set_current_step(0, 0)
    result = SliceResult(viewer, image, shown_plane(viewer, image))
    other = result.show(found)
    assert other is not layer
    assert result.spared == layer.name
    assert np.array_equal(layer.data, corrected)
    assert other.data[0].any()
    assert run_everything(viewer, image, 1, found) is layer
    assert run_everything(viewer, image, 0, found) is other


def first_slice(count):
    """Draw labels into the first slice of a stack."""
    viewer, image, _ = open_layer(stack())
    viewer.dims.set_current_step(0, 0)
    result = SliceResult(viewer, image, shown_plane(viewer, image))
    return result, result.show(numbered(count))


def test_a_slice_that_is_drawn_again_leaves_alone_what_was_worked_on_since():
    result, layer = first_slice(3)
    session = Session(result._viewer, OraclePredictor(), result.image, layer)
    layer.paint((0, 20, 20), 9)
    worked_on = layer.data.copy()
    other = result.show(numbered(2))
    assert np.array_equal(layer.data, worked_on)
    assert (result.spared, other.data.max()) == (layer.name, 2)
    assert result.show(numbered(4)) is other
    session.take_back()
    assert np.array_equal(layer.data, np.where(worked_on == 9, 0, worked_on))


def test_undo_brings_back_nothing_of_what_was_drawn_before():
    result, layer = first_slice(3)
    before = layer.data[0].copy()
    layer.paint((0, 3, 1), 7)
    layer.paint((2, 20, 20), 8)
    layer.paint((0, 25, 25), 9)
    layer.undo()
    layer.paint((3, 20, 20), 8)
    layer.data[0] = before
    assert result.show(numbered(2)) is layer
    drawn = layer.data.copy()
    for _ in range(4):
        layer.undo()
    drawn[2:] = 0  # what was painted elsewhere after it
    assert np.array_equal(layer.data, drawn)
    layer.redo()
    assert layer.data[2].any()


@pytest.mark.parametrize("now", [(4, 20, 20), (32, 40)])
def test_labels_of_data_that_were_replaced_are_not_drawn(now):
    viewer, image, plane = open_layer(stack())
    result = SliceResult(viewer, image, plane)
    image.data = np.zeros(now)
    with pytest.raises(ValueError, match="it has other data now"):
        result.show(numbered(2))
    assert len(viewer.layers) == 1


def test_a_layer_whose_data_became_others_is_not_drawn_into():
    viewer, image, plane = open_layer(stack()[0])
    result = SliceResult(viewer, image, plane)
    layer = result.show(numbered(2))
    layer.data = np.zeros((10, 10), np.uint16)
    assert result.show(numbered(3)).data.max() == 3
    assert not layer.data.any()


def test_a_stack_of_a_rotated_time_series_lies_on_it(tmp_path):
    turn = np.eye(4)
    turn[2:, 2:] = [[0.8, -0.6], [0.6, 0.8]]
    viewer, layer, _ = open_layer(np.stack([stack()] * 2), scale=(5, 3, 2, 2), rotate=turn)
    layer.translate = (1, 4, 6, 7)
    viewer.dims.set_current_step(0, 1)
    plane = shown_plane(viewer, layer)
    report = segment_volume(OraclePredictor(), stack_source(layer, plane), tmp_path / "o.zarr")
    outcome = StackOutcome(report=report, levels=open_levels(report))
    labels = StackResult(viewer, layer, plane, tmp_path / "o.zarr").finish(outcome)
    assert labels.ndim == 3
    for place in ((0, 0, 0), (1, 5, 6), (3, 20, 2)):
        assert np.allclose(labels.data_to_world(place), layer.data_to_world((1, *place))[1:])
