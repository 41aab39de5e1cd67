"""The network: image encoders, prompt encoder, mask decoder, instance decoder; torch only."""

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
