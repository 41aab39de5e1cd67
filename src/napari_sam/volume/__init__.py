"""Arrays on disk: segment volumes slice by slice, linked through z, resumable after a kill."""

from napari_sam.volume.config import VolumeConfig
from napari_sam.volume.ledger import JobMismatchError, LedgerError
from napari_sam.volume.ome import OmeMetadataError
from napari_sam.volume.output import OutputError
from napari_sam.volume.report import VolumeEvent, VolumeReport
from napari_sam.volume.segment import iter_volume, segment_volume
from napari_sam.volume.source import VolumeSource, open_source

__all__ = [
    "JobMismatchError",
    "LedgerError",
    "OmeMetadataError",
    "OutputError",
    "VolumeConfig",
    "VolumeEvent",
    "VolumeReport",
    "VolumeSource",
    "iter_volume",
    "open_source",
    "segment_volume",
]
