import json

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as npst

from napari_sam.segmentation.annotations import (
    AnnotatedImage,
    Annotation,
    annotations_from_labels,
)
from napari_sam.segmentation.geojson import from_geojson, is_geojson, to_geojson

LABELS = npst.arrays(
    np.int32, npst.array_shapes(min_dims=2, max_dims=4, max_side=6), elements=st.integers(0, 9)
)


def image_of(labels, **known) -> AnnotatedImage:
    found = annotations_from_labels(labels, **known)
    return AnnotatedImage(shape=labels.shape, annotations=found, name="cells.tif")


def through_json(data):
    return json.loads(json.dumps(data, allow_nan=False))


@given(LABELS)
def test_labels_come_back(labels):
    data = through_json(to_geojson(image_of(labels)))
    read = from_geojson(data)
    assert (read.shape, read.name) == (labels.shape, "cells.tif")
    assert np.array_equal(read.labels(), labels)


def test_pixels_begin_at_their_corners():
    labels = np.zeros((5, 6), int)
    labels[1:3, 2:5] = 4
    [feature] = to_geojson(image_of(labels))["features"]
    assert feature["geometry"] == {
        "type": "Polygon",
        "coordinates": [[[2, 1], [5, 1], [5, 3], [2, 3], [2, 1]]],
    }
    assert feature["properties"] == {"objectType": "detection", "measurements": {"label_id": 4}}


def test_holes_are_inner_rings_and_parts_are_polygons():
    labels = np.zeros((5, 9), int)
    labels[:3, :3] = 1
    labels[1, 1] = 2
    labels[4, [5, 8]] = 3
    ring, inner, parts = (
        feature["geometry"] for feature in to_geojson(image_of(labels))["features"]
    )
    assert [len(part) for part in ring["coordinates"]] == [5, 5]
    assert ring["coordinates"][1][0] == ring["coordinates"][1][-1]
    assert inner["type"] == "Polygon"
    assert (parts["type"], len(parts["coordinates"])) == ("MultiPolygon", 2)


def test_class_score_and_properties_are_what_qupath_has_for_them():
    image = image_of(
        np.array([[1, 2]]),
        categories={1: "Tumor", 2: "Stroma"},
        predicted_iou={1: 0.5},
        properties={1: {"Area µm^2": 2.5, "note": "x", "point": [1, 2]}, 2: {"color": [1, 2, 3]}},
    )
    data = through_json(to_geojson(image, object_type="annotation", colors={"Tumor": (200, 0, 0)}))
    tumor, stroma = (feature["properties"] for feature in data["features"])
    assert tumor == {
        "objectType": "annotation",
        "classification": {"name": "Tumor", "color": [200, 0, 0]},
        "measurements": {"label_id": 1, "predicted_iou": 0.5, "Area µm^2": 2.5},
        "metadata": {"note": "x"},
        "properties": {"point": [1, 2]},
    }
    assert stroma["classification"] == {"name": "Stroma", "color": [1, 2, 3]}
    first, second = from_geojson(data).annotations
    assert (first.category, first.predicted_iou) == ("Tumor", 0.5)
    assert first.properties == {
        "Area µm^2": 2.5,
        "note": "x",
        "color": [200, 0, 0],
        "point": [1, 2],
    }
    assert (second.category, second.predicted_iou) == ("Stroma", None)


def test_classes_have_colours_that_differ():
    image = image_of(np.array([[1, 2, 3]]), categories={1: "a", 2: "b", 3: "a"})
    found = [feature["properties"] for feature in to_geojson(image)["features"]]
    colors = [properties["classification"]["color"] for properties in found]
    assert colors[0] == colors[2] != colors[1]


def test_planes_are_z_and_t():
    stack = np.zeros((3, 4, 5), int)
    stack[0, 0, 0] = stack[2, 1, 1] = 1
    first, last = (feature["geometry"] for feature in to_geojson(image_of(stack))["features"])
    assert "plane" not in first
    assert last["plane"] == {"c": -1, "z": 2, "t": 0}
    series = np.zeros((2, 3, 4, 5), int)
    series[1, 2, 0, 0] = 1
    [feature] = to_geojson(image_of(series))["features"]
    assert feature["geometry"]["plane"] == {"c": -1, "z": 2, "t": 1}
    with pytest.raises(ValueError, match="holds"):
        to_geojson(image_of(np.ones((1, 1, 1, 2, 2), int)))


