"""Segment everything in an image, without prompts.

Mode ``"grid"`` decodes a grid of points (`napari_sam.segmentation.grid`); mode ``"instances"``
takes the instance decoder of networks that have one; mode ``"prompts"`` draws its instances anew by
the mask decoder (`napari_sam.segmentation.seeded`).
"""

from __future__ import annotations

from collections.abc import Generator
from typing import Any

import numpy as np
from numpy.typing import NDArray

from napari_sam.segmentation.everything_config import EverythingConfig
from napari_sam.segmentation.grid import EverythingPredictor, generate_masks, iter_masks
from napari_sam.segmentation.images import check_image
from napari_sam.segmentation.instances import consecutive, instances_from_maps, without_debris
from napari_sam.segmentation.labels import MaskRecord, labels_from_records
from napari_sam.segmentation.progress import Progress, run
from napari_sam.segmentation.seeded import iter_redraw

__all__ = [
    "EverythingConfig",
    "EverythingPredictor",
    "MaskRecord",
    "generate_masks",
    "iter_everything",
    "segment_embedded",
    "segment_everything",
]

_NOISE = 4
"""Instances of fewer pixels are noise."""


def segment_everything(
    predictor: EverythingPredictor,
    image: NDArray[np.generic],
    config: EverythingConfig | None = None,
    *,
    contrast_limits: tuple[float, float] | None = None,
) -> NDArray[np.uint32]:
    """Segment everything in an image.

    Parameters
    ----------
    predictor : Predictor
        Or anything with its methods.
    image : ndarray
        (H, W) or (H, W, 3 or 4).
    config : EverythingConfig, optional
        Settings.
    contrast_limits : (float, float), optional
        As in `Predictor.embed`.

    Returns
    -------
    ndarray
        (H, W) uint32, ids 1 ... n, 0 is background.
    """
    return run(iter_everything(predictor, image, config, contrast_limits=contrast_limits))


def iter_everything(
    predictor: EverythingPredictor,
    image: NDArray[np.generic],
    config: EverythingConfig | None = None,
    *,
    contrast_limits: tuple[float, float] | None = None,
) -> Generator[Progress, None, NDArray[np.uint32]]:
    """Segment everything step by step: yields `Progress`, returns the labels (H, W)."""
    config = config or EverythingConfig()
    if _mode(config, predictor) == "grid":
        records = yield from iter_masks(predictor, image, config, contrast_limits=contrast_limits)
        shape = check_image(np.asarray(image))
        return labels_from_records(records, shape)
    yield Progress(0, 2, "embedding")
    embedding = predictor.embed(
        image, contrast_limits=contrast_limits, object_diameter=config.object_diameter
    )
    yield Progress(1, 2, "separating instances")
    labels = _instances(predictor, embedding, config)
    if _mode(config, predictor) == "prompts":
        labels = yield from _as_one_step(
            iter_redraw(predictor, embedding, labels, config.points_per_batch)
        )
    yield Progress(2, 2, "done")
    return labels


def segment_embedded(
    predictor: EverythingPredictor,
    image: NDArray[np.generic],
    embedding: Any,
    config: EverythingConfig,
) -> NDArray[np.uint32]:
    """Segment everything in an image whose embedding is at hand, which saves embedding it again.

    Parameters
    ----------
    predictor, image, config
        As in `segment_everything`.
    embedding : ImageEmbedding
        Of the image; mode ``"grid"`` embeds its crops anew.

    Returns
    -------
    ndarray
        (H, W) uint32, ids 1 ... n, 0 is background.
    """
    mode = _mode(config, predictor)
    if mode == "grid":
        return segment_everything(predictor, image, config)
    labels = _instances(predictor, embedding, config)
    if mode == "prompts":
        labels = run(iter_redraw(predictor, embedding, labels, config.points_per_batch))
    return labels


def _as_one_step(
    job: Generator[Progress, None, NDArray[np.uint32]],
) -> Generator[Progress, None, NDArray[np.uint32]]:
    """Let a job's events stand where they can cancel, but count none of its pieces."""
    while True:
        try:
            event = next(job)
        except StopIteration as stop:
            labels: NDArray[np.uint32] = stop.value
            return labels
        yield Progress(1, 2, event.stage)


def _instances(
    predictor: EverythingPredictor, embedding: Any, config: EverythingConfig
) -> NDArray[np.uint32]:
    labels = instances_from_maps(
        predictor.instance_maps(embedding),
        foreground_thresh=config.foreground_thresh,
        seed_thresh=config.seed_thresh,
        smoothing=config.seed_smoothing * (embedding.object_diameter or 0),
    )
    labels = without_debris(labels, config.debris_thresh)
    return consecutive(labels, min_area=max(config.min_mask_region_area, _NOISE))


def _mode(config: EverythingConfig, predictor: EverythingPredictor) -> str:
    """Return ``"grid"``, ``"instances"`` or ``"prompts"``."""
    if config.mode != "auto":
        return config.mode
    return "instances" if predictor.has_instance_decoder else "grid"
