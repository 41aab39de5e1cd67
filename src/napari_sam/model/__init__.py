"""The network: image encoders, prompt encoder, mask decoder, instance decoder; torch only.

The names are loaded on first use: which models there are is known without loading torch.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from napari_sam.lazy_names import lazily

if TYPE_CHECKING:
    from napari_sam.model.checkpoints import CheckpointError, read_checkpoint, write_checkpoint
    from napari_sam.model.devices import available_devices, resolve_device
    from napari_sam.model.registry import ModelEntry, known_models, load_model
    from napari_sam.model.sam import EncodedImage, PromptBatch, Sam

__all__ = [
    "CheckpointError",
    "EncodedImage",
    "ModelEntry",
    "PromptBatch",
    "Sam",
    "available_devices",
    "known_models",
    "load_model",
    "read_checkpoint",
    "resolve_device",
    "write_checkpoint",
]

_HOMES = {
    "CheckpointError": "checkpoints",
    "EncodedImage": "sam",
    "ModelEntry": "registry",
    "PromptBatch": "sam",
    "Sam": "sam",
    "available_devices": "devices",
    "known_models": "registry",
    "load_model": "registry",
    "read_checkpoint": "checkpoints",
    "resolve_device": "devices",
    "write_checkpoint": "checkpoints",
}


__getattr__, __dir__ = lazily(__name__, _HOMES, __all__)
