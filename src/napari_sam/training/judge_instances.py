"""All that may be an object in the instance decoder's maps of an image, beside the truth."""

from __future__ import annotations

import numpy as np
import torch
from numpy.typing import NDArray

from napari_sam.model.rater import INSTANCE_EVIDENCE
from napari_sam.segmentation.everything_config import EverythingConfig
from napari_sam.segmentation.instance_choice import seen_in
from napari_sam.segmentation.instance_looks import mean_instance_maps
from napari_sam.segmentation.instances import label_areas
from napari_sam.segmentation.patches import MaskPatch
from napari_sam.segmentation.predictor import Predictor
from napari_sam.training.rater_examples import RaterExamples
from napari_sam.training.samples import Sample

_FEW = 30
"""An image of more masks counts for more, but less than in proportion."""
_WRONG = 0.2
"""What a mask that is all wrong counts for: which of good ones is best is what matters."""


def judge_instances(
    predictor: Predictor, sample: Sample, _rng: np.random.Generator
) -> RaterExamples:
    """Judge all masks that `best_instances` would choose from.

    Parameters
    ----------
    predictor : Predictor
        Of the network.
    sample : Sample
        The image and the truth.
    """
    config = EverythingConfig()
    embedding = predictor.embed(sample.image)
    diameter = embedding.object_diameter
    _, found, evidence = seen_in(
        mean_instance_maps(predictor, embedding, config.looks),
        diameter=diameter,
        smoothing=config.smoothing(diameter),
    )
    if not found:
        return RaterExamples.nothing(len(INSTANCE_EVIDENCE))
    areas = label_areas(sample.labels)
    ious = torch.tensor([_best_iou(one.patch, sample.labels, areas) for one in found])
    weight = (_WRONG + ious) * max(len(ious), _FEW) ** -0.5
    return RaterExamples(torch.from_numpy(evidence), ious, weight)


def _best_iou(patch: MaskPatch, labels: NDArray[np.integer], areas: NDArray[np.int64]) -> float:
    """Return the highest IoU of a mask with an object of labels (H, W) of these areas."""
    shared = np.bincount(labels[patch.slices][patch.mask])
    shared[0] = 0
    return float((shared / (patch.area + areas[: len(shared)] - shared)).max())
