"""The part-of tree on rectangles in rectangles: a field of cells with nuclei."""

import dataclasses

import numpy as np
import pytest

from napari_sam.segmentation.labels import labels_from_records
from napari_sam.segmentation.part_tree import PartTree
from tests.segmentation.drawn_records import SHAPE, field_of_cells, rectangle


def chosen(records, level) -> list[int]:
    return PartTree.of(records).choose(level).tolist()


def test_nuclei_lie_in_cells_and_cells_in_the_field():
    tree = PartTree.of(field_of_cells())
    assert tree.parents.tolist() == [-1, 0, 0, 0, 1, 2, 3]
    assert tree.depth.tolist() == [0, 1, 1, 1, 2, 2, 2]
    assert tree.roots.tolist() == [0]
    assert tree.leaves.tolist() == [4, 5, 6]
    assert [found.tolist() for found in tree.children[:3]] == [[1, 2, 3], [4], [5]]


def test_the_order_of_the_records_does_not_matter():
    records = field_of_cells()
    turned = PartTree.of(records[::-1])
    assert turned.parents.tolist() == [3, 4, 5, 6, 6, 6, -1]


@pytest.mark.parametrize(
    ("level", "expected"),
    [
        ("all", [0, 1, 2, 3, 4, 5, 6]),
        ("largest", [0]),
        ("smallest", [4, 5, 6]),
        ("one size", [1, 2, 3]),  # the cells agree, the nuclei do not, and the field is alone
    ],
)
def test_each_level(level, expected):
    assert chosen(field_of_cells(), level) == expected


def test_one_size_follows_the_parts_where_these_agree():
    cells = [rectangle(0, 0, 60, 55), rectangle(0, 60, 20, 80), rectangle(30, 60, 34, 64)]
    nuclei = [rectangle(top, left, top + 3, left + 3) for top, left in ((5, 5), (5, 65), (30, 60))]
    assert chosen(cells + nuclei, "one size") == [3, 4, 5]


def test_of_sizes_that_agree_equally_well_the_largest_is_taken():
    cells = [rectangle(0, left, 30, left + 30) for left in (0, 40)]
    nuclei = [rectangle(5, left, 8, left + 3) for left in (5, 45)]
    assert chosen(nuclei + cells, "one size") == [2, 3]


def test_a_way_down_the_tree_is_cut_where_the_size_is_nearest():
    cells = [rectangle(0, left, 20, left + 20) for left in (0, 22, 44)]
    large = rectangle(
        22, 0, 60, 38
    )  # 3.6 times a cell, with a part of a cell's size and a small one
    parts = [rectangle(24, 2, 44, 22), rectangle(50, 30, 55, 35)]
    without_parts = rectangle(22, 40, 52, 70)  # 2.25 times a cell
    records = [*cells, large, *parts, without_parts]
    assert PartTree.of(records).parents.tolist() == [-1, -1, -1, -1, 3, 3, -1]
    assert chosen(records, "one size") == [0, 1, 2, 4, 6]  # the small part is 16 times smaller


def test_one_size_leaves_out_what_is_four_times_as_large():
    near, far = rectangle(0, 60, 20, 99), rectangle(22, 60, 60, 100)
    records = [*(rectangle(0, left, 20, left + 19) for left in (0, 20, 40)), near, far]
    assert chosen(records, "one size") == [0, 1, 2, 3]


def test_a_part_lies_in_its_whole_with_nine_tenths():
    whole = rectangle(0, 0, 20, 20)
    nine, less = rectangle(5, 11, 7, 21), rectangle(9, 12, 11, 22)  # 18 and 16 of 20 pixels
    assert PartTree.of([whole, nine, less]).parents.tolist() == [-1, 0, -1]
    assert PartTree.of([whole, nine, less], containment=0.8).parents.tolist() == [-1, 0, 0]


def test_masks_count_and_not_their_boxes():
    ring = rectangle(0, 0, 30, 30)
    hole = np.ones((30, 30), bool)
    hole[5:25, 5:25] = False
    ring = dataclasses.replace(ring, mask=hole, area=int(hole.sum()))
    assert PartTree.of([ring, rectangle(8, 8, 20, 20)]).parents.tolist() == [-1, -1]


def test_identical_masks_are_a_chain_below_the_first():
    twins = [rectangle(0, 0, 20, 20, iou=iou) for iou in (0.9, 0.8, 0.7)]
    tree = PartTree.of([*twins, rectangle(5, 5, 8, 8)])
    assert tree.parents.tolist() == [-1, 0, 1, 2]
    assert tree.choose("largest").tolist() == tree.choose("one size").tolist() == [0]
    assert tree.choose("smallest").tolist() == [3]


def test_nothing_has_no_parts():
    tree = PartTree.of([])
    assert tree.children == ()
    for level in ("all", "largest", "smallest", "one size"):
        assert tree.choose(level).tolist() == []
        assert labels_from_records([], (4, 5), level).tolist() == [[0] * 5] * 4


def test_many_records_are_compared_in_blocks(monkeypatch):
    expected = PartTree.of(field_of_cells()).parents
    monkeypatch.setattr("napari_sam.segmentation.part_tree._PAIRS_AT_ONCE", 14)  # two rows of seven
    assert np.array_equal(PartTree.of(field_of_cells()).parents, expected)


def brute_force(records) -> list[int]:
    """Return the parents by looking at every pair of whole masks."""
    order = sorted(range(len(records)), key=lambda index: -records[index].area)
    masks = [record.full_mask(SHAPE) for record in records]
    parents = [-1] * len(records)
    for place, part in enumerate(order):
        for whole in order[:place]:  # the smallest comes last
            if (masks[part] & masks[whole]).sum() >= 0.9 * masks[part].sum():
                parents[part] = whole
    return parents


def test_boxes_only_save_comparisons():
    rng = np.random.default_rng(0)
    corners = rng.integers(0, (40, 70), (80, 2))
    sides = rng.integers(1, 30, (80, 2))
    records = [
        rectangle(top, left, min(top + tall, 60), min(left + wide, 100))
        for (top, left), (tall, wide) in zip(corners.tolist(), sides.tolist(), strict=True)
    ]
    parents = PartTree.of(records).parents.tolist()
    assert parents == brute_force(records)
    assert len(set(parents)) > 10


@pytest.mark.parametrize("level", ["largest", "smallest", "one size"])
def test_no_chosen_mask_is_part_of_another(level):
    rng = np.random.default_rng(1)
    records = [
        rectangle(top, left, top + side, left + side)
        for top, left, side in zip(
            rng.integers(0, 30, 60), rng.integers(0, 70, 60), rng.integers(2, 30, 60), strict=True
        )
    ]
    tree = PartTree.of(records)
    picked = set(tree.choose(level).tolist())
    assert len(picked) > 3
    for index in picked:
        parent = tree.parents[index]
        while parent >= 0:
            assert parent not in picked
            parent = tree.parents[parent]


def test_wrong_words_are_refused():
    with pytest.raises(ValueError, match=r"level must be one of .*'largest'.*, got 'whole'"):
        PartTree.of([]).choose("whole")
    with pytest.raises(ValueError, match="level must be one of"):
        labels_from_records([], (4, 5), "whole")
    with pytest.raises(ValueError, match="containment must lie above 0 and up to 1, got 0"):
        PartTree.of([], containment=0)
