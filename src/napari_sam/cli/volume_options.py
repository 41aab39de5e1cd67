"""The options of ``napari-sam volume``."""

from __future__ import annotations

import argparse

from napari_sam.cli.numbers import Numbers

LINK_OPTIONS = ("iou_thresh", "containment_thresh", "max_gap", "smooth", "min_voxels")
"""Settings of `LinkConfig`; the first is `--link-iou-thresh` in the shell."""


def add_volume_options(parser: argparse.ArgumentParser) -> None:
    """Add all options but those of the model and of each slice."""
    parser.add_argument(
        "output",
        help="OME-Zarr group to write (labels/<name>); the source itself puts them into it",
    )
    parser.add_argument("--level", default="0", help="pyramid level, by index or path")
    parser.add_argument("--channel", help="channel, by index or name")
    parser.add_argument("--time", type=int, help="time point, by index")
    parser.add_argument("--contrast", type=Numbers(2), metavar="LOW,HIGH", help="black and white")
    for name, what in (("voxel-size", "world size of a voxel"), ("origin", "world position of it")):
        parser.add_argument(f"--{name}", type=Numbers(3), metavar="Z,Y,X", help=what)
    parser.add_argument("--unit", help="unit of both, such as micrometer")
    parser.add_argument("--name", help="name of the label image")
    parser.add_argument("--tiff", metavar="FILE", help="write the labels also as a TIFF stack")
    parser.add_argument("--restart", action="store_true", help="start over instead of resuming")
    _link_options(parser)
    _run_options(parser)


def _link_options(parser: argparse.ArgumentParser) -> None:
    group = parser.add_argument_group("links", "how objects of slices become objects of the volume")
    group.add_argument(
        "--link-iou-thresh", type=float, metavar="FLOAT", help="overlap that links two slices"
    )
    group.add_argument(
        "--containment-thresh", type=float, metavar="FLOAT", help="share of a piece in its object"
    )
    group.add_argument("--max-gap", type=int, metavar="SLICES", help="gaps that a link bridges")
    group.add_argument(
        "--smooth", action=argparse.BooleanOptionalAction, help="draw objects in bridged gaps"
    )
    group.add_argument("--min-voxels", type=int, metavar="INT", help="remove smaller objects")
    group.add_argument(
        "--block-size", type=int, metavar="PIXELS", help="cut larger slices into such blocks"
    )
    group.add_argument(
        "--empty-contrast", type=float, metavar="FLOAT", help="leave blocks of less contrast empty"
    )


def _run_options(parser: argparse.ArgumentParser) -> None:
    group = parser.add_argument_group("running", "these decide nothing of the result")
    group.add_argument(
        "--dry-run", action="store_true", help="time two blocks, say what all will take, and stop"
    )
    group.add_argument(
        "--on-error",
        choices=("stop", "skip"),
        default="stop",
        help="stop at a slice that fails, or leave it empty and list it",
    )
    group.add_argument(
        "--retry-failed", action="store_true", help="try slices again that were left empty"
    )
    group.add_argument(
        "--take-lock", action="store_true", help="take over a job that someone else works on"
    )
    group.add_argument(
        "--at-once",
        type=int,
        metavar="N",
        help="blocks segmented side by side here; by default 2 on a GPU, else 1",
    )
    group.add_argument(
        "--devices", metavar="NAME,...", help="one process per device, such as cuda:0,cuda:1"
    )
    group.add_argument(
        "--scheduler", metavar="ADDRESS", help="dask scheduler whose workers do the blocks"
    )
    group.add_argument(
        "--shard", metavar="I/N", help="segment only this share; N calls, then --finish"
    )
    group.add_argument(
        "--finish", action="store_true", help="link and write what shards have segmented"
    )
    group.add_argument(
        "--keep-embeddings",
        metavar="FOLDER",
        help="keep what the model sees, so that other settings start at once",
    )
    group.add_argument(
        "--keep-at-most", type=float, metavar="GB", help="drop the oldest embeddings above this"
    )
