import numpy as np
import pytest

from napari_sam.segmentation.prompts import Prompts


def test_points_are_positive_unless_said():
    prompts = Prompts(points=[(1, 2), (3, 4)])
    assert prompts.point_labels.tolist() == [1, 1]
    assert prompts.n_points == 2
    assert not prompts.is_empty


def test_prompts_are_values():
    given = np.array([[1.0, 2.0]])
    prompts = Prompts(points=given)
    given[0, 0] = 9
    assert prompts.points.tolist() == [[1, 2]]
    with pytest.raises(ValueError, match="read-only"):
        prompts.points[0, 0] = 5


def test_empty_prompts():
    assert Prompts().is_empty
    assert Prompts(points=[]).is_empty
    assert not Prompts(box=(0, 0, 1, 1)).is_empty


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"points": (1, 2, 3)}, r"points must have shape \(N, 2\).*got \(3,\); wrap a single"),
        ({"points": [(1, 2, 3)]}, r"got \(1, 3\)$"),
        ({"points": [(1, np.nan)]}, "points must be finite"),
        ({"points": ["ab"]}, "points must be numbers"),
        ({"points": [(1, 2)], "point_labels": [1, 0]}, r"point_labels must have shape \(1,\)"),
        ({"points": [(1, 2)], "point_labels": [2]}, r"must be 1 \(object\) or 0"),
        ({"point_labels": [1]}, "without points"),
        ({"box": (1, 2, 3)}, r"box must have shape \(4,\).*got \(3,\)"),
        ({"box": (5, 0, 1, 9)}, "min <= max"),
        ({"mask_input": np.zeros((1, 4, 4))}, r"mask_input must have shape \(h, w\)"),
    ],
)
def test_what_is_wrong_is_said(options, message):
    with pytest.raises(ValueError, match=message):
        Prompts(**options)


def test_outside_an_image():
    shape = (256, 256)
    Prompts(points=[(0, 255)], box=(-3, -3, 300, 300)).check_inside(shape)
    with pytest.raises(ValueError, match=r"Point \(512, 40\) lies outside the image of shape"):
        Prompts(points=[(512, 40)]).check_inside(shape)
    with pytest.raises(ValueError, match="lies outside the image"):
        Prompts(box=(300, 0, 310, 10)).check_inside(shape)
