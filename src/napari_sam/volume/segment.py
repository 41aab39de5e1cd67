"""Segment a volume in blocks, link the objects, write OME-Zarr labels; resumable.

The stages are ``segment`` (every block on its own, into a scratch), ``link`` (neighbours in z and
over the seams of tiles), ``write`` (final ids, all levels of the pyramid, a shard at a time) and
``finish`` (metadata). What is done goes into the ledger after its data, so a kill at any instant
costs what is in hand (in ``link``: that stage, a small part of the time of ``segment``), and the
resumed result equals the uninterrupted one byte for byte. No stage holds more than a few blocks or
one shard; what grows with the volume is a few numbers per block in memory, and tables of objects
that are mapped from the disk.
"""

from __future__ import annotations

import math
import os
from collections.abc import Callable, Generator
from dataclasses import asdict, dataclass, replace
from importlib.metadata import PackageNotFoundError, version
from typing import Any

import zarr

from napari_sam.segmentation.checks import check_arguments
from napari_sam.segmentation.progress import run as run_through
from napari_sam.volume.blocks import VolumePredictor
from napari_sam.volume.config import VolumeConfig
from napari_sam.volume.contrast import VolumeSample, sample_volume, volume_diameter
from napari_sam.volume.job import VolumeJob, missing_blocks
from napari_sam.volume.ledger import Ledger
from napari_sam.volume.lock import JobLock
from napari_sam.volume.output import OutputError, check_ours, claim_output, publish, remove_scratch
from napari_sam.volume.plan import VolumePlan, plan_volume
from napari_sam.volume.report import (
    ObjectSummary,
    VolumeEvent,
    VolumeReport,
    read_report,
    write_report,
)
from napari_sam.volume.run_config import RunConfig
from napari_sam.volume.source import VolumeSource, open_source
from napari_sam.volume.stored_image import ArrayLike
from napari_sam.volume.stores import is_remote

_HALO_SHARE = 0.8
_HALO = (32, 1024)
_UNKNOWN_DIAMETER = 80.0

SourceLike = str | os.PathLike[str] | zarr.Group | ArrayLike | VolumeSource


def segment_volume(
    predictor: VolumePredictor,
    source: SourceLike,
    output: str | os.PathLike[str] | None,
    config: VolumeConfig | None = None,
    *,
    resume: bool = True,
    run: RunConfig | None = None,
    on_progress: Callable[[VolumeEvent], None] | None = None,
) -> VolumeReport:
    """Segment every object of a volume.

    Parameters
    ----------
    predictor : Predictor
        The model; or anything with its methods.
    source : path or URL, zarr group or array, numpy or dask array, or VolumeSource
        The volume, see :func:`~napari_sam.volume.open_source`.
    output : path or None
        OME-Zarr 0.5 group that will hold ``labels/<name>``; new, empty, or made by this function.
        None puts the labels into the group of the source, which must be an OME-Zarr 0.5 image.
    config : VolumeConfig, optional
        The settings; the defaults if left out.
    resume : bool
        Go on with the job that is in the output (the default), or replace it.
    run : RunConfig, optional
        How the job is run: who does the blocks, and what follows an error.
    on_progress : callable, optional
        Called with every :class:`VolumeEvent`.

    Returns
    -------
    VolumeReport
        Where the labels are, their place in the world, the objects and the doubts about them.

    Raises
    ------
    JobMismatchError
        If the output holds a job of other settings, another source, model or version.
    JobLockedError
        If another call works on the job.
    OutputError
        If the output has contents that are not ours; they are left alone.
    VolumeError
        If a block cannot be segmented; what is done stays.
    TypeError, ValueError, FileNotFoundError
        If the source or a setting is wrong.
    """
    job = iter_volume(predictor, source, output, config, resume=resume, run=run)
    return run_through(job, on_progress)


def iter_volume(
    predictor: VolumePredictor,
    source: SourceLike,
    output: str | os.PathLike[str] | None,
    config: VolumeConfig | None = None,
    *,
    resume: bool = True,
    run: RunConfig | None = None,
) -> Generator[VolumeEvent, None, VolumeReport]:
    """Segment every object of a volume, step by step.

    Parameters and errors are those of :func:`segment_volume`; nothing happens before the first
    step. Closing the generator cancels the job; what is done stays, and the same call resumes it.

    Yields
    ------
    VolumeEvent
        After every step of every stage, also for those that an earlier run has done; a linking
        or a job that was done as a whole has no events but the last, ``"finish"``.

    Returns
    -------
    VolumeReport
        Where the labels are, their place in the world, the objects and the doubts about them. Of
        a shard, what is known so far: no objects.
    """
    config, run = VolumeConfig() if config is None else config, run or RunConfig()
    check_arguments(predictor, config, VolumeConfig)
    if run.shard is not None and not resume:
        raise ValueError("a shard cannot start over: do so with a call without a shard, then go on")
    volume, plan = lay_out(source, output, config)
    sample = sample_volume(volume)
    description = _description(predictor, volume, config, sample)
    place = plan.lock if run.shard is None else plan.job / f"{run.shard.name}.lock"
    plan.job.mkdir(parents=True, exist_ok=True)
    with (
        JobLock(place, take=run.take_lock) as lock,
        claim_output(
            plan,
            description,
            lambda: asdict(measure(predictor, volume, config, sample)),
            resume=resume,
            into_source=output is None,
            shard=None if run.shard is None else run.shard.name,
            take_lock=run.take_lock,
        ) as ledger,
    ):
        plan = replace(plan, halo=halo_of(ledger.header["object_diameter"]))
        job = VolumeJob(predictor, volume, plan, config, run, ledger, lock)
        if run.shard is not None:
            n_resumed = yield from job.segment(run.shard.blocks(plan.n_blocks))
            return _report(plan, volume, ledger, n_resumed)
        n_resumed = len(ledger.blocks)
        if not ledger.finished or (ledger.failed and run.retry_failed):
            n_resumed = yield from _stages(job, into_source=output is None)
        yield VolumeEvent(stage="finish", done=1, total=1)
        return _report(plan, volume, ledger, n_resumed)


