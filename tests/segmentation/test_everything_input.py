"""Bad and odd input to everything: a clear error, or an empty and well-formed result."""

import dataclasses
import warnings

import numpy as np
import pytest

from napari_sam.segmentation.everything import (
    EverythingConfig,
    generate_masks,
    segment_embedded,
    segment_everything,
)
from napari_sam.segmentation.predictor import Predictor
from napari_sam.segmentation.records import MaskRecord
from tests.oracle import OraclePredictor

MODES = ("grid", "instances", "prompts")
CONFIG = EverythingConfig(points_per_side=3, pred_iou_thresh=0.5, stability_score_thresh=0.5)


@pytest.fixture(scope="module")
def nano():
    return Predictor("nano", "cpu")


@pytest.fixture(params=["oracle", "nano"])
def predictor(request):
    return OraclePredictor() if request.param == "oracle" else request.getfixturevalue("nano")


@pytest.fixture(params=["oracle", "oracle in tiles", "nano"])
def look(request):
    """Return a predictor, and the side of the tiles."""
    if request.param == "nano":
        return request.getfixturevalue("nano"), None
    return OraclePredictor(), None if request.param == "oracle" else 16


def in_mode(mode, **options):
    return dataclasses.replace(CONFIG, mode=mode, **options)


def check_labels(labels, shape):
    assert (labels.shape, labels.dtype) == (shape, np.uint32)
    assert np.array_equal(np.unique(np.append(labels, 0)), np.arange(int(labels.max()) + 1))


def check_records(records, shape):
    for record in records:
        assert isinstance(record, MaskRecord)
        top, left, bottom, right = record.box
        assert 0 <= top < bottom <= shape[0]
        assert 0 <= left < right <= shape[1]
        assert record.mask.shape == (bottom - top, right - left)
        assert record.area == record.mask.sum() > 0


ODD = {
    "one pixel": np.ones((1, 1)),
    "one row": np.linspace(0, 1, 40)[None],
    "one column": np.linspace(0, 1, 40)[:, None],
    "black": np.zeros((30, 40), np.uint16),
    "white": np.full((30, 40), 65535, np.uint16),
    "constant colour": np.full((30, 40, 3), 7, np.uint8),
    "RGBA": np.arange(30 * 40 * 4, dtype=np.uint8).reshape(30, 40, 4),
    "RGBA of floats": np.linspace(0, 1, 30 * 40 * 4).reshape(30, 40, 4),
    "bool": np.eye(30, 40, dtype=bool),
    "negative": np.full((30, 40), -5, np.int32),
    "huge": np.linspace(-1e30, 1e30, 1200).reshape(30, 40),
}


@pytest.mark.parametrize("name", ODD)
@pytest.mark.parametrize("mode", MODES)
def test_odd_images_give_well_formed_labels(look, mode, name):
    (predictor, tile_side), image = look, ODD[name]
    config = in_mode(mode, tile_side=tile_side)
    check_labels(segment_everything(predictor, image, config), image.shape[:2])


@pytest.mark.parametrize("name", ODD)
def test_odd_images_give_well_formed_records(look, name):
    (predictor, tile_side), image = look, ODD[name]
    config = dataclasses.replace(CONFIG, tile_side=tile_side)
    check_records(generate_masks(predictor, image, config), image.shape[:2])


@pytest.mark.parametrize(
    ("image", "error", "message"),
    [
        (np.zeros((0, 0)), ValueError, r"The image is empty: its shape is \(0, 0\)"),
        (np.zeros((0, 40)), ValueError, "The image is empty"),
        (np.zeros((30, 0, 3)), ValueError, "The image is empty"),
        (np.zeros(7), ValueError, r"An image must have shape \(H, W\)"),
        (np.zeros((4, 30, 40)), ValueError, "pass one slice or channel at a time"),
        (np.zeros((30, 40), complex), TypeError, "An image must hold real numbers"),
        (np.full((30, 40), "a"), TypeError, "An image must hold real numbers"),
        (None, TypeError, "An image must hold real numbers"),
    ],
)
def test_what_is_no_image_is_refused(predictor, image, error, message):
    for mode in MODES:
        with pytest.raises(error, match=message):
            segment_everything(predictor, image, in_mode(mode))
    with pytest.raises(error, match=message):
        generate_masks(predictor, image, CONFIG)


@pytest.mark.parametrize("value", [np.nan, np.inf, -np.inf])
@pytest.mark.parametrize("share", ["one", "all"])
def test_pixels_that_are_not_finite_are_told_of_once(look, value, share):
    predictor, tile_side = look
    image = np.zeros((30, 40), np.float32)
    image[5:15, 5:15] = 1
    image[20, 30] = value
    if share == "all":
        image[:] = value
    config = dataclasses.replace(CONFIG, tile_side=tile_side)
    for mode in MODES:
        with pytest.warns(UserWarning, match="NaN or infinite") as caught:
            labels = segment_everything(predictor, image, dataclasses.replace(config, mode=mode))
        assert len(caught) == 1
        check_labels(labels, image.shape)
    with pytest.warns(UserWarning, match="NaN or infinite") as caught:
        records = generate_masks(predictor, image, config)
    assert len(caught) == 1
    check_records(records, image.shape)


