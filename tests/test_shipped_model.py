"""The model in the package does its job on a picture that it has never seen."""

import csv
from pathlib import Path

import imageio.v3 as iio
import numpy as np
import pytest
import tifffile
from skimage.data import coins
from skimage.draw import ellipse
from skimage.transform import resize

from napari_sam.cli import main
from napari_sam.segmentation.predictor import Predictor
from napari_sam.segmentation.prompts import Prompts
from napari_sam.training.metrics import iou_matrix, mask_iou


def drawn_coins() -> np.ndarray:
    """Draw the 24 coins as ellipses that were fitted to their outlines and checked by eye."""
    labels = np.zeros(coins().shape, int)
    with (Path(__file__).parent / "fixtures" / "coins.csv").open() as file:
        for number, row in enumerate(csv.DictReader(file), start=1):
            centre_and_radii = [float(value) for value in row.values()]
            labels[ellipse(*centre_and_radii, shape=labels.shape)] = number
    return labels


@pytest.fixture(scope="module")
def truth():
    labels = drawn_coins()
    assert labels.max() == 24
    return labels


def test_everything_finds_the_coins(truth, tmp_path):
    iio.imwrite(tmp_path / "coins.png", coins())
    output = tmp_path / "labels.tif"
    assert main(["everything", str(tmp_path / "coins.png"), "-o", str(output)]) == 0
    iou = iou_matrix(truth, tifffile.imread(output))
    found = int((iou.max(1) >= 0.7).sum())
    assert found >= 22
    assert iou.shape[1] <= 30  # and little else


def test_a_click_on_each_coin(truth):
    predictor = Predictor("nano", "cpu")
    embedding = predictor.embed(coins())
    numbers = range(1, 25)
    centres = [np.argwhere(truth == number).mean(0) for number in numbers]
    answers = predictor.predict(embedding, [Prompts(points=[centre]) for centre in centres])
    ious = [
        mask_iou(answer.masks[answer.best], truth == number)
        for number, answer in zip(numbers, answers, strict=True)
    ]
    assert np.mean(ious) >= 0.8


@pytest.mark.parametrize("zoom", [0.4, 1, 2.5, 5])
def test_the_size_of_coins_is_seen_at_any_magnification(truth, zoom):
    shape = [round(length * zoom) for length in coins().shape]
    image = resize(coins(), shape, order=1, anti_aliasing=zoom < 1, preserve_range=True)
    typical = 2 * np.sqrt(np.median(np.bincount(truth.ravel())[1:]) / np.pi)
    found = Predictor("nano", "cpu").estimate_diameter(image.astype(np.uint8))
    assert found / zoom == pytest.approx(typical, rel=0.25)


def test_few_objects_on_noisy_ground_are_not_taken_for_specks():
    image = np.random.default_rng(0).normal(100, 8, (1700, 1700)).astype(np.float32)
    rows, cols = np.ogrid[:1700, :1700]
    for row, col in [(256, 256), (512, 768), (1200, 1000)]:
        image[np.hypot(rows - row, cols - col) < 18] += 90
    assert 18 < Predictor("nano", "cpu").estimate_diameter(image) < 60
