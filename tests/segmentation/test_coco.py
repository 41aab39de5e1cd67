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
from napari_sam.segmentation.coco import from_coco, is_coco, to_coco
from napari_sam.segmentation.sa1b import from_sa1b, is_sa1b, to_sa1b

LABELS = npst.arrays(
    np.int32, npst.array_shapes(min_dims=2, max_dims=4, max_side=6), elements=st.integers(0, 9)
)


def image_of(labels, name="cells.tif", **known) -> AnnotatedImage:
    found = annotations_from_labels(labels, **known)
    return AnnotatedImage(shape=labels.shape, annotations=found, name=name)


def through_json(data):
    return json.loads(json.dumps(data, allow_nan=False))


def ring_and_square() -> np.ndarray:
    """A ring with a hole, and a square in the hole that touches the ring."""
    labels = np.zeros((6, 8), int)
    labels[1:6, 1:6] = 3
    labels[2:5, 2:5] = 0
    labels[2:4, 2:4] = 7
    return labels


@given(LABELS)
def test_labels_come_back(labels):
    [read] = from_coco(through_json(to_coco(image_of(labels))))
    assert read.name == "cells.tif"
    assert np.array_equal(read.labels(), labels)


def test_what_is_written():
    image = image_of(
        ring_and_square(),
        categories={3: "ring"},
        predicted_iou={3: 0.5},
        properties={7: {"note": "x"}},
    )
    data = to_coco(image)
    assert data["images"] == [{"id": 1, "width": 8, "height": 6, "file_name": "cells.tif"}]
    assert [(entry["id"], entry["name"]) for entry in data["categories"]] == [
        (1, "object"),
        (2, "ring"),
    ]
    ring, square = data["annotations"]
    assert ring["segmentation"]["size"] == [6, 8]
    assert (ring["id"], ring["image_id"], ring["category_id"], ring["label_id"]) == (1, 1, 2, 3)
    assert (ring["area"], ring["bbox"], ring["iscrowd"], ring["score"]) == (
        16,
        [1, 1, 5, 5],
        0,
        0.5,
    )
    assert (square["area"], square["bbox"], square["note"]) == (4, [2, 2, 2, 2], "x")
    assert "score" not in square


def test_classes_scores_and_crowds_come_back():
    labels = ring_and_square()
    known = {"categories": {3: "ring", 7: "square"}, "predicted_iou": {3: 0.5}}
    image = image_of(labels, **known, properties={7: {"note": "x"}})
    crowd = Annotation(label_id=9, mask=np.ones((1, 8), bool), corner=(0, 0), is_crowd=True)
    with_crowd = AnnotatedImage(shape=labels.shape, annotations=[*image.annotations, crowd])
    [read] = from_coco(through_json(to_coco(with_crowd)))
    assert [
        (found.label_id, found.category, found.predicted_iou, found.is_crowd, found.properties)
        for found in read.annotations
    ] == [
        (3, "ring", 0.5, False, {}),
        (7, "square", None, False, {"note": "x"}),
        (9, "object", None, True, {}),
    ]


def test_classes_are_numbered_in_the_order_asked_for():
    data = to_coco(image_of(np.eye(3, dtype=int)), categories=["zebra", "object"])
    assert [entry["name"] for entry in data["categories"]] == ["zebra", "object"]
    assert data["annotations"][0]["category_id"] == 2
    with pytest.raises(ValueError, match=r"must hold \['object'\], got \['zebra'\]"):
        to_coco(image_of(np.eye(3, dtype=int)), categories=["zebra"])


def test_a_stack_is_one_image_per_plane():
    labels = np.zeros((3, 4, 5), int)
    labels[0, 1, 1:3] = labels[1, 1, 1:4] = 6  # plane 2 is empty
    data = to_coco(image_of(labels, "stack.ome.tif"))
    assert [entry["file_name"] for entry in data["images"]] == [
        "stack.ome_0000.tif",
        "stack.ome_0001.tif",
        "stack.ome_0002.tif",
    ]
    assert [entry["plane"] for entry in data["images"]] == [[0], [1], [2]]
    assert [(entry["image_id"], entry["label_id"]) for entry in data["annotations"]] == [
        (1, 6),
        (2, 6),
    ]
    [read] = from_coco(through_json(data))
    assert (read.name, read.shape) == ("stack.ome.tif", (3, 4, 5))
    assert np.array_equal(read.labels(), labels)


