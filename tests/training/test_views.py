"""Synthetic scenes, and random views of samples."""

import numpy as np
import pytest
import torch
from scipy import ndimage

from napari_sam.training import appearance
from napari_sam.training.crops import draw_crop
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


def test_a_view_shows_objects_at_the_wanted_size():
    crop = draw_crop(disc_sample(), np.random.default_rng(1), size=256, diameter=40, spread=0)
    area = (crop.labels > 0).sum()
    assert crop.image.shape == (1, 256, 256)
    assert 2 * np.sqrt(area / np.pi) == pytest.approx(40, rel=0.05)
    assert 0 <= crop.image.min() <= crop.image.max() <= 1


def test_image_and_labels_move_together():
    for seed in range(10):
        rng = np.random.default_rng(seed)
        crop = draw_crop(disc_sample(25), rng, size=128, diameter=50, spread=0.2)
        inside, outside = crop.image[:, crop.labels > 0], crop.image[:, crop.labels == 0]
        contrast = np.abs(np.median(inside, axis=1) - np.median(outside, axis=1)).max()
        assert contrast > 0.5


def test_views_are_the_same_from_the_same_seed():
    views = [
        draw_crop(disc_sample(), np.random.default_rng(3), size=64, diameter=20) for _ in range(2)
    ]
    assert np.array_equal(views[0].image, views[1].image)
    assert np.array_equal(views[0].labels, views[1].labels)
