"""Estimating how large objects are, with a segmenter that is right at one scale only."""

import numpy as np
import pytest
from scipy import ndimage

from napari_sam.segmentation.scale import diameter_of_instances, typical_size


def discs(diameter: float, side: int = 400, spacing: int = 80) -> np.ndarray:
    rows, cols = np.mgrid[:side, :side]
    away = np.hypot(rows % spacing - spacing / 2, cols % spacing - spacing / 2)
    return (away < diameter / 2).astype(np.float32)[..., None]


def threshold(part, scale):
    """Segment exactly, at any scale."""
    zoomed = ndimage.zoom(part[..., 0], scale, order=0)
    return ndimage.label(zoomed > 0.5)[0]


@pytest.mark.parametrize("diameter", [12, 25, 50])
def test_discs_are_measured(diameter):
    found = diameter_of_instances(discs(diameter), threshold, 36.0)
    assert found == pytest.approx(diameter, rel=0.15)


def test_scales_where_objects_merge_hardly_count():
    def short_sighted(part, scale):
        labels = threshold(part, scale)
        if scale >= 2:
            return labels
        height, width = labels.shape  # from too far, everything is three large stripes
        return np.repeat(np.array([[1], [2], [3]]), height // 3, axis=0) * np.ones(width, int)

    found = diameter_of_instances(discs(16), short_sighted, 36.0)
    assert found == pytest.approx(16, rel=0.25)


def test_nothing_seen_is_none():
    empty = np.zeros((100, 100, 1), np.float32)
    assert diameter_of_instances(empty, threshold, 36.0) is None


def test_typical_size_needs_three_objects():
    labels = np.zeros((40, 40), int)
    labels[:10, :10], labels[20:30, :10] = 1, 2
    assert typical_size(labels) is None
    labels[20:30, 20:30] = 3
    assert typical_size(labels) == pytest.approx(2 * np.sqrt(100 / np.pi))


def areas_as_labels(areas: list[int]) -> np.ndarray:
    return np.repeat(np.arange(1, len(areas) + 1), areas)[None]


@pytest.mark.parametrize(
    ("areas", "typical"),
    [
        ([16] * 6 + [256] * 4, 256),  # specks, though they are more
        ([81] * 6 + [10_000], 81),  # merged objects, though they hold most pixels
    ],
)
def test_neither_specks_nor_merged_objects_decide(areas, typical):
    assert typical_size(areas_as_labels(areas)) == pytest.approx(2 * np.sqrt(typical / np.pi))