def square(left, top, side, **properties) -> dict:
    """A feature as QuPath writes it."""
    right, bottom = left + side, top + side
    ring = [[left, top], [right, top], [right, bottom], [left, bottom], [left, top]]
    geometry = {"type": "Polygon", "coordinates": [ring]}
    return {"type": "Feature", "id": "7e1c", "geometry": geometry, "properties": properties}


def on_plane(feature, **plane) -> dict:
    return {**feature, "geometry": {**feature["geometry"], "plane": {"c": -1, **plane}}}


def collection(*features) -> dict:
    return {"type": "FeatureCollection", "features": list(features)}


@pytest.mark.parametrize(
    "data",
    [
        collection(square(1, 2, 3)),
        [square(1, 2, 3)],
        square(1, 2, 3),
        square(1, 2, 3)["geometry"],
        {"type": "GeometryCollection", "geometries": [square(1, 2, 3)["geometry"]]},
        {**square(1, 2, 3), "properties": None},
    ],
)
def test_all_that_holds_polygons_is_read(data):
    assert is_geojson(data)
    read = from_geojson(data)
    [found] = read.annotations
    assert (read.shape, found.corner, found.area) == ((5, 4), (2, 1), 9)
    assert (found.label_id, found.category) == (1, "object")


@pytest.mark.parametrize(
    ("classification", "category", "color"),
    [
        ({"name": "Tumor", "color": [200, 0, 0]}, "Tumor", [200, 0, 0]),
        ({"name": "Tumor", "colorRGB": -3670016}, "Tumor", [200, 0, 0]),  # before QuPath 0.4
        (
            {"names": ["Tumor", "Positive"], "color": [250, 62, 62]},
            "Tumor: Positive",
            [250, 62, 62],
        ),
        ("Tumor", "Tumor", None),
        ({}, "object", None),
        (None, "object", None),
    ],
)
def test_classifications_of_all_versions_are_read(classification, category, color):
    [found] = from_geojson(square(0, 0, 2, classification=classification)).annotations
    assert found.category == category
    assert found.properties.get("color") == color


def test_measurements_of_all_versions_are_read():
    new = square(0, 0, 2, measurements={"label_id": 12, "Area": 4, "Solidity": float("nan")})
    old = square(
        2, 0, 2, measurements=[{"name": "label_id", "value": 7.0}, {"name": "Area", "value": 4}]
    )
    first, second, third = from_geojson(collection(new, old, square(4, 0, 2))).annotations
    assert (first.label_id, first.properties) == (12, {"Area": 4})
    assert (second.label_id, second.properties) == (7, {"Area": 4})
    assert third.label_id == 13


def test_planes_make_a_stack_as_deep_as_they_reach():
    deep = on_plane(square(0, 0, 2), z=3, t=0)
    assert from_geojson(deep).shape == (4, 2, 2)
    assert from_geojson(on_plane(square(0, 0, 2), z=1, t=2)).shape == (3, 2, 2, 2)
    read = from_geojson(deep, shape=(8, 5, 5))
    assert (read.shape, read.annotations[0].plane) == ((8, 5, 5), (3,))
    with pytest.raises(ValueError, match="t = 0, z = 3, outside an image of shape"):
        from_geojson(deep, shape=(5, 5))


def test_children_are_objects():
    parent = square(0, 0, 6, childObjects=[square(1, 1, 2, classification="Cell")])
    read = from_geojson(parent)
    assert [found.category for found in read.annotations] == ["object", "Cell"]
    assert read.labels()[1, 1] == 2


