import numpy as np
import pytest
import torch
from scipy import ndimage

from napari_sam.training.crops import Crops, Shelf, draw_crops, draw_look
from napari_sam.training.samples import Sample, typical_diameter


def disc_sample(radius: float = 10) -> Sample:
    rows, cols = np.mgrid[:100, :120]
    labels = (np.hypot(rows - 50, cols - 60) < radius).astype(np.int32)
    return Sample(name="disc", source="drawn", image=labels * 200.0, labels=labels)


def test_typical_diameter_of_a_disc():
    assert typical_diameter(disc_sample().labels) == pytest.approx(20, abs=0.5)
    assert typical_diameter(np.zeros((4, 4), int)) == 32


def drawn(seed: int, radius: float = 10, **given: float) -> Crops:
    size = given.pop("size")
    look = draw_look(disc_sample(radius), np.random.default_rng(seed), size=size, **given)
    return draw_crops([look], size, Shelf(torch.device("cpu")))


def test_a_view_shows_objects_at_the_wanted_size():
    crops = drawn(1, size=256, diameter=40, spread=0)
    area = int((crops.labels > 0).sum())
    assert crops.images.shape == (1, 3, 256, 256)
    assert 2 * np.sqrt(area / np.pi) == pytest.approx(40, rel=0.05)
    assert 0 <= crops.images.min() <= crops.images.max() <= 1


def test_image_and_labels_move_together():
    for seed in range(10):
        crops = drawn(seed, 25, size=128, diameter=50, spread=0.2)
        image, inside = crops.images[0, 0], crops.labels[0] > 0
        assert abs(image[inside].median() - image[~inside].median()) > 0.5


def test_views_are_the_same_from_the_same_seed():
    first, second = (drawn(3, size=64, diameter=20) for _ in range(2))
    assert torch.equal(first.images, second.images)
    assert torch.equal(first.labels, second.labels)


def test_the_draws_of_a_look_keep_their_order():
    """A seed gives the views that it gave when `nano` was trained."""
    rng = np.random.default_rng(1)
    look = draw_look(disc_sample(), rng, size=64, diameter=30, spread=0.3)
    assert look.scale == pytest.approx(1.688659, abs=1e-6)
    assert look.centre == pytest.approx((38.314715, 53.705094), abs=1e-6)
    assert look.down == pytest.approx((0.383638, -0.451117), abs=1e-6)
    assert look.right == pytest.approx((0.451117, 0.383638), abs=1e-6)


@pytest.mark.parametrize("far", [0.5, 2.0])
def test_views_show_the_places_that_were_chosen(far):
    rows, cols = np.mgrid[:90, :120].astype(np.float32)
    sample = Sample(
        name="ramp",
        source="drawn",
        image=(rows + 200 * cols).astype(np.uint16),
        labels=np.ones((90, 120), np.int32),
        nested=(np.mgrid[:90, :120][0] // 30 + 1).astype(np.uint16),
    )
    look = draw_look(sample, np.random.default_rng(5), size=64, diameter=1, spread=0)
    look = look._replace(scale=1 / far, down=(0, far), right=(far, 0), centre=(45, 60))
    look = look._replace(black=0.0, white=30000.0)
    crops = draw_crops([look], 64, Shelf(torch.device("cpu")))
    away = (np.arange(64) + 0.5 - 32) * far
    row, col = 45 + away[None] - 0.5, 60 + away[:, None] - 0.5
    inside = crops.inside[0].numpy()
    core = ndimage.binary_erosion(inside, iterations=2)
    assert np.array_equal(inside, ((away >= -45) & (away < 45)) & (np.abs(away) < 60)[:, None])
    expected = (row + 200 * col) / 30000
    assert np.abs(crops.images[0, 0].numpy() - expected)[core].max() < 0.01
    wholes = np.broadcast_to((row + 0.5) // 30 + 1, inside.shape)
    assert np.array_equal(crops.nested[0].numpy()[inside], wholes[inside])
    assert not crops.labels[0].numpy()[~inside].any()


def test_a_shelf_holds_what_it_has_room_for():
    shelf = Shelf(torch.device("cpu"))
    shelf._room = 100 * 120 * 12 + 10
    first, second = disc_sample(), disc_sample()
    kept, passed = (shelf.layers(sample)[0] for sample in (first, second))
    assert shelf.layers(first)[0] is kept
    assert shelf.layers(second)[0] is not passed
