import numpy as np
import pytest

from napari_sam.training.baselines import otsu_foreground, otsu_object, otsu_watershed
from napari_sam.training.metrics import (
    average_precision,
    correcting_click,
    innermost_pixel,
    iou_matrix,
    mask_iou,
)


def two_squares() -> np.ndarray:
    labels = np.zeros((12, 20), int)
    labels[2:8, 2:8] = 3
    labels[2:8, 12:18] = 7
    return labels


def test_iou_matrix_by_hand():
    truth = two_squares()
    predicted = np.zeros_like(truth)
    predicted[2:8, 2:5] = 1  # half of the first
    predicted[2:8, 12:18] = 2  # the second
    assert iou_matrix(truth, predicted).tolist() == [[0.5, 0], [0, 1]]


def test_average_precision_by_hand():
    truth = two_squares()
    predicted = truth.copy()
    predicted[2:8, 5:8] = 0  # the first at IoU 0.5
    predicted[10, 0:3] = 9  # and a false one
    precision = average_precision(truth, predicted)
    assert precision[0.5] == pytest.approx(2 / 3)
    assert precision[0.55] == pytest.approx(1 / 4)


@pytest.mark.parametrize(("truth", "predicted", "score"), [(0, 0, 1), (1, 0, 0), (0, 1, 0)])
def test_average_precision_of_empty_images(truth, predicted, score):
    full = np.ones((4, 4), int)
    assert average_precision(full * truth, full * predicted)[0.5] == score


def test_one_prediction_matches_one_object_at_an_iou_of_a_half():
    truth = np.array([[1, 1, 2, 2]])
    merged = np.array([[5, 5, 5, 5]])
    assert average_precision(truth, merged)[0.5] == pytest.approx(1 / 2)


def test_mask_iou():
    a, b = np.array([1, 1, 0], bool), np.array([0, 1, 1], bool)
    assert mask_iou(a, b) == pytest.approx(1 / 3)
    assert mask_iou(a & False, b & False) == 1


def test_innermost_pixel():
    mask = np.zeros((9, 9), bool)
    mask[1:8, 2:7] = True
    row, col = innermost_pixel(mask)
    assert col == 4
    assert 3 <= row <= 5
    with pytest.raises(ValueError, match="empty mask"):
        innermost_pixel(mask & False)


def test_the_correcting_click_goes_to_the_largest_error():
    truth = two_squares() == 3
    mask = truth.copy()
    mask[2, 2] = False
    mask[2:8, 12:18] = True
    click, label = correcting_click(mask, truth)
    assert label == 0
    assert 2 <= click[0] <= 7
    assert 12 <= click[1] <= 17
    assert correcting_click(truth, truth) is None


def test_baselines_find_bright_squares():
    image = (two_squares() > 0) * 100.0
    foreground = otsu_foreground(image)
    assert mask_iou(otsu_object(foreground, (4, 4)), two_squares() == 3) > 0.7
    assert len(np.unique(otsu_watershed(foreground))) == 3
    assert not otsu_foreground(np.ones((5, 5))).any()