def _stages(job: VolumeJob, *, into_source: bool) -> Generator[VolumeEvent, None, int]:
    """Do all stages; return the number of blocks that were segmented before."""
    plan, ledger = job.plan, job.ledger
    blocks = range(plan.n_blocks)
    if job.run.only_finish:
        missing = list(missing_blocks(ledger, blocks))
        if missing:
            raise OutputError(
                f"{len(missing)} of {plan.n_blocks} blocks are not segmented yet, the first is "
                f"block {missing[0]} (slice {plan.block(missing[0]).z}); run their shards first"
            )
    n_resumed = yield from job.segment(blocks)
    linked = yield from job.link()
    yield from job.write(linked)
    publish(plan, job.source, into_source=into_source)
    write_report(plan.report, ObjectSummary.of(linked), linked.doubts)
    ledger.add_finished()
    if not ledger.failed:
        del linked
        remove_scratch(plan)
    return n_resumed


def lay_out(
    source: SourceLike, output: str | os.PathLike[str] | None, config: VolumeConfig
) -> tuple[VolumeSource, VolumePlan]:
    """Open a source and plan its job, with a halo that isn't measured yet; writes nothing.

    Errors are those of `segment_volume` about source and output.
    """
    volume = _placed(
        open_source(source, level=config.level, channel=config.channel, time=config.time), config
    )
    plan = plan_volume(
        _place_of(output, volume), config.name, volume.shape, block_size=config.block_size
    )
    check_ours(plan, into_source=output is None)
    return volume, plan


def _placed(source: VolumeSource, config: VolumeConfig) -> VolumeSource:
    """Return a source that lies in the world where the settings say."""
    return replace(
        source,
        scale=config.voxel_size or source.scale,
        translation=config.origin or source.translation,
        units=source.units if config.unit is None else (config.unit,) * 3,
    )


def _place_of(
    output: str | os.PathLike[str] | None, source: VolumeSource
) -> str | os.PathLike[str]:
    """Return the output group; that of the source if none was given."""
    if output is not None:
        return output
    if source.location is None or is_remote(source.location) or not source.array_path:
        raise OutputError(
            "labels go into the source's group only where that is an OME-Zarr image in a folder; "
            "give an output"
        )
    return source.location


def _description(
    predictor: VolumePredictor, source: VolumeSource, config: VolumeConfig, sample: VolumeSample
) -> dict[str, Any]:
    """Return all that decides a result, for the ledger."""
    try:
        software = version("napari-sam")
    except PackageNotFoundError:
        software = "unknown"
    return {
        "version": software,
        "model": predictor.model_digest[:16],
        "source_shape": source.shape,
        "source_dtype": str(source.dtype),
        "source_chunks": source.chunks,
        "source_scale": source.scale,
        "source_translation": source.translation,
        "source_units": source.units,
        "source_content": sample.digest,
        "config": asdict(config),
    }


@dataclass(frozen=True, kw_only=True)
class Measured:
    """What one value holds for a whole volume.

    Attributes
    ----------
    contrast_limits : tuple of float or None
        Black and white.
    object_diameter : float or None
        Pixels.
    """

    contrast_limits: tuple[float, float] | None
    object_diameter: float | None


def measure(
    predictor: VolumePredictor, source: VolumeSource, config: VolumeConfig, sample: VolumeSample
) -> Measured:
    """Measure what the settings leave open."""
    contrast = config.contrast_limits or sample.contrast_limits
    diameter = config.everything.object_diameter
    if diameter is None:
        diameter = volume_diameter(
            predictor.estimate_diameter, source, contrast, most=config.block_size
        )
    return Measured(contrast_limits=contrast, object_diameter=diameter)


def halo_of(diameter: float | None) -> int:
    """Return how far a block sees beyond its core, pixels."""
    wanted = math.ceil(_HALO_SHARE * (diameter or _UNKNOWN_DIAMETER))
    return min(max(wanted, _HALO[0]), _HALO[1])


def _report(plan: VolumePlan, source: VolumeSource, ledger: Ledger, n_resumed: int) -> VolumeReport:
    objects, doubts = read_report(plan.report) if ledger.finished else (None, ())
    return VolumeReport(
        output=plan.output,
        labels_path=plan.image,
        shape=source.shape,
        scale=source.scale,
        translation=source.translation,
        units=source.units,
        n_objects=ledger.linked[0] if ledger.linked else 0,
        n_resumed=n_resumed,
        objects=objects,
        doubts=doubts,
        failed=dict(ledger.failed),
    )
