"""``napari-sam volume``."""

from __future__ import annotations

import argparse
from typing import Any

import zarr

from napari_sam.cli.bars import with_bar
from napari_sam.cli.images import everything_config, predictor_of
from napari_sam.volume import VolumeConfig, iter_volume
from napari_sam.volume.tiff_export import check_tiff_path, write_tiff


def volume(arguments: argparse.Namespace) -> None:
    """Segment a volume and write OME-Zarr labels."""
    settings: dict[str, Any] = {
        "everything": everything_config(arguments),
        "level": _index_or_name(arguments.level),
        "channel": _index_or_name(arguments.channel),
        "time": arguments.time,
        "contrast_limits": arguments.contrast,
    }
    for name in ("link_iou_thresh", "name"):
        if getattr(arguments, name) is not None:
            settings[name] = getattr(arguments, name)
    tiff = None if arguments.tiff is None else check_tiff_path(arguments.tiff)
    job = iter_volume(
        predictor_of(arguments),
        arguments.source,
        arguments.output,
        VolumeConfig(**settings),
        resume=not arguments.restart,
    )
    report = with_bar(job)
    resumed = f", {report.n_resumed} slices from before" if report.n_resumed else ""
    print(f"{report.labels_path}: {report.n_objects} objects in {report.shape[0]} slices{resumed}")
    if tiff is not None:
        labels = zarr.open_array(report.labels_path / "0", mode="r")
        name = report.labels_path.name
        write_tiff(tiff, labels, name=name, scale=report.scale, units=report.units)
        print(f"{tiff}: the same as a TIFF stack")


def _index_or_name(text: str | None) -> int | str | None:
    return int(text) if text is not None and text.isdecimal() else text
