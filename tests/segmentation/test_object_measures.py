import numpy as np
import pytest
from scipy import ndimage
from skimage.measure import regionprops_table
from skimage.morphology import convex_hull_image

from napari_sam.segmentation.object_measures import measure_intensities, measure_shapes

SHAPES = (
    "label",
    "area",
    "centroid",
    "equivalent_diameter_area",
    "axis_major_length",
    "axis_minor_length",
    "bbox",
)
INTENSITIES = ("intensity_mean", "intensity_max", "intensity_min")


def blobs(shape, seed=0) -> np.ndarray:
    noise = ndimage.gaussian_filter(np.random.default_rng(seed).random(shape), 1.2)
    return ndimage.label(noise > 0.52)[0]


def assert_measured(found, expected, rtol=1e-9):
    assert set(found) == set(expected)
    for name, values in expected.items():
        # of a straight line the minor axis is the root of a rounding error
        np.testing.assert_allclose(found[name], values, rtol=rtol, atol=1e-6, err_msg=name)
        assert found[name].dtype.kind == values.dtype.kind


@pytest.mark.parametrize("strip", [50, 2**20])
@pytest.mark.parametrize(
    ("shape", "spacing"), [((60, 70), (1, 1)), ((60, 70), (0.5, 2.5)), ((9, 30, 40), (3, 1, 0.5))]
)
def test_shapes_are_those_of_scikit_image(shape, spacing, strip, monkeypatch):
    monkeypatch.setattr("napari_sam.segmentation.object_measures._STRIP", strip)
    labels = blobs(shape)
    labels[..., 0, :3] = labels.max() + 3  # a line, and numbers without pixels
    names = (*SHAPES, "eccentricity", "solidity") if len(shape) == 2 else SHAPES
    expected = regionprops_table(labels, properties=names, spacing=spacing, separator="-")
    assert_measured(measure_shapes(labels, spacing), expected)


@pytest.mark.parametrize("dtype", [np.uint8, np.float32, bool])
@pytest.mark.parametrize("channels", [(), (1,), (3,)])
def test_intensities_are_those_of_scikit_image(dtype, channels):
    labels = blobs((40, 50))
    image = (np.random.default_rng(1).random((40, 50, *channels)) * 255).astype(dtype)
    expected = regionprops_table(labels, image, properties=INTENSITIES, separator="-")
    # scikit-image adds float32 up as such
    assert_measured(measure_intensities(labels, image), expected, rtol=1e-5)


def test_pixels_that_are_no_number_are_told():
    labels = np.array([[1, 1, 2]])
    found = measure_intensities(labels, np.array([[np.nan, 1, 2]]))
    for values in found.values():
        np.testing.assert_array_equal(values, [np.nan, 2])


def test_nothing_has_no_rows():
    for shape in ((4, 5), (2, 4, 5), (0, 3)):
        found = measure_shapes(np.zeros(shape, int), (1,) * len(shape))
        assert {len(values) for values in found.values()} == {0}


def test_hulls_are_drawn_of_what_is_no_rectangle(monkeypatch):
    drawn = []

    def hull(mask):
        drawn.append(mask.shape)
        return convex_hull_image(mask)

    monkeypatch.setattr("napari_sam.segmentation.object_measures.convex_hull_image", hull)
    labels = np.arange(1, 17).reshape(4, 4).repeat(5, 0).repeat(5, 1)
    labels[1:4, 1] = 0
    found = measure_shapes(labels, (1, 1))
    assert drawn == [(5, 5)]
    assert found["solidity"].tolist() == [22 / 25, *[1] * 15]
