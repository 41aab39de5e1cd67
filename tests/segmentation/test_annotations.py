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
    annotations_from_records,
    compact,
    labels_from_annotations,
)
from napari_sam.segmentation.labels import MaskRecord
from napari_sam.segmentation.rle import decode_mask

LABELS = npst.arrays(
    st.sampled_from([np.uint8, np.int32, np.uint64]),
    npst.array_shapes(min_dims=2, max_dims=4, max_side=6),
    elements=st.integers(0, 9),
)


def square(label_id, corner, side, score=None, **options) -> Annotation:
    mask = np.ones((side, side), bool)
    return Annotation(label_id=label_id, mask=mask, corner=corner, predicted_iou=score, **options)


@given(LABELS)
def test_labels_come_back(labels):
    again = labels_from_annotations(annotations_from_labels(labels), labels.shape)
    assert again.dtype == np.uint32
    assert np.array_equal(again, labels)


def test_an_object_is_cut_to_its_box_and_has_what_is_known_of_it():
    labels = np.zeros((2, 8, 9), np.uint16)
    labels[1, 2:5, 3:7] = 40_000
    labels[0, 0, 0] = 3
    first, second = annotations_from_labels(
        labels,
        categories={40_000: "cell"},
        predicted_iou={40_000: 0.5},
        properties={40_000: {"note": "x"}},
    )
    assert (first.label_id, first.plane, first.category, first.predicted_iou) == (
        3, (0,), "object", None,
    )  # fmt: skip
    assert (second.corner, second.mask.shape, second.plane) == ((2, 3), (3, 4), (1,))
    assert (second.category, second.predicted_iou, second.area) == ("cell", 0.5, 12)
    assert second.properties == {"note": "x"}
    assert np.array_equal(decode_mask(second.rle((8, 9))), labels[1] > 0)


def test_touching_objects_stay_two():
    labels = np.array([[1, 1, 2, 2], [1, 2, 2, 1]])
    one, two = annotations_from_labels(labels)
    assert one.mask.tolist() == [[True, True, False, False], [True, False, False, True]]
    assert (two.corner, two.area) == ((0, 1), 4)


def test_empty_labels_have_no_objects():
    assert annotations_from_labels(np.zeros((5, 6), int)) == []
    assert annotations_from_labels(np.zeros((0, 6), int)) == []
    assert labels_from_annotations([], (2, 3)).tolist() == [[0] * 3] * 2


def test_of_objects_that_overlap_the_smaller_is_on_top():
    objects = [square(1, (1, 1), 2, 0.2), square(2, (0, 0), 4, 0.9)]
    assert labels_from_annotations(objects, (4, 4))[1, 1] == 1
    assert labels_from_annotations(objects, (4, 4), on_top="score")[1, 1] == 2
    same_size = [square(1, (0, 0), 2, 0.9), square(2, (0, 1), 2, 0.8)]
    assert labels_from_annotations(same_size, (2, 3)).tolist() == [[1, 1, 2]] * 2
    drawn = [square(1, (0, 0), 3), square(2, (0, 0), 2, 0.8)]
    assert (labels_from_annotations(drawn, (3, 3), on_top="score") == 1).all()


def test_planes_without_objects_are_planes():
    image = AnnotatedImage(shape=(3, 4, 4), annotations=[square(1, (0, 0), 2, plane=(1,))])
    assert {index: len(found) for index, found in image.planes().items()} == {
        (0,): 0, (1,): 1, (2,): 0,
    }  # fmt: skip
    assert image.plane_shape == (4, 4)
    assert image.labels().sum() == 4


def test_records_keep_what_the_filters_looked_at():
    record = MaskRecord(
        mask=np.ones((2, 3), bool),
        box=(4, 5, 6, 8),
        area=6,
        predicted_iou=0.75,
        stability_score=0.5,
        point=(4.5, 6.0),
        crop_box=(0, 2, 10, 22),
    )
    [found] = annotations_from_records([record])
    assert (found.label_id, found.corner, found.predicted_iou) == (1, (4, 5), 0.75)
    assert found.properties == {
        "stability_score": 0.5,
        "point_coords": [[6.0, 4.5]],
        "crop_box": [2, 0, 20, 10],
    }


