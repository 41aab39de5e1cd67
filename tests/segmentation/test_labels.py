"""Records to labels: who lies on top, at each level."""

import numpy as np

from napari_sam.segmentation.labels import labels_from_records
from napari_sam.segmentation.part_tree import PartTree
from tests.segmentation.drawn_records import SHAPE, field_of_cells, rectangle


def areas(labels) -> list[int]:
    return sorted(np.bincount(labels.ravel())[1:].tolist())


def test_levels_draw_other_objects():
    records = field_of_cells()
    assert len(areas(labels_from_records(records, SHAPE))) == 7
    assert areas(labels_from_records(records, SHAPE, "largest")) == [6000]
    assert areas(labels_from_records(records, SHAPE, "smallest")) == [4, 25, 196]
    assert areas(labels_from_records(records, SHAPE, "one size")) == [400, 400, 400]


def test_at_a_level_the_better_score_lies_on_top():
    better, worse = rectangle(0, 0, 20, 20, iou=0.95), rectangle(0, 15, 20, 30, iou=0.9)
    for records in ([better, worse], [worse, better]):
        assert areas(labels_from_records(records, SHAPE, "largest")) == [200, 400]
        assert areas(labels_from_records(records, SHAPE, "all")) == [300, 300]  # small on top


def test_of_equal_scores_the_earlier_lies_on_top():
    first, second = rectangle(0, 0, 20, 20), rectangle(0, 15, 20, 35)
    labels = labels_from_records([first, second], SHAPE, "largest")
    assert labels[5, 17] == labels[5, 2] != labels[5, 30]


def test_a_tree_at_hand_is_used():
    records = field_of_cells()[1:]
    flat = PartTree(parents=np.full(6, -1), areas=PartTree.of(records).areas)
    assert areas(labels_from_records(records, SHAPE, "smallest")) == [4, 25, 196]
    assert areas(labels_from_records(records, SHAPE, "smallest", tree=flat)) == [400, 400, 400]
