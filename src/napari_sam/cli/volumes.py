"""``napari-sam volume``."""

from __future__ import annotations

import argparse
from dataclasses import replace
from pathlib import Path
from typing import Any

import zarr

from napari_sam.cli.bars import with_bar
from napari_sam.cli.files import check_other
from napari_sam.cli.images import everything_config, predictor_of
from napari_sam.cli.volume_options import LINK_OPTIONS
from napari_sam.volume import (
    LinkConfig,
    RunConfig,
    Shard,
    VolumeConfig,
    VolumeReport,
    iter_volume,
    preflight,
)
from napari_sam.volume.blocks import VolumePredictor
from napari_sam.volume.executors import Executor, LocalExecutor, ProcessExecutor
from napari_sam.volume.preflight import is_worth_telling
from napari_sam.volume.segment import lay_out
from napari_sam.volume.source import channel_names
from napari_sam.volume.stores import is_remote
from napari_sam.volume.tiff_export import check_tiff_path, write_tiff

_SHOWN_DOUBTS = 5


def volume(arguments: argparse.Namespace) -> None:
    """Segment a volume and write OME-Zarr labels."""
    config, run = volume_config(arguments), run_config(arguments)
    output = None if _are_one(arguments.source, arguments.output) else arguments.output
    tiff = None if arguments.tiff is None else check_tiff_path(arguments.tiff)
    if tiff is not None and not is_remote(arguments.source):
        check_other(tiff, arguments.source)
    predictor = _predictor(arguments)
    begins = run.shard is None and not run.only_finish
    _, plan = lay_out(arguments.source, output, config)
    if arguments.dry_run or (begins and is_worth_telling(plan, resume=not arguments.restart)):
        print("\n".join(preflight(predictor, arguments.source, output, config).lines()))
    if arguments.dry_run:
        return
    job = iter_volume(
        predictor,
        arguments.source,
        output,
        config,
        resume=not arguments.restart,
        run=run,
    )
    report = with_bar(job)
    if run.shard is not None:
        print(f"shard {run.shard.index} of {run.shard.count} is segmented; --finish comes last")
        return
    _print_report(report)
    if tiff is not None:
        labels = zarr.open_array(report.labels_path / "0", mode="r")
        name = report.labels_path.name
        write_tiff(tiff, labels, name=name, scale=report.scale, units=report.units)
        print(f"{tiff}: the same as a TIFF stack")


def volume_config(arguments: argparse.Namespace) -> VolumeConfig:
    """Build the settings from the options that were given."""
    settings: dict[str, Any] = {
        "everything": everything_config(arguments),
        "link": _link_config(arguments),
        "level": _index_or_name(arguments.level),
        "channel": _channel(arguments),
        "time": arguments.time,
        "contrast_limits": arguments.contrast,
        "voxel_size": arguments.voxel_size,
        "origin": arguments.origin,
        "unit": arguments.unit,
    }
    for name in ("name", "block_size", "empty_contrast"):
        if getattr(arguments, name) is not None:
            settings[name] = getattr(arguments, name)
    return VolumeConfig(**settings)


def run_config(arguments: argparse.Namespace) -> RunConfig:
    """Build from the options how the job is run."""
    return RunConfig(
        executor=_executor(arguments),
        on_error=arguments.on_error,
        retry_failed=arguments.retry_failed,
        take_lock=arguments.take_lock,
        shard=None if arguments.shard is None else Shard.parse(arguments.shard),
        only_finish=arguments.finish,
    )


def _link_config(arguments: argparse.Namespace) -> LinkConfig:
    given = {
        name: getattr(arguments, "link_iou_thresh" if name == "iou_thresh" else name)
        for name in LINK_OPTIONS
    }
    return replace(LinkConfig(), **{k: value for k, value in given.items() if value is not None})


def _executor(arguments: argparse.Namespace) -> Executor:
    if arguments.scheduler is not None:
        try:
            from napari_sam.volume.dask_executor import DaskExecutor
        except ImportError as error:
            raise ValueError(
                "--scheduler needs a package that is not there: "
                "pip install 'napari-sam[distributed]'"
            ) from error
        return DaskExecutor(arguments.scheduler, arguments.device)
    if arguments.devices is not None:
        return ProcessExecutor(tuple(arguments.devices.split(",")))
    return LocalExecutor(at_once=arguments.at_once)


def _predictor(arguments: argparse.Namespace) -> VolumePredictor:
    predictor = predictor_of(arguments)
    if arguments.keep_embeddings is None:
        return predictor
    from napari_sam.volume.kept_embeddings import EmbeddingStore, KeepingPredictor

    most = arguments.keep_at_most
    limit = None if most is None else int(most * 10**9)
    return KeepingPredictor(predictor, EmbeddingStore(arguments.keep_embeddings, limit=limit))


def _are_one(source: str, output: str) -> bool:
    """Tell whether labels go into the image that is segmented."""
    return not is_remote(source) and Path(source).resolve() == Path(output).resolve()


def _print_report(report: VolumeReport) -> None:
    resumed = f", {report.n_resumed} blocks from before" if report.n_resumed else ""
    print(f"{report.labels_path}: {report.n_objects} objects in {report.shape[0]} slices{resumed}")
    if report.objects is not None:
        sizes = report.objects
        print(
            f"voxels per object: {sizes.smallest} to {sizes.largest}, median {sizes.median}; "
            f"{sizes.per_slice} objects before linking"
        )
    for doubt in report.doubts[:_SHOWN_DOUBTS]:
        print(f"in doubt: {doubt.text}")
    for number, error in report.failed.items():
        print(f"left empty: block {number}: {error}")


def _channel(arguments: argparse.Namespace) -> int | str | None:
    """Return the channel's name where there is one such, else its index."""
    text: str | None = arguments.channel
    if text is None or text in channel_names(arguments.source):
        return text
    return _index_or_name(text)


def _index_or_name(text: str | None) -> int | str | None:
    return int(text) if text is not None and text.isdecimal() else text
