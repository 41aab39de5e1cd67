"""What is known of a mask that may be an object."""

import numpy as np
import pytest
import torch

from napari_sam.model.rater import INSTANCE_EVIDENCE
from napari_sam.segmentation.instance_choice import seen_in
from napari_sam.training.targets import instance_targets


def true_maps(labels):
    return instance_targets(torch.from_numpy(labels)[None])[0].numpy()


def disc_labels(centres, radius=9, shape=(50, 70)):
    labels = np.zeros(shape, np.int32)
    for label, centre in enumerate(centres, start=1):
        distance = np.hypot(*np.subtract(np.mgrid[: shape[0], : shape[1]].T, centre).T)
        labels[distance <= radius] = label
    return labels


def evidence_of(labels, diameter=18):
    """Return the evidence of each node, by its pieces and by name."""
    tree, found, evidence = seen_in(true_maps(labels), diameter=diameter, smoothing=0)
    assert evidence.shape == (len(found), len(INSTANCE_EVIDENCE))
    assert evidence.dtype == np.float32
    names = [dict(zip(INSTANCE_EVIDENCE, row.tolist(), strict=True)) for row in evidence]
    return {tree.nodes[one.node].pieces: known for one, known in zip(found, names, strict=True)}


def test_maps_of_an_object_agree_with_its_mask():
    (known,) = evidence_of(disc_labels([(25, 30)])).values()
    assert known["depth_error"] < 0.02
    assert known["closeness_error"] < 0.02
    assert known["foreground"] == known["rim_foreground"] == known["connected_share"] == 1
    assert known["filled_share"] == known["parting"] == known["at_edge"] == 0
    assert known["ellipse_share"] == pytest.approx(1, abs=0.03)
    assert known["elongation"] == pytest.approx(1, abs=0.03)
    assert known["octaves_from_usual"] == pytest.approx(0)
    assert known["octaves_from_looked_for"] == pytest.approx(np.log2(np.pi / 4), abs=0.05)


def test_maps_of_two_objects_disagree_with_one_mask_of_both():
    found = evidence_of(disc_labels([(25, 20), (25, 38)]))
    assert set(found) == {(1,), (2,), (1, 2)}
    parted, joined = found[1,], found[1, 2]
    assert joined["closeness_error"] > parted["closeness_error"] + 0.1
    assert joined["parting"] > 0.5
    assert joined["elongation"] > 1.8
    assert joined["octaves_from_usual"] == pytest.approx(1, abs=0.05)
    assert parted["prominence"] == pytest.approx(joined["parting"], abs=0.05)


def test_pixels_at_the_edge_of_the_image_are_counted():
    labels = np.zeros((30, 40), np.int32)
    labels[:6, :8] = 1
    labels[12:20, 32:] = 2
    found = evidence_of(labels, diameter=8)
    areas = {(1,): 48, (2,): 64}
    at_edge = {pieces: known["at_edge"] * areas[pieces] ** 0.5 for pieces, known in found.items()}
    assert at_edge == {(1,): pytest.approx(6 + 8 - 1), (2,): pytest.approx(8)}


def test_without_a_diameter_that_of_what_is_found_is_looked_for():
    (known,) = evidence_of(disc_labels([(25, 30)]), diameter=None).values()
    assert known["octaves_from_looked_for"] == pytest.approx(np.log2(np.pi / 4), abs=1e-3)


def test_large_objects_are_known_as_well_by_some_of_their_pixels():
    small, large = (
        next(iter(evidence_of(disc_labels([(n, n)], n - 6, (2 * n, 2 * n)), 2 * n - 12).values()))
        for n in (18, 106)
    )
    for name in set(INSTANCE_EVIDENCE) - {"octaves_from_usual"}:
        assert large[name] == pytest.approx(small[name], abs=0.06), name
    assert large["foreground"] == large["rim_foreground"] == 1


def test_of_a_large_mask_whose_every_second_row_is_thin_all_is_looked_at():
    labels = np.zeros((110, 110), np.int32)
    labels[6:105:2, 5:106] = labels[5:106, 6] = 1  # a comb
    found = evidence_of(labels, diameter=40)
    whole = max(found.values(), key=lambda known: known["octaves_from_looked_for"])
    area = int(labels.sum())
    assert area > 4 * 600
    assert whole["octaves_from_looked_for"] == pytest.approx(np.log2(area / 40**2))
    assert whole["foreground"] == whole["rim_foreground"] == 1
    assert np.isfinite(list(whole.values())).all()