def test_high_ids_are_counted_over():
    labels = np.array([[0, 2**40], [7, 2**40]])
    ids, numbers = compact(labels)
    assert np.array_equal(ids[numbers], labels)
    assert numbers.max() == 2
    assert {found.label_id for found in annotations_from_labels(labels)} == {7, 2**40}
    highest = np.full((2, 2), 2**64 - 1, np.uint64)
    [found] = annotations_from_labels(highest)
    assert found.label_id == 2**64 - 1
    drawn = labels_from_annotations([found], (2, 2))
    assert drawn.dtype == np.uint64
    assert np.array_equal(drawn, highest)


@pytest.mark.parametrize("highest", [2**15, 2**17, 2**40])
@pytest.mark.parametrize("share", [0.01, 0.9])
def test_few_high_ids_are_few_numbers(highest, share):
    rng = np.random.default_rng(0)
    labels = np.where(rng.random((400, 500)) < share, rng.choice([5, 9, highest], (400, 500)), 0)
    ids, numbers = compact(labels)
    assert np.array_equal(ids[numbers], labels)
    assert ids[0] == 0
    assert len(ids) == (2**15 + 1 if highest == 2**15 else 4)


def test_many_high_ids_are_counted_as_they_are():
    labels = np.arange(400 * 500).reshape(400, 500)
    ids, numbers = compact(labels)
    assert numbers is labels
    assert np.array_equal(ids, labels.reshape(-1))


@pytest.mark.parametrize(
    ("labels", "message"),
    [
        (np.zeros((3, 3)), "must be integers, got float64"),
        (np.full((3, 3), -1), "got -1"),
        (np.zeros(3, int), r"got the shape \(3,\)"),
    ],
)
def test_what_is_no_labels_is_refused(labels, message):
    with pytest.raises(ValueError, match=message):
        annotations_from_labels(labels)


def test_masks_count_as_labels():
    [found] = annotations_from_labels(np.eye(2, dtype=bool))
    assert (found.label_id, found.area) == (1, 2)


@pytest.mark.parametrize(
    "found",
    [square(1, (3, 3), 2), square(1, (-1, 0), 2), square(1, (0, 0), 2, plane=(0,))],
)
def test_objects_outside_the_image_are_refused(found):
    with pytest.raises(ValueError, match=r"does not lie in an image of shape \(4, 4\)"):
        AnnotatedImage(shape=(4, 4), annotations=[found])
    with pytest.raises(ValueError, match="does not lie"):
        labels_from_annotations([found], (4, 4))


def test_other_values_are_refused():
    with pytest.raises(ValueError, match="0 is background"):
        square(0, (0, 0), 2)
    with pytest.raises(ValueError, match="must be \\(h, w\\) bool"):
        Annotation(label_id=1, mask=np.ones((2, 2)), corner=(0, 0))
    with pytest.raises(ValueError, match=r"below 2\*\*64"):
        labels_from_annotations([square(2**64, (0, 0), 2)], (4, 4))
    with pytest.raises(ValueError, match="'small' or 'score'"):
        labels_from_annotations([], (4, 4), on_top="big")
    with pytest.raises(ValueError, match="shape must be"):
        AnnotatedImage(shape=(4,), annotations=[])


def test_shapes_of_numpy_become_plain():
    image = AnnotatedImage(shape=[np.int64(3), np.uint16(4)], annotations=[])
    assert image.shape == (3, 4)
    assert [type(length) for length in image.shape] == [int, int]


def test_values_of_numpy_and_pandas_become_plain():
    one = square(
        np.int64(3),
        np.array([1, 2]),
        2,
        np.float32(0.5),
        plane=(np.int64(4),),
        properties={"a": np.float32(0.5), "n": np.int64(2), "gone": np.nan, "many": np.arange(2.0)},
    )
    assert json.loads(json.dumps(one.properties)) == one.properties
    assert one.properties == {"a": 0.5, "n": 2, "gone": None, "many": [0, 1]}
    assert (one.label_id, one.corner, one.plane) == (3, (1, 2), (4,))
    assert type(one.predicted_iou) is float
    assert square(1, (0, 0), 2, np.nan).predicted_iou is None