def test_nan_in_an_alpha_channel_matters_to_nobody():
    image = np.zeros((30, 40, 4))
    image[5:15, 5:15], image[..., 3] = 1, np.nan
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        assert segment_everything(OraclePredictor(), image, in_mode("instances")).max() == 1


@pytest.mark.parametrize("limits", [(1.0, 0.0), (0.0, np.nan), (np.inf, np.inf)])
@pytest.mark.parametrize("mode", MODES)
def test_contrast_limits_that_cannot_be_are_refused(nano, mode, limits):
    image = np.zeros((30, 40), np.float32)
    for config in (in_mode(mode), in_mode(mode, object_diameter=20)):
        with pytest.raises(ValueError, match="contrast_limits must be finite and rising"):
            segment_everything(nano, image, config, contrast_limits=limits)


def test_nothing_is_left_where_every_mask_is_filtered(look):
    predictor, tile_side = look
    image = np.zeros((40, 50))
    image[5:20, 5:20] = 1
    filtered = {
        "grid": {"pred_iou_thresh": 1.0},
        "instances": {"min_mask_region_area": 1_000_000},
        "prompts": {"separation": "watershed", "foreground_thresh": 1.0},
    }
    for mode, options in filtered.items():
        labels = segment_everything(predictor, image, in_mode(mode, tile_side=tile_side, **options))
        check_labels(labels, image.shape)
        assert labels.max() == 0
    strict = dataclasses.replace(CONFIG, pred_iou_thresh=1.0, tile_side=tile_side)
    assert generate_masks(predictor, image, strict) == []


@pytest.mark.parametrize(
    ("options", "error", "message"),
    [
        ({"points_per_side": 0}, ValueError, "points_per_side must lie between 1 and 256, got 0"),
        ({"points_per_side": -3}, ValueError, "points_per_side must lie between"),
        ({"points_per_side": 2.5}, ValueError, "points_per_side must be a whole number, got 2.5"),
        ({"points_per_side": None}, TypeError, "points_per_side must be a number, got None"),
        ({"points_per_side": "32"}, TypeError, "points_per_side must be a number, got '32'"),
        ({"points_per_batch": 0}, ValueError, "points_per_batch must lie between"),
        ({"crop_n_layers": 0.5}, ValueError, "crop_n_layers must be a whole number"),
        ({"tile_side": -1}, ValueError, "tile_side must lie between"),
        ({"tile_side": 15}, ValueError, "tile_side must be 0 or at least 16, got 15"),
        ({"separation": "none"}, ValueError, "separation must be one of"),
        ({"object_diameter": np.nan}, ValueError, "object_diameter must lie between"),
    ],
)
def test_settings_that_cannot_be_are_refused(options, error, message):
    with pytest.raises(error, match=message):
        EverythingConfig(**options)


@pytest.mark.parametrize(
    "name",
    [
        "pred_iou_thresh",
        "stability_score_thresh",
        "box_nms_thresh",
        "crop_nms_thresh",
        "rating_thresh",
        "foreground_thresh",
        "seed_prominence",
        "debris_thresh",
    ],
)
@pytest.mark.parametrize("value", [-0.01, 1.01, np.nan, np.inf])
def test_thresholds_outside_0_to_1_are_refused(name, value):
    with pytest.raises(ValueError, match=rf"{name} must lie between 0\.0 and 1\.0, got"):
        EverythingConfig(**{name: value})


def test_whole_numbers_of_a_form_become_ints():
    config = EverythingConfig(tile_side=512.0, points_per_side=np.int64(8))
    assert [type(config.tile_side), type(config.points_per_side)] == [int, int]
    assert (config.tile_side, config.points_per_side) == (512, 8)


def test_an_embedded_image_is_seen_alike_in_every_mode(nano):
    rows, cols = np.ogrid[:72, :80]
    image = 20.0 + 180 * (np.hypot(rows - 30, cols - 40) < 14)
    config = EverythingConfig(
        mode="grid", points_per_side=3, pred_iou_thresh=0.3, stability_score_thresh=0.3
    )
    for limits in ((0, 250), (0, 1e6)):
        embedding = nano.embed(image, contrast_limits=limits, object_diameter=28)
        labels = segment_embedded(nano, image, embedding, config)
        told = dataclasses.replace(config, object_diameter=28)
        expected = segment_everything(nano, image, told, contrast_limits=limits)
        assert np.array_equal(labels, expected)
        assert labels.any() == (limits[1] == 250)
