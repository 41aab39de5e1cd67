"""Which of all that may be objects are chosen."""

import itertools

import numpy as np
import pytest

from napari_sam.model.rater import INSTANCE_EVIDENCE
from napari_sam.segmentation.instance_choice import best_instances, choose, seen_in
from napari_sam.training.metrics import mask_iou
from tests.segmentation.test_instance_evidence import disc_labels, true_maps

CLOSENESS_ERROR = INSTANCE_EVIDENCE.index("closeness_error")
CHAIN = disc_labels([(25, 14), (25, 30), (25, 46)])


def by_agreement(evidence):
    return 1 - 2 * evidence[:, CLOSENESS_ERROR]


def test_objects_that_touch_are_parted_where_that_is_rated_better():
    maps = true_maps(CHAIN)
    found = best_instances(maps, by_agreement, diameter=18)
    assert found.dtype == np.uint32
    assert found.max() == 3
    for label in (1, 2, 3):
        true = label == CHAIN
        ours = found == found[true][0]
        assert mask_iou(ours, true) > 0.95


def test_or_joined_where_that_is():
    octaves = INSTANCE_EVIDENCE.index("octaves_from_usual")

    def by_size(evidence):
        return 0.9 * (evidence[:, octaves] > np.log2(2.5))

    found = best_instances(true_maps(CHAIN), by_size, diameter=18)
    assert found.max() == 1
    assert np.array_equal(found > 0, CHAIN > 0)


def test_what_is_rated_far_below_the_others_is_dropped():
    labels = disc_labels([(12, 12), (35, 50), (12, 50)])

    def doubtful_last(evidence):
        return np.where(np.arange(len(evidence)) == 2, 0.4, 0.8).astype(np.float32)

    maps = true_maps(labels)
    assert best_instances(maps, doubtful_last, diameter=18).max() == 2
    assert best_instances(maps, doubtful_last, diameter=18, rating_thresh=0.4).max() == 3


def test_low_ratings_are_compared_with_each_other_but_not_those_of_no_object():
    maps = true_maps(CHAIN)

    def lower(evidence):
        return 0.5 * by_agreement(evidence)

    assert best_instances(maps, lower, diameter=18).max() == 3
    assert best_instances(maps, lambda known: 0.4 * lower(known), diameter=18).max() == 0


def test_nothing_is_chosen_from_nothing():
    def rate(evidence):
        raise AssertionError("there is nothing to rate")

    found = best_instances(np.zeros((3, 20, 30), np.float32), rate, diameter=None)
    assert found.shape == (20, 30)
    assert not found.any()


@pytest.mark.parametrize("seed", range(8))
def test_no_other_choice_is_rated_better(seed):
    """Against all choices of nodes of which none holds another."""
    rng = np.random.default_rng(seed)
    maps = true_maps(CHAIN)
    maps[1:] *= rng.uniform(0.8, 1.0, maps[1:].shape)
    tree, found, _ = seen_in(maps, diameter=18, smoothing=0.7)
    ratings, least = rng.random(len(found)), 0.45
    best = {}
    for one, rating in zip(found, ratings, strict=True):
        best[one.node] = max(best.get(one.node, 0), rating)
    nodes = sorted(best)[:14] + [node for node in tree.roots if node in best]
    most = 0.0
    for size in range(4):
        for some in itertools.combinations(sorted(set(nodes)), size):
            held = [piece for node in some for piece in tree.nodes[node].pieces]
            if len(held) == len(set(held)):
                most = max(most, sum(best[node] - least for node in some))
    chosen = choose(tree, found, ratings, least)
    held = [piece for index in chosen for piece in tree.nodes[found[index].node].pieces]
    assert len(held) == len(set(held))
    assert (ratings[chosen] - least).sum() >= most - 1e-6
