import numpy as np
import pytest
import torch

from napari_sam.segmentation.geometry import free_geometry
from napari_sam.segmentation.images import (
    as_image,
    check_image,
    contrast_range,
    finite_image,
    pad,
    to_display_range,
    to_pixels,
)


@pytest.mark.parametrize("dtype", [bool, np.uint8, np.int16, np.uint16, np.float32, np.float64])
def test_gray_of_any_type_spans_black_to_white(dtype):
    image = np.linspace(0, 1 if dtype is bool else 200, 64 * 64).reshape(64, 64).astype(dtype)
    shown = to_display_range(image)
    assert shown.shape == (64, 64, 1)
    assert shown.min() == 0
    assert shown.max() == 255


def test_colour_of_8_bits_stays_as_it_is():
    image = np.random.default_rng(0).integers(0, 90, (5, 6, 4), dtype=np.uint8)
    assert np.array_equal(to_display_range(image), image[..., :3])


def test_contrast_limits_are_obeyed():
    shown = to_display_range(np.array([[0.0, 10, 20, 30]]), (10, 20))
    assert shown[..., 0].tolist() == [[0, 0, 255, 255]]
    with pytest.raises(ValueError, match="rising"):
        to_display_range(np.zeros((2, 2)), (5, 1))


@pytest.mark.parametrize(
    ("limits", "error", "message"),
    [
        ((0,), ValueError, r"contrast_limits must be two numbers, .* got \(0,\)"),
        (3, TypeError, "contrast_limits must be two numbers, .* got 3"),
        (("a", "b"), ValueError, "contrast_limits must be two numbers"),
        ((2, 1), ValueError, r"contrast_limits must be finite and rising, got \(2, 1\)"),
        ((0, np.nan), ValueError, "contrast_limits must be finite and rising"),
    ],
)
def test_limits_that_are_none_are_named(limits, error, message):
    with pytest.raises(error, match=message):
        to_display_range(np.zeros((4, 4)), limits)


def test_masked_pixels_are_not_taken_for_others():
    masked = np.ma.masked_equal([[0, 1], [2, 3]], 3)
    with pytest.raises(ValueError, match=r"masked pixels.*filled"):
        as_image(masked)
    assert type(as_image(np.ma.array([[0, 1], [2, 3]]))) is np.ndarray


def test_outliers_do_not_set_the_contrast():
    image = np.tile(np.arange(100.0), (100, 1))
    image[0, 0] = 1e9
    low, high = contrast_range(image)
    assert low == 0
    assert high == pytest.approx(99, abs=1)


def test_pixels_that_are_no_numbers_are_handled_and_said():
    image = np.arange(16.0).reshape(4, 4)
    image[0] = [np.nan, np.inf, -np.inf, 3]
    with pytest.warns(UserWarning, match="3 pixels that are NaN or infinite"):
        shown = to_display_range(image)
    assert shown[0, :3, 0].tolist() == [0, 255, 0]


@pytest.mark.filterwarnings("ignore:The image has")
@pytest.mark.parametrize("value", [0, 7, np.nan])
def test_a_constant_image_is_gray(value):
    shown = to_display_range(np.full((8, 8), value, float))
    assert np.isfinite(shown).all()
    assert shown.min() == shown.max()


@pytest.mark.parametrize(
    ("image", "error", "message"),
    [
        (np.zeros((2, 3, 4, 5)), ValueError, "one slice"),
        (np.zeros((4, 4, 2)), ValueError, r"got \(4, 4, 2\)"),
        (np.zeros((0, 5)), ValueError, "empty"),
        (np.zeros((4, 4), complex), TypeError, "real numbers"),
        (np.array([["a"]]), TypeError, "real numbers"),
    ],
)
def test_what_is_no_image_is_refused(image, error, message):
    with pytest.raises(error, match=message):
        check_image(image)


def test_strided_arrays_are_taken():
    image = np.arange(64.0).reshape(8, 8)[::-1, ::2]
    pixels = to_pixels(to_display_range(image), free_geometry((8, 4), 1, 64), torch.device("cpu"))
    assert pixels.shape == (1, 3, 8, 4)
    padded = pad(pixels, free_geometry((8, 4), 1, 64))
    assert padded.shape == (1, 3, 32, 32)
    assert padded[..., 8:, :].abs().max() == 0


@pytest.mark.parametrize("shape", [(1024, 1024, 3), (600, 1024, 4), (2048, 2048), (30, 2000, 2000)])
def test_contrast_is_that_of_all_channels_and_columns(shape):
    image = np.zeros(shape, np.uint16)
    image[..., 1::4] = 4000
    for view in (image, image[..., :3]):
        assert contrast_range(view) == (0, 4000)


@pytest.mark.parametrize(
    ("dtype", "offset", "step"),
    [(np.float64, 1e9, 1), (np.int32, 2e9, 1), (np.uint64, 1e12, 1), (np.float64, 0, 1e38)],
)
def test_what_differs_little_from_a_large_value_keeps_its_contrast(dtype, offset, step):
    plain = np.arange(100.0).reshape(10, 10)
    shown = to_display_range((plain * step + offset).astype(dtype))
    np.testing.assert_allclose(shown, to_display_range(plain), atol=1e-3)


def test_the_smallest_range_has_contrast_too():
    plain = np.arange(100, dtype=np.float32).reshape(10, 10)
    shown = to_display_range(plain * np.float32(1e-42))
    np.testing.assert_allclose(shown, to_display_range(plain), atol=0.5)


def test_large_values_are_finite():
    image = np.array([[1e40, 2e40], [3e40, np.nan]])
    with pytest.warns(UserWarning, match="1 pixels that are NaN"):
        found = finite_image(image, (1e40, 3e40))
    assert found.tolist() == [[1e40, 2e40], [3e40, 1e40]]
