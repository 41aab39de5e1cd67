"""Points and shapes of a layer of one's own come back as they were."""

import numpy as np
import pytest

from napari_sam.viewer.layers import LABEL_COLUMN, NEGATIVE, POSITIVE
from napari_sam.widgets.prompt_looks import PromptLooks
from tests.widgets.test_docks import has_mask, open_segment
from tests.widgets.test_segment_safety import SQUARE


@pytest.fixture
def looks():
    return PromptLooks()


def own_points(viewer):
    layer = viewer.add_points(
        [[8.0, 8.0], [9.0, 9.0], [30.0, 2.0]],
        features={"cell": ["a", "b", "c"], "weight": [0.5, 1.5, 2.5]},
        size=[3.0, 5.0, 7.0],
        symbol=["disc", "cross", "star"],
        face_color=["red", "green", "blue"],
        border_color="white",
    )
    layer.feature_defaults = {"cell": "new", "weight": 0.0}
    return layer


def test_after_a_commit_and_undo_own_points_are_what_they_were(viewer, qtbot):
    dock = open_segment(viewer)
    layer = own_points(viewer)
    before = layer.features.copy(), layer.size.copy(), list(layer.symbol), layer.face_color.copy()
    dock.prompts.points.choose(layer)
    qtbot.waitUntil(lambda: dock.session is not None and has_mask(dock, SQUARE))
    assert dock.commit() == 1
    assert len(layer.data) == 0
    dock.undo()
    assert layer.data.tolist() == [[8, 8], [9, 9], [30, 2]]
    assert layer.features[["cell", "weight"]].equals(before[0])
    assert layer.size.tolist() == before[1].tolist()
    assert list(layer.symbol) == before[2]
    np.testing.assert_array_equal(layer.face_color, before[3])
    assert layer.feature_defaults["cell"].tolist() == ["new"]


def test_of_several_points_each_has_its_own_look_in_any_order(viewer, looks):
    layer = own_points(viewer)
    looks.remove(layer, [0, 2])
    assert layer.features["cell"].tolist() == ["b"]
    looks.add(layer, lambda: layer.add([[30.0, 2.0], [1.0, 1.0], [8.0, 8.0]]))
    assert layer.features["cell"].tolist() == ["b", "c", "new", "a"]
    assert layer.size[[0, 1, 3]].tolist() == [5, 7, 3]
    assert [str(symbol) for symbol in layer.symbol][3] == "disc"


def test_colours_that_follow_features_still_do(viewer, looks):
    layer = own_points(viewer)
    layer.face_color = "cell"
    layer.face_color_cycle = ["red", "green", "blue"]
    before = layer.face_color.copy()
    looks.remove(layer, [1])
    looks.add(layer, lambda: layer.add([[9.0, 9.0]]))
    assert str(layer.face_color_mode) == "cycle"
    np.testing.assert_array_equal(layer.face_color, before[[0, 2, 1]])


def test_shapes_come_back_with_features_and_widths(viewer, looks):
    square = np.array([[2.0, 2.0], [2.0, 12.0], [12.0, 12.0], [12.0, 2.0]])
    layer = viewer.add_shapes(
        [square, square + 20],
        shape_type=["ellipse", "rectangle"],
        features={"cell": ["a", "b"]},
        edge_width=[2, 4],
        edge_color=["red", "green"],
    )
    looks.remove(layer, [1])
    assert layer.features["cell"].tolist() == ["a"]
    looks.add(layer, lambda: layer.add(square[::-1] + 20, shape_type="rectangle"))
    assert layer.features["cell"].tolist() == ["a", "b"]
    assert list(layer.edge_width) == [2, 4]
    np.testing.assert_allclose(layer.edge_color[:, :2], [[1, 0], [0, 0.50196]], atol=1e-3)


def test_a_place_that_nothing_was_taken_from_is_new(viewer, looks):
    layer = own_points(viewer)
    looks.remove(layer, [0])
    looks.add(layer, lambda: layer.add([[8.0, 9.0]]))
    assert layer.features["cell"].tolist() == ["b", "c", "new"]
    looks.add(layer, lambda: layer.add([[8.0, 8.0]]))
    assert layer.features["cell"].tolist() == ["b", "c", "new", "a"]


def test_what_comes_back_says_whether_it_is_part_of_the_object(viewer, looks):
    layer = viewer.add_points(
        [[8.0, 8.0]], features={LABEL_COLUMN: [NEGATIVE], "cell": ["a"]}, name="prompts"
    )
    looks.remove(layer, [0])
    layer.feature_defaults = {LABEL_COLUMN: POSITIVE, "cell": "new"}
    looks.add(layer, lambda: layer.add([[8.0, 8.0]]))
    assert layer.features[LABEL_COLUMN].tolist() == [POSITIVE]
    assert layer.features["cell"].tolist() == ["a"]
