"""Segment a volume slice by slice, link the objects through z, write OME-Zarr labels; resumable.

The stages are ``segment`` (every slice on its own, into a scratch array), ``link`` (neighbouring
slices, two at a time), ``write`` (final ids, all levels of the pyramid, slice by slice) and
``finish`` (metadata). A slice goes into the ledger after its data, so a kill at any instant costs
the slice in hand (in ``link``: that stage, which takes a small part of the time of ``segment``),
and the resumed result equals the uninterrupted one byte for byte. No stage holds more than two
slices; what grows with the volume is a few numbers per slice and per object.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Generator
from dataclasses import asdict, dataclass, replace
from typing import Any, Protocol, TypeAlias

import numpy as np
import zarr
from numpy.typing import NDArray

from napari_sam.segmentation.everything import TilingPredictor, segment_everything
from napari_sam.segmentation.progress import run
from napari_sam.volume.config import VolumeConfig
from napari_sam.volume.contrast import sample_volume, volume_diameter
from napari_sam.volume.ledger import DoneSlice, Ledger, checksum
from napari_sam.volume.link import Linker
from napari_sam.volume.link_config import LinkConfig
from napari_sam.volume.linked_ids import IdTable, block_offsets
from napari_sam.volume.output import (
    claim_output,
    open_label_array,
    open_levels,
    publish,
    remove_scratch,
)
from napari_sam.volume.plan import VolumePlan, plan_volume
from napari_sam.volume.report import VolumeEvent, VolumeReport
from napari_sam.volume.source import ArrayLike, VolumeSource, open_source

Labels: TypeAlias = NDArray[np.uint32]


class VolumePredictor(TilingPredictor, Protocol):
    """What a volume job asks of a predictor."""

    @property
    def model_digest(self) -> str:
        """Tells models apart, whatever their names: a job does not resume with another one."""


def segment_volume(
    predictor: VolumePredictor,
    source: str | os.PathLike[str] | zarr.Group | ArrayLike | VolumeSource,
    output: str | os.PathLike[str],
    config: VolumeConfig | None = None,
    *,
    resume: bool = True,
    on_progress: Callable[[VolumeEvent], None] | None = None,
) -> VolumeReport:
    """Segment every object of a volume.

    Parameters
    ----------
    predictor : Predictor
        The model; or anything with its methods.
    source : path, zarr group or array, numpy or dask array, or VolumeSource
        The volume, see :func:`~napari_sam.volume.open_source`.
    output : path
        OME-Zarr 0.5 group that will hold ``labels/<name>``; new, empty, or made by this function.
    config : VolumeConfig, optional
        The settings; the defaults if left out.
    resume : bool
        Go on with the job that is in the output (the default), or replace it.
    on_progress : callable, optional
        Called with every :class:`VolumeEvent`.

    Returns
    -------
    VolumeReport
        Where the labels are, their place in the world, and the number of objects.

    Raises
    ------
    JobMismatchError
        If the output holds a job of other settings, another source or another model.
    OutputError
        If the output has contents that are not ours; they are left alone.
    TypeError, ValueError, FileNotFoundError
        If the source or a setting is wrong.
    """
    return run(iter_volume(predictor, source, output, config, resume=resume), on_progress)


def iter_volume(
    predictor: VolumePredictor,
    source: str | os.PathLike[str] | zarr.Group | ArrayLike | VolumeSource,
    output: str | os.PathLike[str],
    config: VolumeConfig | None = None,
    *,
    resume: bool = True,
) -> Generator[VolumeEvent, None, VolumeReport]:
    """Segment every object of a volume, step by step.

    Parameters and errors are those of :func:`segment_volume`; nothing happens before the first
    step. Closing the generator cancels the job; what is done stays, and the same call resumes it.

    Yields
    ------
    VolumeEvent
        After every slice of every stage, also for slices that an earlier run has done; a linking
        or a job that was done as a whole has no events but the last, ``"finish"``.

    Returns
    -------
    VolumeReport
        Where the labels are, their place in the world, and the number of objects.
    """
    config = config or VolumeConfig()
    volume = open_source(source, level=config.level, channel=config.channel, time=config.time)
    plan = plan_volume(output, config.name, volume.shape)
    sample = sample_volume(volume)
    description = {
        "model": predictor.model_digest[:16],
        "source_shape": volume.shape,
        "source_dtype": str(volume.dtype),
        "source_scale": volume.scale,
        "source_translation": volume.translation,
        "source_units": volume.units,
        "source_content": sample.digest,
        "config": asdict(config),
    }

    def measure() -> dict[str, Any]:
        contrast = config.contrast_limits or sample.contrast_limits
        diameter = config.everything.object_diameter
        if diameter is None:
            diameter = volume_diameter(predictor.estimate_diameter, volume, contrast)
        return {"contrast_limits": contrast, "object_diameter": diameter}

    with claim_output(plan, description, measure, resume=resume) as ledger:
        n_resumed = len(ledger.slices)
        if not ledger.finished:
            job = _Job(predictor, volume, plan, config, ledger)
            n_resumed = yield from job.segment()
            table = yield from job.link()
            yield from job.write(table)
            publish(plan, volume)
            ledger.add_finished()
            remove_scratch(plan)
        n_objects = ledger.linked[0] if ledger.linked else 0
    yield VolumeEvent(stage="finish", done=1, total=1)
    return VolumeReport(
        output=plan.output,
        labels_path=plan.image,
        shape=volume.shape,
        scale=volume.scale,
        translation=volume.translation,
        units=volume.units,
        n_objects=n_objects,
        n_resumed=n_resumed,
    )


@dataclass(frozen=True)
class _Job:
    """The stages of a claimed job."""

    predictor: VolumePredictor
    source: VolumeSource
    plan: VolumePlan
    config: VolumeConfig
    ledger: Ledger

    def segment(self) -> Generator[VolumeEvent, None, int]:
        """Write the labels of every slice that is not done; return how many were."""
        scratch = open_label_array(self.plan.scratch, self.plan.shape)
        n_resumed = 0
        for z in range(self.plan.shape[0]):
            labels = self._done_labels(scratch, z)
            if labels is None:
                labels = self._segment_slice(z)
                scratch[z] = labels
                done = DoneSlice(n_objects=int(labels.max()), checksum=checksum(labels))
                self.ledger.add_slice(z, done)
            else:
                n_resumed += 1
            yield self._event("segment", z, labels)
        return n_resumed

    def link(self) -> Generator[VolumeEvent, None, IdTable]:
        """Match neighbouring slices; return the ids of all objects, and keep them on disk."""
        counts = [self.ledger.slices[z].n_objects for z in range(self.plan.shape[0])]
        table = self._done_table(counts)
        if table is not None:
            return table
        scratch = open_label_array(self.plan.scratch, self.plan.shape)
        config = LinkConfig(iou_thresh=self.config.link_iou_thresh, max_gap=0)
        linker = Linker(counts, config=config)
        whole = (slice(None), slice(None))
        for z in range(self.plan.shape[0]):
            linker.add_slice(0, z, _read_labels(scratch, z), whole)
            yield self._event("link", z)
        table = linker.finish()
        temporary = self.plan.id_table.with_suffix(".npy.partial")
        with temporary.open("wb") as file:
            np.save(file, table.ids, allow_pickle=False)
        temporary.replace(self.plan.id_table)
        self.ledger.add_linked(table.n_objects, checksum(table.ids))
        return table

    def write(self, table: IdTable) -> Generator[VolumeEvent, None, None]:
        """Write every slice with its final ids, into all levels."""
        scratch = open_label_array(self.plan.scratch, self.plan.shape)
        levels = open_levels(self.plan)
        for z in range(self.plan.shape[0]):
            labels = self._written_labels(levels, z)
            if labels is None:
                labels = table.relabel(z, _read_labels(scratch, z))
                slices = [labels[:: 2**index, :: 2**index] for index in range(len(levels))]
                for level, part in zip(levels, slices, strict=True):
                    level[z] = part
                self.ledger.add_written(z, checksum(*slices))
            yield self._event("write", z, labels)

    def _segment_slice(self, z: int) -> Labels:
        limits = self.ledger.header["contrast_limits"]
        return segment_everything(
            self.predictor,
            self.source.read(z),
            replace(self.config.everything, object_diameter=self.ledger.header["object_diameter"]),
            contrast_limits=None if limits is None else (limits[0], limits[1]),
        )

    def _done_labels(self, scratch: zarr.Array[Any], z: int) -> Labels | None:
        """Return the labels of a slice if the ledger has it and its data are whole."""
        done = self.ledger.slices.get(z)
        labels = None if done is None else _read_or_none(scratch, z)
        whole = labels is not None and done is not None and checksum(labels) == done.checksum
        return labels if whole else None

    def _done_table(self, counts: list[int]) -> IdTable | None:
        """Return the table of ids if the ledger has it and its data are whole."""
        if self.ledger.linked is None or not self.plan.id_table.is_file():
            return None
        try:
            ids = np.load(self.plan.id_table, allow_pickle=False)
        except ValueError:
            return None
        if checksum(ids) != self.ledger.linked[1]:
            return None
        return IdTable(offsets=block_offsets(counts), ids=ids)

    def _written_labels(self, levels: list[zarr.Array[Any]], z: int) -> Labels | None:
        """Return the final labels of a slice if the ledger has them and all levels are whole."""
        if z not in self.ledger.written:
            return None
        slices = [part for level in levels if (part := _read_or_none(level, z)) is not None]
        whole = len(slices) == len(levels) and checksum(*slices) == self.ledger.written[z]
        return slices[0] if whole else None

    def _event(self, stage: str, z: int, labels: Labels | None = None) -> VolumeEvent:
        return VolumeEvent(stage=stage, done=z + 1, total=self.plan.shape[0], z=z, labels=labels)


def _read_labels(array: zarr.Array[Any], z: int) -> Labels:
    return np.asarray(array[z], dtype=np.uint32)


def _read_or_none(array: zarr.Array[Any], z: int) -> Labels | None:
    """Read a slice; None if its chunks cannot be decoded."""
    try:
        return _read_labels(array, z)
    except (OSError, ValueError, RuntimeError):
        return None
