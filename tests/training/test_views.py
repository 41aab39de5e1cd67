"""Synthetic scenes, and random views of samples."""

import numpy as np
import pytest
import torch
from scipy import ndimage

from napari_sam.training import appearance
from napari_sam.training.crops import Crops, Shelf, draw_crops, draw_look
from napari_sam.training.samples import Sample, typical_diameter
from napari_sam.training.synthetic import draw_scene


@pytest.mark.parametrize("seed", range(6))
def test_scenes_are_the_same_from_the_same_seed(seed):
    first, second = draw_scene(seed, size=96), draw_scene(seed, size=96)
    assert np.array_equal(first.image, second.image)
    assert np.array_equal(first.labels, second.labels)
    assert first.image.dtype == np.uint8
    assert first.image.std() > 2
    assert first.labels.max() > 0


def test_all_kinds_of_scenes_are_drawn():
    kinds = {draw_scene(seed, size=64).tags["modality"] for seed in range(24)}
    assert kinds == {"cells", "tissue", "vesicles", "scattered"}


def test_nuclei_lie_in_their_cells():
    scenes = (draw_scene(seed, size=128) for seed in range(40))
    nested = [scene for scene in scenes if scene.nested is not None]
    assert nested
    for scene in nested:
        inside = scene.labels > 0
        assert np.array_equal(scene.labels[inside], scene.nested[inside])


def test_scattered_objects_have_kinds_and_some_scenes_are_stained():
    scenes = [draw_scene(seed, size=96) for seed in range(40)]
    scattered = [scene for scene in scenes if scene.tags["modality"] == "scattered"]
    assert {int(scene.kinds_of_labels().max()) for scene in scattered} == {1, 2}
    few = [scene for scene in scattered if scene.labels.max() <= 6]
    assert 0 < len(few) < len(scattered)
    assert all(len(scene.kinds_of_labels()) > scene.labels.max() for scene in scenes)
    assert any(scene.image.ndim == 3 for scene in scenes)


def test_compression_rounds_blocks_and_keeps_their_mean():
    image = torch.rand(1, 1, 16, 24, generator=torch.Generator().manual_seed(0))
    rounded = appearance._compressed(image, np.array([0.5]))
    assert len(rounded.mul(1e4).round().unique()) < 200
    assert float(rounded.mean()) == pytest.approx(float(image.mean()), abs=0.05)
    same = appearance._compressed(image, np.array([1e-6]))
    assert torch.allclose(same, image, atol=1e-4)


def test_a_blur_is_a_gaussian_of_each_images_own_width():
    image = torch.rand(2, 3, 32, 32, generator=torch.Generator().manual_seed(0))
    blurred = appearance._blurred(image, np.array([0.5, 1.5]))
    for one, given, sigma in zip(blurred.numpy(), image.numpy(), (0.5, 1.5), strict=True):
        expected = ndimage.gaussian_filter(given, (0, sigma, sigma), mode="mirror")
        assert np.abs(one - expected).max() < 1e-3


def test_looks_are_the_same_from_the_same_seed_and_vary():
    images = torch.rand(40, 3, 16, 16, generator=torch.Generator().manual_seed(0))
    images[::2] = images[::2, :1]
    grays = [True, False] * 20
    worn = appearance.wear(images, grays, 3)
    assert torch.equal(worn, appearance.wear(images, grays, 3))
    assert 0 <= float(worn.min()) <= float(worn.max()) <= 1
    assert (worn - images).abs().mean((1, 2, 3)).min() > 0
    gray = (worn == worn[:, :1]).all((1, 2, 3))
    assert 0.3 < float(gray[::2].float().mean()) < 0.9
    assert gray[1::2].any()


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
