"""All objects that there may be in instance maps: which pieces join, and where they end."""

import numpy as np
import pytest
from scipy import ndimage

from napari_sam.segmentation.instance_tree import THRESHOLDS, grow_tree, hypotheses
from napari_sam.segmentation.instances import Pieces, cut_into_pieces
from tests.segmentation.test_masks import cone_maps

TWO = [(20, 20), (20, 33)]


def tree_of(maps, diameter=16):
    return grow_tree(maps, diameter=diameter, smoothing=0)


def test_two_cones_are_two_pieces_that_join():
    tree = tree_of(cone_maps(TWO))
    assert [node.pieces for node in tree.nodes] == [(1,), (2,), (1, 2)]
    assert [node.children for node in tree.nodes] == [(), (), (0, 1)]
    assert tree.roots == [2]
    saddle = tree.saddles[0]
    assert tree.saddles == [saddle, saddle, 0]
    assert [node.parting for node in tree.nodes] == [0, 0, pytest.approx(1 - saddle)]


def test_children_come_before_parents_and_higher_saddles_join_first():
    tree = tree_of(cone_maps([(20, 10), (20, 19), (20, 32), (20, 42)]))
    for index, node in enumerate(tree.nodes):
        assert all(child < index for child in node.children)
        assert sorted(node.pieces) == sorted(
            [index + 1]
            if not node.children
            else [piece for child in node.children for piece in tree.nodes[child].pieces]
        )
    joins = [node for node in tree.nodes if node.children]
    partings = [join.parting for join in joins]
    assert partings == sorted(partings)
    assert sorted(joins[-1].pieces) == [1, 2, 3, 4]


@pytest.mark.parametrize(("dip", "pieces"), [(0.004, 1), (0.02, 2)])
def test_a_ripple_is_no_piece_of_its_own(dip, pieces):
    maps = np.zeros((3, 40, 60), np.float32)
    maps[0] = 1
    maps[1:, 10:30, 10:40] = 0.8
    maps[1:, 12:28, 12:38] = 0.9
    maps[1:, 12:28, 25] -= np.float32(dip)
    tree = tree_of(maps)
    assert len(tree.pieces.peaks) == pieces + 1
    assert sum(not node.children for node in tree.nodes) == pieces
    assert set(np.unique(tree.pieces.labels)) == set(range(1, pieces + 1))


def test_no_pixel_of_a_piece_is_higher_than_its_peak():
    rng = np.random.default_rng(0)
    maps = ndimage.gaussian_filter(rng.random((3, 80, 90)), (0, 3, 3)).astype(np.float32)
    maps = np.round((maps - maps.min()) / np.ptp(maps), 2)  # with plateaus
    pieces = cut_into_pieces(maps, foreground_thresh=0.4, smoothing=0)
    count = len(pieces.peaks)
    assert count > 20
    highest = ndimage.maximum(maps[1:].mean(0), pieces.labels, np.arange(1, count))
    assert pieces.peaks == [0, *highest.tolist()]


def test_pieces_that_are_joined_keep_the_highest_ways_to_others():
    labels = np.array([[1, 2, 3, 4]], np.int32)
    pieces = Pieces(labels, [0, 0.9, 0.8, 0.6, 0.9], [(1, 2, 0.79), (2, 3, 0.5), (3, 4, 0.2)])
    joined = pieces.joined(0.05)
    assert joined.labels.tolist() == [[1, 1, 2, 3]]
    assert joined.peaks == [0, 0.9, 0.6, 0.9]
    assert joined.saddles == [(1, 2, 0.5), (2, 3, 0.2)]


def test_what_is_larger_than_one_object_can_be_is_no_hypothesis():
    chain = [(20, 6 + 9 * index) for index in range(40)]
    maps = cone_maps(chain, radius=6, shape=(40, 370))
    tree = tree_of(maps, diameter=12)
    whole = [node for node in tree.nodes if len(node.pieces) == 40]
    assert whole == []
    assert len(tree.nodes) == 79
    assert max(len(node.pieces) for node in tree.nodes) > 10
    assert {one.node for one in hypotheses(tree, maps[0])} == {
        index for index, node in enumerate(tree.nodes) if node.pieces
    }


def test_each_threshold_that_changes_the_mask_is_a_hypothesis():
    maps = cone_maps([(20, 20)])
    maps[0] *= np.where(np.hypot(*np.subtract(np.mgrid[:40, :60], 20)[:, :, :]) < 5, 1, 0.6)
    found = list(hypotheses(tree_of(maps), maps[0]))
    assert [one.threshold for one in found] == [THRESHOLDS[0], THRESHOLDS[2]]
    assert found[0].patch.area > found[1].patch.area
    assert [one.connected for one in found] == [1, 1]


def test_masks_are_in_one_piece_without_holes():
    maps = cone_maps([(20, 20)], radius=12)
    maps[0, 18:21, 18:21] = 0.6  # a hole above .7
    maps[0, :, 10] = 0.6  # and a part that is cut off
    *_, last = hypotheses(tree_of(maps), maps[0])
    mask = last.patch.full_mask((40, 60))
    assert mask[19, 19]
    assert not mask[:, :11].any()
    assert last.filled == pytest.approx(9 / last.patch.area)
    above = (maps[0] > THRESHOLDS[-1]).sum()
    assert last.connected == pytest.approx((last.patch.area - 9) / above)


def test_specks_and_nothing_are_no_hypotheses():
    maps = np.zeros((3, 20, 30), np.float32)
    assert list(hypotheses(tree_of(maps), maps[0])) == []
    maps[:, 4, 5:8] = 1
    assert list(hypotheses(tree_of(maps), maps[0])) == []
