import numpy as np
import pytest
import torch
from scipy import ndimage

from napari_sam.training.targets import instance_targets, squared_depth


def test_targets_of_a_disc_and_a_bar():
    rows, cols = np.mgrid[:32, :40]
    labels = np.zeros((32, 40), np.int32)
    labels[np.hypot(rows - 12, cols - 12) < 8.5] = 4
    labels[26:29, 5:36] = 9
    foreground, closeness, depth = instance_targets(torch.from_numpy(labels)[None])[0].numpy()
    assert np.array_equal(foreground, labels > 0)
    assert closeness[12, 12] == depth[12, 12] == 1
    assert depth[27, 20] == 1
    assert closeness[labels == 4].min() == pytest.approx(0)
    assert depth[26, 20] == pytest.approx(0.5)
    assert closeness[labels == 0].max() == depth[labels == 0].max() == 0


def test_no_objects_no_targets():
    assert instance_targets(torch.zeros(1, 5, 6, dtype=torch.int32)).max() == 0


@pytest.mark.parametrize("seed", range(4))
@pytest.mark.parametrize("coarse", [1, 12, 300])
def test_depth_is_the_distance_to_another_label_or_the_border(seed, coarse):
    rng = np.random.default_rng(seed)
    labels = rng.integers(0, 4, (2, 300 // coarse, 320 // coarse + 1)).astype(np.int32)
    labels = labels.repeat(coarse, 1).repeat(coarse, 2)[:, :300, :320]
    squared = squared_depth(torch.from_numpy(labels)).numpy()
    for found, view in zip(squared, labels, strict=True):
        for label in np.unique(view):
            mask = np.pad(view == label, 1)
            expected = ndimage.distance_transform_edt(mask)[1:-1, 1:-1] ** 2
            assert np.abs(found - expected)[view == label].max() < 0.01


def test_views_do_not_share_objects():
    labels = torch.zeros(2, 24, 24, dtype=torch.int32)
    labels[0, 2:7, 2:7] = 1
    labels[1, 4:23, 4:23] = 1
    together = instance_targets(labels)
    apart = torch.cat([instance_targets(view[None]) for view in labels])
    assert torch.equal(together, apart)
