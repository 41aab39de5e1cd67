import numpy as np
import pytest
import torch
from scipy import ndimage

from napari_sam.training import augmentation


def test_compression_rounds_blocks_and_keeps_their_mean():
    image = torch.rand(1, 1, 16, 24, generator=torch.Generator().manual_seed(0))
    rounded = augmentation._compressed(image, np.array([0.5]))
    assert len(rounded.mul(1e4).round().unique()) < 200
    assert float(rounded.mean()) == pytest.approx(float(image.mean()), abs=0.05)
    same = augmentation._compressed(image, np.array([1e-6]))
    assert torch.allclose(same, image, atol=1e-4)


def test_a_blur_is_a_gaussian_of_each_images_own_width():
    image = torch.rand(2, 3, 32, 32, generator=torch.Generator().manual_seed(0))
    blurred = augmentation._blurred(image, np.array([0.5, 1.5]))
    for one, given, sigma in zip(blurred.numpy(), image.numpy(), (0.5, 1.5), strict=True):
        expected = ndimage.gaussian_filter(given, (0, sigma, sigma), mode="mirror")
        assert np.abs(one - expected).max() < 1e-3


def test_looks_are_the_same_from_the_same_seed_and_vary():
    images = torch.rand(40, 3, 16, 16, generator=torch.Generator().manual_seed(0))
    images[::2] = images[::2, :1]
    grays = [True, False] * 20
    augmented = augmentation.augment(images, grays, 3)
    assert torch.equal(augmented, augmentation.augment(images, grays, 3))
    assert 0 <= float(augmented.min()) <= float(augmented.max()) <= 1
    assert (augmented - images).abs().mean((1, 2, 3)).min() > 0
    gray = (augmented == augmented[:, :1]).all((1, 2, 3))
    assert 0.3 < float(gray[::2].float().mean()) < 0.9
    assert gray[1::2].any()