def test_images_and_stacks_share_a_file():
    images = [
        image_of(np.eye(3, dtype=int), "a.png"),
        image_of(np.ones((2, 3, 4), int), "b.tif"),
        image_of(np.zeros((5, 6), int), "c.png"),
    ]
    read = from_coco(through_json(to_coco(images)))
    assert [(image.name, image.shape) for image in read] == [
        ("a.png", (3, 3)),
        ("b.tif", (2, 3, 4)),
        ("c.png", (5, 6)),
    ]
    with pytest.raises(ValueError, match="names that differ"):
        to_coco([images[1], images[1]])


def foreign(segmentation, **fields) -> dict:
    """A data set with one annotation, as other tools write them."""
    entry = {"id": 900100, "image_id": 42, "category_id": 18, "segmentation": segmentation}
    return {
        "images": [{"id": 42, "width": 8, "height": 6, "file_name": "a.jpg"}],
        "annotations": [{**entry, "iscrowd": 0, **fields}],
        "categories": [{"id": 18, "name": "dog", "supercategory": "animal"}],
    }


def only(data) -> Annotation:
    [image] = from_coco(through_json(data))
    [found] = image.annotations
    return found


RECTANGLE = [1, 2, 5, 2, 5, 4, 1, 4]  # x from 1 to 5, y from 2 to 4


@pytest.mark.parametrize(
    "segmentation",
    [
        [RECTANGLE],
        RECTANGLE,
        [[1, 2], [5, 2], [5, 4], [1, 4]],
        [[1, 2, 3, 2, 3, 4, 1, 4], [3.0, 2.0, 5.0, 2.0, 5.0, 4.0, 3.0, 4.0]],
        [[*RECTANGLE, 1, 2]],
        {"size": [6, 8], "counts": [8, 2, 4, 2, 4, 2, 4, 2, 20]},
    ],
)
def test_polygons_and_plain_counts_are_read(segmentation):
    found = only(foreign(segmentation))
    assert (found.corner, found.mask.tolist()) == ((2, 1), [[True] * 4] * 2)
    assert (found.label_id, found.category) == (1, "dog")


def test_what_other_tools_leave_out_or_write_otherwise():
    rle = {"size": [6, 8], "counts": [0, 48]}
    data = foreign(rle, attributes={"occluded": False}, score=0.25)
    del data["images"][0]["width"], data["categories"]
    data["annotations"][0]["image_id"] = "42"
    found = only(data)
    assert (found.area, found.category, found.predicted_iou) == (48, "18", 0.25)
    assert found.properties == {"attributes": {"occluded": False}}
    del data["annotations"][0]["category_id"]
    assert only(data).category == "object"


def test_results_of_a_detector_are_read():
    rle = {"size": [6, 8], "counts": [40, 8]}
    results = [
        {"image_id": 3, "category_id": 1, "score": 0.5, "segmentation": rle},
        {"image_id": 5, "category_id": 1, "score": 0.75, "segmentation": rle},
    ]
    first, second = from_coco(results)
    assert first.shape == second.shape == (6, 8)
    assert second.annotations[0].predicted_iou == 0.75


def test_results_that_are_boxes_are_left_out(caplog):
    rle = {"size": [6, 8], "counts": [40, 8]}
    box = {"image_id": 3, "category_id": 1, "score": 0.5, "bbox": [0, 0, 2, 2]}
    [image] = from_coco([box, {**box, "segmentation": rle}, {**box, "image_id": 4}])
    assert [found.area for found in image.annotations] == [8]
    assert caplog.messages == ["left out 2 annotations without a mask that can be drawn"]
    assert is_coco([box])
    with pytest.raises(ValueError, match="got none; boxes alone make no objects"):
        from_coco([box, box])


def test_boxes_without_masks_are_left_out(caplog):
    data = foreign([RECTANGLE])
    box = {"id": 2, "image_id": 42, "bbox": [0, 0, 2, 2]}
    outside = {"id": 3, "image_id": 42, "segmentation": [[90, 90, 99, 90, 99, 99]]}
    data["annotations"] += [box, {**box, "segmentation": []}, outside]
    data["images"].append({"id": 43, "width": 60_000, "height": 50_000, "file_name": "slide.tif"})
    whole = [[0, 0, 50_000, 0, 50_000, 50_000, 0, 50_000]]
    data["annotations"].append({"id": 4, "image_id": 43, "segmentation": whole})
    dogs, slide = from_coco(data)
    assert [found.category for found in dogs.annotations] == ["dog"]
    assert (slide.shape, list(slide.annotations)) == ((50_000, 60_000), [])
    assert caplog.messages == ["left out 4 annotations without a mask that can be drawn"]
    with pytest.raises(ValueError, match="boxes alone make no objects"):
        from_coco({"images": data["images"], "annotations": [box]})


