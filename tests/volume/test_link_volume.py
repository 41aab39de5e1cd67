"""Linking 300 slices of known objects in 2 x 2 tiles, with a segmenter that errs."""

import numpy as np
import pytest

from napari_sam.training.detection import detection
from tests.volume.known_volume import known_objects, with_errors
from tests.volume.tiled import components, link_tiled


def eroded(plane):
    """Lose the rim, as one tile sees an object smaller than another does."""
    left, right = plane.copy(), plane.copy()
    left[:, 1:][plane[:, 1:] != plane[:, :-1]] = 0
    right[:, :-1][plane[:, 1:] != plane[:, :-1]] = 0
    return np.where(left == right, left, 0)


def segment(plane):
    """See some tiles' objects smaller; which ones depends on what is in them."""
    return components(eroded(plane) if int(plane.sum()) % 2 else plane)


@pytest.mark.parametrize("seed", [0, 34])
def test_known_objects_are_found_in_300_slices(seed, tmp_path):
    truth = known_objects(seed)
    seen = with_errors(truth, seed + 100)
    labels, linked = link_tiled(seen, halo=12, segment=segment, workspace=tmp_path)
    found = detection(truth, labels)
    assert found.n_true > 300
    assert found.f1 >= 0.98
    assert min(linked.counts.gaps, linked.counts.fragments, linked.counts.seams) > 50
    assert linked.sizes.sum() == (labels > 0).sum()
