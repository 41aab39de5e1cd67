"""The output of a volume job on disk: whose it is, its groups and arrays, its metadata.

An output belongs to this package if it did not exist, was empty, or has the folder of jobs that the
first job puts there before anything else; a label image in it belongs to the job that has a ledger
under its name. Anything else is left alone.
"""

from __future__ import annotations

import shutil
import warnings
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import zarr
from zarr.storage import LocalStore

from napari_sam.volume.ledger import DoneBlock, Ledger, check_same_job, read_header
from napari_sam.volume.lock import JobLock
from napari_sam.volume.ome import label_attributes, label_names, labels_group_attributes
from napari_sam.volume.plan import JOBS_FOLDER, VolumePlan
from napari_sam.volume.source import VOLUME_AXES, VolumeSource


class OutputError(ValueError):
    """An output cannot be written because it is not ours or is not whole."""


def claim_output(
    plan: VolumePlan,
    job: Mapping[str, Any],
    measure: Callable[[], Mapping[str, Any]],
    *,
    resume: bool,
    into_source: bool = False,
    shard: str | None = None,
    take_lock: bool = False,
) -> Ledger:
    """Take an output for a job, and open its ledger.

    What a killed job left half done is removed; a new ledger begins with nothing on disk.

    Parameters
    ----------
    plan : VolumePlan
        What will be written.
    job : mapping
        All that decides the result; compared with the job that is there.
    measure : callable
        Measures what one value holds for the whole volume (contrast, object diameter), for a new
        ledger; a ledger that is there keeps its own.
    resume : bool
        Whether to go on with the job that is there, or to replace it.
    into_source : bool
        Whether the output is the source's own group, whose contents are left alone.
    shard : str, optional
        Name of the share that this call does: others may work beside it, so nothing is removed.
    take_lock : bool
        Whether shares are taken over whose owners may be gone.

    Raises
    ------
    OutputError
        If the output is not ours, or the labels of a finished job are gone.
    JobMismatchError
        If another job is there and shall be resumed.
    """
    check_ours(plan, into_source=into_source)
    if resume and plan.ledger.is_file():
        check_same_job(read_header(plan.ledger), job, plan.output)
    else:
        plan.job.mkdir(parents=True, exist_ok=True)
        description = {**job, **measure()}
        Ledger.create(plan.ledger, description, replace=shard is None).close()
        check_same_job(read_header(plan.ledger), job, plan.output)
    if shard is not None:
        return _shard_ledger(plan, shard)
    ledger = Ledger(plan.ledger)
    try:
        _check_shards_rest(plan, take=take_lock)
        _collect_shards(plan, ledger, taken=resume)
        _tidy(plan, ledger)
    except BaseException:
        ledger.close()
        raise
    return ledger


def _shard_ledger(plan: VolumePlan, shard: str) -> Ledger:
    """Open the ledger of a share of the job, begun with the job's header."""
    path = plan.job / f"{shard}.jsonl"
    header = read_header(plan.ledger)
    if path.is_file() and read_header(path) == header:
        return Ledger(path)
    job = {key: value for key, value in header.items() if key not in ("entry", "format")}
    return Ledger.create(path, job)


def _collect_shards(plan: VolumePlan, ledger: Ledger, *, taken: bool) -> None:
    """Take in what shares of the job have recorded, in the order of the blocks; then forget them.

    Shares of another header are of a job that was replaced; they are not `taken`, nor is any where
    a job starts over.
    """
    paths = sorted(plan.job.glob("shard-*.jsonl"))
    blocks: dict[int, DoneBlock] = {}
    failed: dict[int, str] = {}
    for path in paths:
        if taken and read_header(path) == ledger.header:
            with Ledger(path) as share:
                blocks |= share.blocks
                failed |= share.failed
    for number in sorted(blocks.keys() | failed.keys()):
        if number in blocks:
            ledger.add_block(number, blocks[number])
        else:
            ledger.add_failed(number, failed[number])
    for path in paths:
        path.unlink()
    for lock in plan.job.glob("shard-*.lock"):
        shutil.rmtree(lock)


def _check_shards_rest(plan: VolumePlan, *, take: bool) -> None:
    """Refuse to go on with a job while shares of it are being done.

    Raises
    ------
    JobLockedError
        If another call does one.
    """
    for path in sorted(plan.job.glob("shard-*.lock")):
        with JobLock(path, take=take):
            pass


def open_levels(plan: VolumePlan) -> list[zarr.Array[Any]]:
    """Open the groups and all levels of the label image; make those that are not there."""
    _ensure_group(plan.output, {})
    _ensure_group(plan.labels_group, labels_group_attributes([]))
    _ensure_group(plan.image, {})
    return [_open_level(plan, level) for level in range(len(plan.level_shapes))]


