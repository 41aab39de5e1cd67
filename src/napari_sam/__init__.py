"""Segment Anything in napari, and as a library without it.

The public names are loaded on first use: importing this package takes no torch, napari, Qt or zarr
with it.
"""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING

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


def __getattr__(name: str) -> object:
    """Load a public name on first use (PEP 562)."""
    if name not in _HOMES:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(importlib.import_module(f"{__name__}.{_HOMES[name]}"), name)


def __dir__() -> list[str]:
    """Return the public names."""
    return sorted(__all__)