@pytest.mark.parametrize(
    ("data", "message"),
    [
        ({"a": 1}, "got an object with 'a'"),
        ({}, "nothing in it"),
        ([], "got list"),
        ("coco", "got str 'coco'"),
        ({"images": [], "annotations": [1]}, "lists images and annotations"),
        (foreign([[1, 2, 3]]), "annotation 900100: polygons must be lists"),
        (foreign([["x", 1]]), "polygons must be lists"),
        (foreign("mask.png"), "polygons must be lists"),
        (foreign([[0, 0, 1e999, 0, 1, 1]]), "finite coordinates"),
        (foreign({"size": [8, 6], "counts": [48]}), r"\[6, 8\], got \[8, 6\]"),
        (foreign({"size": [6, 8], "counts": "!"}), "annotation 900100: compressed run lengths"),
        (foreign([RECTANGLE], image_id=7), "got the image_id 7"),
        (foreign([RECTANGLE], label_id="x"), "label_id must be a whole number, got 'x'"),
    ],
)
def test_garbage_is_refused(data, message):
    with pytest.raises(ValueError, match=message):
        from_coco(data)


def test_images_without_a_size_are_refused():
    data = foreign([RECTANGLE])
    data["images"][0]["height"] = None
    with pytest.raises(ValueError, match="image 42 must have width and height"):
        from_coco(data)


def test_planes_of_a_stack_must_fit():
    data = to_coco(image_of(np.ones((2, 3, 4), int)))
    data["images"][1]["width"] = 5
    with pytest.raises(ValueError, match="must have one size"):
        from_coco(data)
    data["images"][1]["plane"] = [0, 1]
    with pytest.raises(ValueError, match="as many plane numbers"):
        from_coco(data)


def test_planes_without_label_ids_do_not_share_objects():
    data = to_coco(image_of(np.ones((2, 3, 4), int)))
    for entry in data["annotations"]:
        del entry["label_id"]
    [read] = from_coco(data)
    assert [found.label_id for found in read.annotations] == [1, 2]


@pytest.mark.parametrize("label_id", [2**53 + 1, str(2**53 + 1)])
def test_large_label_ids_are_not_rounded(label_id):
    assert only(foreign([RECTANGLE], label_id=label_id)).label_id == 2**53 + 1


def test_sa1b_comes_back():
    labels = ring_and_square()
    extra = {"stability_score": 0.9, "point_coords": [[2.5, 3.5]], "crop_box": [0, 0, 8, 6]}
    image = image_of(labels, predicted_iou={3: 0.5}, properties={3: extra})
    data = through_json(to_sa1b(image, image_id=17))
    assert data["image"] == {"image_id": 17, "width": 8, "height": 6, "file_name": "cells.tif"}
    ring = data["annotations"][0]
    assert (ring["predicted_iou"], ring["stability_score"], ring["area"]) == (0.5, 0.9, 16)
    read = from_sa1b(data)
    assert np.array_equal(read.labels(), labels)
    assert read.annotations[0].properties == extra
    assert [found.predicted_iou for found in read.annotations] == [0.5, None]


def test_sa1b_has_one_plane_and_is_told_from_coco():
    with pytest.raises(ValueError, match="one by one, or use COCO"):
        to_sa1b(image_of(np.ones((2, 3, 4), int)))
    data = to_sa1b(image_of(ring_and_square()))
    assert is_sa1b(data)
    assert not is_coco(data)
    assert not is_sa1b(to_coco(image_of(ring_and_square())))
    with pytest.raises(ValueError, match="got an object with 'images'"):
        from_sa1b(foreign([RECTANGLE]))


def test_nothing_comes_back_as_nothing():
    empty = image_of(np.zeros((4, 5), int))
    [read] = from_coco(through_json(to_coco(empty)))
    assert (read.shape, list(read.annotations)) == ((4, 5), [])
    assert from_sa1b(to_sa1b(empty)).shape == (4, 5)
    assert from_coco({"images": [], "annotations": []}) == []
