import numpy as np
import pytest

from napari_sam.training.targets import instance_targets


def test_targets_of_a_disc_and_a_bar():
    rows, cols = np.mgrid[:32, :40]
    labels = np.zeros((32, 40), np.int32)
    labels[np.hypot(rows - 12, cols - 12) < 8.5] = 4
    labels[26:29, 5:36] = 9
    foreground, closeness, depth = instance_targets(labels)
    assert np.array_equal(foreground, labels > 0)
    assert closeness[12, 12] == depth[12, 12] == 1
    assert depth[27, 20] == 1
    assert closeness[labels == 4].min() == pytest.approx(0)
    assert depth[26, 20] == pytest.approx(0.5)
    assert closeness[labels == 0].max() == depth[labels == 0].max() == 0


def test_no_objects_no_targets():
    assert instance_targets(np.zeros((5, 6), np.int32)).max() == 0
