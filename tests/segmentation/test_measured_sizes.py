"""What sizes are measured on instances, and what is made of those seen at several scales."""

import numpy as np
import pytest
from scipy import ndimage

from napari_sam.segmentation.measured_sizes import TypicalSize, measured_diameter, typical_size

SCALES = (0.5, 1.0, 2.0, 4.0)


def discs(diameter: float, side: int = 400, spacing: int = 80) -> np.ndarray:
    rows, cols = np.mgrid[:side, :side]
    away = np.hypot(rows % spacing - spacing / 2, cols % spacing - spacing / 2)
    return (away < diameter / 2).astype(np.float32)


def threshold(image, scale):
    """Segment exactly, and surely, at any scale."""
    zoomed = ndimage.zoom(image, scale, order=0)
    return ndimage.label(zoomed > 0.5)[0], zoomed


def measure(image, segment, known_diameter):
    seen = {scale: typical_size(*segment(image, scale)) for scale in SCALES}
    return measured_diameter(seen, known_diameter)


@pytest.mark.parametrize("diameter", [12, 25, 50])
def test_discs_are_measured(diameter):
    assert measure(discs(diameter), threshold, 36.0) == pytest.approx(diameter, rel=0.15)


def test_scales_where_objects_merge_hardly_count():
    def short_sighted(image, scale):
        labels, foreground = threshold(image, scale)
        if scale >= 2:
            return labels, foreground
        stripes = 1 + np.arange(len(labels)) // (len(labels) // 3 + 1)  # from too far: three
        return np.broadcast_to(stripes[:, None], labels.shape), np.ones(labels.shape)

    assert measure(discs(16), short_sighted, 36.0) == pytest.approx(16, rel=0.25)


def test_scales_where_little_is_sure_hardly_count():
    def doubtful_from_afar(image, scale):
        labels, foreground = threshold(image, scale)
        if scale >= 1:
            return labels, foreground
        specks = 1 + np.arange(labels.size).reshape(labels.shape) // 20
        return specks, np.full(labels.shape, 0.55)

    found = measure(discs(50), doubtful_from_afar, 16.0)  # in between
    assert found == pytest.approx(50, rel=0.2)


def test_a_diameter_is_of_the_image_not_of_the_scale():
    assert measured_diameter({0.25: TypicalSize(40.0, 0.9)}, 36.0) == pytest.approx(160)
    assert measured_diameter({}, 36.0) is None


def test_typical_size_needs_two_objects():
    labels = np.zeros((40, 40), int)
    assert typical_size(labels, np.ones(labels.shape)) is None
    labels[:10, :10] = 1
    assert typical_size(labels, np.ones(labels.shape)) is None
    labels[20:30, :10] = 2
    diameter, sure = typical_size(labels, np.ones(labels.shape))
    assert diameter == pytest.approx(2 * np.sqrt(100 / np.pi))
    assert sure == pytest.approx(1)


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
    labels = areas_as_labels(areas)
    diameter, _ = typical_size(labels, np.ones(labels.shape))
    assert diameter == pytest.approx(2 * np.sqrt(typical / np.pi))


def test_many_doubtful_specks_do_not_decide_over_few_sure_objects():
    labels = areas_as_labels([16] * 200 + [900] * 3)
    foreground = np.where(labels > 200, 0.98, 0.6)
    diameter, sure = typical_size(labels, foreground)
    assert diameter == pytest.approx(2 * np.sqrt(900 / np.pi))
    assert 0.3 < sure < 0.6
    assert typical_size(labels, np.ones(labels.shape))[0] == pytest.approx(2 * np.sqrt(16 / np.pi))
