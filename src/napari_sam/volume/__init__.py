"""Arrays on disk: segment volumes block by block, linked through z, resumable after a kill."""

from napari_sam.volume.config import VolumeConfig
from napari_sam.volume.executors import LocalExecutor, ProcessExecutor
from napari_sam.volume.job import VolumeError
from napari_sam.volume.ledger import JobMismatchError, LedgerError
from napari_sam.volume.link_config import LinkConfig
from napari_sam.volume.link_doubts import LinkDoubt
from napari_sam.volume.lock import JobLockedError
from napari_sam.volume.ome import OmeMetadataError
from napari_sam.volume.output import OutputError
from napari_sam.volume.preflight import Preflight, preflight
from napari_sam.volume.report import VolumeEvent, VolumeReport
from napari_sam.volume.run_config import RunConfig, Shard
from napari_sam.volume.segment import iter_volume, segment_volume
from napari_sam.volume.source import VolumeSource, open_source
from napari_sam.volume.stores import StoreError
from napari_sam.volume.tiff_directory import TiffError
from napari_sam.volume.tiff_export import write_tiff

__all__ = [
    "JobLockedError",
    "JobMismatchError",
    "LedgerError",
    "LinkConfig",
    "LinkDoubt",
    "LocalExecutor",
    "OmeMetadataError",
    "OutputError",
    "Preflight",
    "ProcessExecutor",
    "RunConfig",
    "Shard",
    "StoreError",
    "TiffError",
    "VolumeConfig",
    "VolumeError",
    "VolumeEvent",
    "VolumeReport",
    "VolumeSource",
    "iter_volume",
    "open_source",
    "preflight",
    "segment_volume",
    "write_tiff",
]
