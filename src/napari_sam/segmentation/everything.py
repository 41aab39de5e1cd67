"""Segment everything in an image, without prompts.

Mode ``"grid"`` decodes a grid of points (`napari_sam.segmentation.grid`); mode ``"instances"``
takes the instance decoder of networks that have one; mode ``"prompts"`` draws its instances anew by
the mask decoder (`napari_sam.segmentation.redrawing`). Images larger than the network sees well are
segmented in tiles (`napari_sam.segmentation.tiled_everything`).
"""

from __future__ import annotations

from collections.abc import Generator
from dataclasses import replace
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from napari_sam.segmentation.checks import check_arguments
from napari_sam.segmentation.everything_config import EverythingConfig
from napari_sam.segmentation.grid import EverythingPredictor
from napari_sam.segmentation.labels import labels_from_records
from napari_sam.segmentation.progress import Progress, run
from napari_sam.segmentation.records import MaskRecord
from napari_sam.segmentation.redrawing import iter_redraw
from napari_sam.segmentation.tiled_everything import (
    TilingPredictor,
    iter_instances,
    iter_records,
    look_over,
    separated,
    sifted,
)

__all__ = [
    "EverythingConfig",
    "EverythingPredictor",
    "MaskRecord",
    "TilingPredictor",
    "generate_masks",
    "instances_in",
    "iter_everything",
    "mode_of",
    "segment_embedded",
    "segment_everything",
]


def segment_everything(
    predictor: TilingPredictor,
    image: ArrayLike,
    config: EverythingConfig | None = None,
    *,
    contrast_limits: tuple[float, float] | None = None,
) -> NDArray[np.uint32]:
    """Segment everything in an image.

    Parameters
    ----------
    predictor : Predictor
        Or anything with its methods.
    image : array_like
        (H, W) or (H, W, 3 or 4), any real dtype; dask and zarr arrays are read as a whole.
    config : EverythingConfig, optional
        Settings.
    contrast_limits : (float, float), optional
        As in `Predictor.embed`.

    Returns
    -------
    ndarray
        (H, W) uint32, ids 1 ... n, 0 is background.

    Raises
    ------
    TypeError, ValueError
        If the array is no image, the limits are no two rising numbers, or something else is given
        for the predictor or the config.
    """
    return run(iter_everything(predictor, image, config, contrast_limits=contrast_limits))


def iter_everything(
    predictor: TilingPredictor,
    image: ArrayLike,
    config: EverythingConfig | None = None,
    *,
    contrast_limits: tuple[float, float] | None = None,
) -> Generator[Progress, None, NDArray[np.uint32]]:
    """Segment everything step by step: yields `Progress`, returns the labels (H, W)."""
    config = EverythingConfig() if config is None else config
    check_arguments(predictor, config, EverythingConfig)
    mode = mode_of(config, predictor)
    yield Progress(0, 1, "measuring objects")
    scene = look_over(predictor, image, config, contrast_limits)
    if mode == "grid":
        records = yield from iter_records(predictor, scene)
        return labels_from_records(records, scene.shape, config.level)
    return (yield from iter_instances(predictor, scene, redrawn=mode == "prompts"))


def generate_masks(
    predictor: TilingPredictor,
    image: ArrayLike,
    config: EverythingConfig | None = None,
    *,
    contrast_limits: tuple[float, float] | None = None,
) -> list[MaskRecord]:
    """Find masks on a grid of points, whatever `config.mode` says.

    Parameters
    ----------
    predictor, image, config, contrast_limits
        As in `segment_everything`.

    Returns
    -------
    list of MaskRecord
        They may overlap: an object and its parts are masks of their own. To labels they become by
        `napari_sam.segmentation.labels.labels_from_records`.

    Raises
    ------
    TypeError, ValueError
        As `segment_everything`.
    """
    config = EverythingConfig() if config is None else config
    check_arguments(predictor, config, EverythingConfig)
    scene = look_over(predictor, image, config, contrast_limits)
    return run(iter_records(predictor, scene))


def segment_embedded(
    predictor: TilingPredictor,
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
        Of the image; mode ``"grid"`` embeds its crops anew, at the same contrast and scale.

    Returns
    -------
    ndarray
        (H, W) uint32, ids 1 ... n, 0 is background.
    """
    mode = mode_of(config, predictor)
    if mode == "grid":
        diameter = config.object_diameter or embedding.object_diameter
        known = replace(config, object_diameter=diameter)
        limits = None if embedding.picture is None else embedding.picture.contrast_limits
        return segment_everything(predictor, image, known, contrast_limits=limits)
    labels = instances_in(predictor, embedding, config)
    if mode == "prompts":
        labels = run(
            iter_redraw(predictor, embedding, labels, config.points_per_batch, config.redraw_thresh)
        )
    return labels


def instances_in(
    predictor: EverythingPredictor, embedding: Any, config: EverythingConfig
) -> NDArray[np.uint32]:
    """Return the instance decoder's objects in an embedded image, (H, W) uint32, ids 1 ... n."""
    return sifted(separated(predictor, embedding, config), config)


def mode_of(config: EverythingConfig, predictor: EverythingPredictor) -> str:
    """Return how a model does it: ``"grid"``, ``"instances"`` or ``"prompts"``."""
    if config.mode != "auto":
        return config.mode
    return "instances" if predictor.has_instance_decoder else "grid"