def _open_level(plan: VolumePlan, level: int) -> zarr.Array[Any]:
    """Open a level of the label image, (Z, Y, X) uint32, in shards; make it if there is none."""
    path = plan.image / str(level)
    if (path / "zarr.json").is_file():
        return zarr.open_array(store=path, mode="r+")
    shards, chunks = plan.shards(level)
    return zarr.create_array(
        store=path,
        shape=plan.level_shapes[level],
        shards=shards,
        chunks=chunks,
        dtype="uint32",
        dimension_names=VOLUME_AXES,
        zarr_format=3,
    )


def publish(plan: VolumePlan, source: VolumeSource, *, into_source: bool = False) -> None:
    """Write the OME metadata of the label image, then enter it in the list of label images."""
    levels = plan.levels(source.scale, source.translation)
    image = "../../" if into_source else None
    attributes = label_attributes(plan.name, VOLUME_AXES, source.units, levels, image=image)
    zarr.open_group(store=plan.image, mode="r+").attrs.put(attributes)
    _list_image(plan, listed=True)
    _tell_readers(plan.output)


def _tell_readers(group: Path) -> None:
    """Enter what was written in the consolidated metadata of a group and of those around it.

    Where a group has them, readers look nowhere else.
    """
    while (group / "zarr.json").is_file():
        if '"consolidated_metadata"' in (group / "zarr.json").read_text(encoding="utf-8"):
            with warnings.catch_warnings():  # zarr: not part of the format's specification yet
                warnings.simplefilter("ignore", UserWarning)
                zarr.consolidate_metadata(LocalStore(group))
        group = group.parent


def remove_scratch(plan: VolumePlan) -> None:
    """Remove what is needed only while the job runs."""
    shutil.rmtree(plan.scratch, ignore_errors=True)
    shutil.rmtree(plan.links, ignore_errors=True)


def check_ours(plan: VolumePlan, *, into_source: bool = False) -> None:
    """Refuse an output that is not ours.

    Raises
    ------
    OutputError
        If there is something that no job has made.
    """
    name = str(plan.output)
    if into_source and not (plan.output / "zarr.json").is_file():
        raise OutputError(
            f"labels go into the group of an OME-Zarr 0.5 image, but {name!r} is none; "
            "choose another output"
        )
    if plan.output.exists() and not plan.output.is_dir():
        raise OutputError(f"output must be a folder, but {name!r} is a file; choose another output")
    is_empty = not plan.output.exists() or next(plan.output.iterdir(), None) is None
    if not is_empty and not plan.jobs.is_dir() and not into_source:
        raise OutputError(
            f"output must be new, empty or made by napari_sam, but {name!r} has other contents and "
            f"no {JOBS_FOLDER}; choose another output (nothing was changed)"
        )
    if plan.image.exists() and not plan.ledger.is_file():
        raise OutputError(
            f"{name!r} has labels {plan.name!r} that no job here has made; "
            "choose another name or another output (nothing was changed)"
        )


def _tidy(plan: VolumePlan, ledger: Ledger) -> None:
    if ledger.finished:
        if not (plan.image / "0" / "zarr.json").is_file() or not plan.report.is_file():
            raise OutputError(
                f"the job in {str(plan.output)!r} was finished, but its labels {plan.name!r} are "
                "gone; start over with resume=False (--restart in the shell)"
            )
        if not ledger.failed:
            remove_scratch(plan)
    if ledger.is_fresh:
        plan.report.unlink(missing_ok=True)
        _list_image(plan, listed=False)
        shutil.rmtree(plan.image, ignore_errors=True)
        remove_scratch(plan)
    _sweep(plan)


def _sweep(plan: VolumePlan) -> None:
    """Remove the temporary files of writes that a kill cut off."""
    for folder in (plan.output, plan.labels_group):
        for partial in folder.glob("*.partial"):
            partial.unlink()
    for folder in (plan.image, plan.job):
        for partial in folder.rglob("*.partial"):
            partial.unlink()


def _ensure_group(path: Path, attributes: Mapping[str, Any]) -> None:
    if not (path / "zarr.json").is_file():
        zarr.create_group(store=path, attributes=dict(attributes), zarr_format=3)


def _list_image(plan: VolumePlan, *, listed: bool) -> None:
    """Enter the label image in the list of its group, or take it out."""
    if not (plan.labels_group / "zarr.json").is_file():
        return
    group = zarr.open_group(store=plan.labels_group, mode="r+")
    before = label_names(group.attrs.asdict())
    after = sorted(set(before) - {plan.name} | ({plan.name} if listed else set()))
    if after != before:
        group.attrs.update(labels_group_attributes(after))