def test_outlines_between_pixels_take_the_pixels_whose_centres_they_hold():
    ring = [[0.6, 0.2, 0], [3.4, 0.2, 0], [3.4, 1.9, 0], [0.6, 1.9, 0]]
    read = from_geojson({"type": "Polygon", "coordinates": [ring]}, shape=(3, 5))
    assert read.labels().tolist() == [[0, 1, 1, 0, 0], [0, 1, 1, 0, 0], [0] * 5]


def test_objects_are_cut_at_the_border_and_left_out_beyond(caplog):
    point = {"type": "Feature", "geometry": {"type": "Point", "coordinates": [1, 1]}}
    nothing = {"type": "Feature", "geometry": None, "properties": {}}
    data = collection(square(-2, -2, 4), square(50, 50, 4), point, nothing)
    [found] = from_geojson(data, shape=(6, 6)).annotations
    assert (found.corner, found.area) == ((0, 0), 4)
    assert caplog.messages == [
        "left out 3 features that are no polygons in the image, or larger than 1073741824 pixels"
    ]
    with pytest.raises(ValueError, match="coordinates must be pixels"):
        from_geojson(collection(point))


def test_crowds_come_back():
    crowd = Annotation(label_id=1, mask=np.ones((2, 2), bool), corner=(0, 0), is_crowd=True)
    image = AnnotatedImage(shape=(2, 2), annotations=[crowd])
    assert from_geojson(to_geojson(image)).annotations[0].is_crowd


def test_nothing_comes_back_as_nothing():
    read = from_geojson(through_json(to_geojson(image_of(np.zeros((4, 5), int)))))
    assert (read.shape, list(read.annotations)) == ((4, 5), [])
    assert from_geojson(collection()).shape == (1, 1)


@pytest.mark.parametrize(
    ("data", "message"),
    [
        ({"images": []}, "must be a FeatureCollection"),
        ({"type": "FeatureCollection"}, "must be a FeatureCollection"),
        ([], "must be a FeatureCollection"),
        (collection(1), "must be an object of type Feature, got 1"),
        ({"type": "Polygon", "coordinates": [[1, 2, 3]]}, "feature 0 must have polygons"),
        ({"type": "Polygon", "coordinates": [[["a", "b"]]]}, "feature 0 must have polygons"),
        ({"type": "Polygon", "coordinates": [[[1], [2]]]}, "feature 0 must have polygons"),
        ({"type": "Polygon", "coordinates": [[[1, 1e999]]]}, "feature 0 must have polygons"),
        ({"type": "Polygon"}, "feature 0 must have polygons"),
        (on_plane(square(0, 0, 2), z="top"), "feature 0 must have polygons"),
    ],
)
def test_garbage_is_refused(data, message):
    with pytest.raises(ValueError, match=message):
        from_geojson(data)


def test_an_object_s_label_and_score_are_its_own():
    labels = np.zeros((6, 6), np.uint8)
    labels[1:3, 1:3], labels[4, 4] = 1, 2
    given = {1: {"label_id": 2, "predicted_iou": 0.1, "area": np.float32(4)}}
    annotations = annotations_from_labels(
        labels, predicted_iou={1: np.float32(0.75)}, properties=given
    )
    data = json.loads(json.dumps(to_geojson(AnnotatedImage(shape=(6, 6), annotations=annotations))))
    again = from_geojson(data).annotations
    assert [(one.label_id, one.predicted_iou) for one in again] == [(1, 0.75), (2, None)]
    assert data["features"][0]["properties"]["measurements"]["area"] == 4


def test_the_tissue_of_a_slide_is_left_out(caplog):
    tissue = square(1000, 1000, 40_000, classification={"name": "Tissue"})
    read = from_geojson(collection(tissue, square(3000, 3000, 20)))
    assert read.shape == (3020, 3020)  # as far as what is drawn
    assert [found.area for found in read.annotations] == [400]
    assert "left out 1 features" in caplog.messages[0]
    clipped = from_geojson(collection(tissue), shape=(1010, 1020))
    assert [found.area for found in clipped.annotations] == [200]
    with pytest.raises(ValueError, match="at most 1,073,741,824 pixels"):
        from_geojson(collection(tissue))
