"""Segment Anything in napari, and as a library without it.

The public names are loaded on first use: importing this package takes no torch, napari, Qt or zarr
with it.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from napari_sam.lazy_names import lazily

if TYPE_CHECKING:
    from napari_sam.model.registry import load_model
    from napari_sam.segmentation.embedding import ImageEmbedding
    from napari_sam.segmentation.everything import (
        EverythingConfig,
        generate_masks,
        segment_everything,
    )
    from napari_sam.segmentation.labels import MaskRecord
    from napari_sam.segmentation.prediction import MaskPrediction
    from napari_sam.segmentation.predictor import Predictor
    from napari_sam.segmentation.prompts import Prompts
    from napari_sam.viewer.session import Session
    from napari_sam.volume import VolumeConfig, segment_volume

__version__ = "1.0.0.dev0"

_HOMES = {
    "EverythingConfig": "segmentation.everything",
    "ImageEmbedding": "segmentation.embedding",
    "MaskPrediction": "segmentation.prediction",
    "MaskRecord": "segmentation.labels",
    "Predictor": "segmentation.predictor",
    "Prompts": "segmentation.prompts",
    "Session": "viewer.session",
    "VolumeConfig": "volume",
    "generate_masks": "segmentation.everything",
    "load_model": "model.registry",
    "segment_everything": "segmentation.everything",
    "segment_volume": "volume",
}

__all__ = [
    "EverythingConfig",
    "ImageEmbedding",
    "MaskPrediction",
    "MaskRecord",
    "Predictor",
    "Prompts",
    "Session",
    "VolumeConfig",
    "__version__",
    "generate_masks",
    "load_model",
    "segment_everything",
    "segment_volume",
]


__getattr__, __dir__ = lazily(__name__, _HOMES, __all__)
