"""Parse the command line; nothing heavy is imported before a command runs."""

from __future__ import annotations

import argparse
import importlib
import re
import sys
import warnings
from collections.abc import Sequence
from typing import TypeAlias

from napari_sam.cli.numbers import Numbers
from napari_sam.cli.settings_help import SettingsParser
from napari_sam.cli.volume_options import add_volume_options

_DESCRIPTION = "Segment Anything for images and volumes, in napari and from the shell."
_IMAGES = "image file (tif, png, jpg) or zarr array"
_VOLUMES = "OME-Zarr (0.4, 0.5), zarr array, TIFF stack, folder of TIFF planes, or URL of a zarr"


def main(arguments: Sequence[str] | None = None) -> int:
    """Run a command.

    Parameters
    ----------
    arguments : sequence of str, optional
        The words after the program's name; those of the shell by default.

    Returns
    -------
    int
        Exit status: 0, or 1 after an error that was told, or 130 after Ctrl+C.
    """
    words = sys.argv[1:] if arguments is None else arguments
    parsed = build_parser().parse_args(_joined(words))
    module_name, function_name = parsed.run.split(":")
    command = getattr(importlib.import_module(f"napari_sam.cli.{module_name}"), function_name)
    try:
        with warnings.catch_warnings():
            warnings.showwarning = _tell_warning
            command(parsed)
    except KeyboardInterrupt:
        print("\nStopped; a job with resume goes on from here.", file=sys.stderr)
        return 130
    except (ValueError, TypeError, OSError, RuntimeError) as error:
        if parsed.traceback:
            raise
        print(f"napari-sam: {error}", file=sys.stderr)
        return 1
    return 0


def _tell_warning(message: Warning | str, *_: object, **__: object) -> None:
    """Tell a warning as errors are told, without the line of source that it came from."""
    print(f"napari-sam: warning: {message}", file=sys.stderr)


def _joined(words: Sequence[str]) -> list[str]:
    """Join options with values that begin with a minus, which argparse takes for options."""
    joined: list[str] = []
    for word in words:
        if re.fullmatch(r"-[\d.]+,[\d.,-]+", word) and joined and joined[-1].startswith("--"):
            joined[-1] += f"={word}"
        else:
            joined.append(word)
    return joined


def build_parser() -> argparse.ArgumentParser:
    """Return the parser of all commands."""
    from napari_sam import __version__

    parser = argparse.ArgumentParser(prog="napari-sam", description=_DESCRIPTION)
    parser.add_argument("--version", action="version", version=f"napari-sam {__version__}")
    parser.add_argument("--traceback", action="store_true", help="show where an error came from")
    commands = parser.add_subparsers(
        dest="command", required=True, metavar="COMMAND", parser_class=SettingsParser
    )
    for add in (_demo, _segment, _everything, _volume, _train, _evaluate, _models):
        add(commands)
    return parser


_Commands: TypeAlias = "argparse._SubParsersAction[SettingsParser]"  # noqa: SLF001


def _command(commands: _Commands, name: str, run: str, text: str) -> argparse.ArgumentParser:
    parser: argparse.ArgumentParser = commands.add_parser(name, help=text, description=text)
    parser.set_defaults(run=run)
    return parser


def _model_options(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "--model", default="nano", help="known model (see `napari-sam models`) or checkpoint file"
    )
    parser.add_argument("--device", default="auto", help="auto, cpu, cuda, cuda:1, mps")
    parser.add_argument(
        "--object-diameter",
        type=float,
        metavar="PIXELS",
        help="typical object; estimated by default (only for nano)",
    )


def _demo(commands: _Commands) -> None:
    parser = _command(
        commands,
        "demo",
        "demo:demo",
        "Prompt, segment everything and run a volume; shown in napari, or written to a folder "
        "where there is no display.",
    )
    parser.add_argument("-o", "--output", default="napari-sam-demo", help="folder for the results")
    parser.add_argument(
        "--no-window", action="store_true", help="write pictures even if there is a display"
    )


def _segment(commands: _Commands) -> None:
    parser = _command(commands, "segment", "images:segment", "Segment one object from prompts.")
    parser.add_argument("image", help=_IMAGES)
    numbers = "comma-separated numbers, in pixels"
    parser.add_argument(
        "--point",
        action="append",
        default=[],
        type=Numbers(2),
        metavar="ROW,COL",
        help=f"a point in the object ({numbers}); may be repeated",
    )
    parser.add_argument(
        "--background",
        action="append",
        default=[],
        type=Numbers(2),
        metavar="ROW,COL",
        help="a point outside the object; may be repeated",
    )
    parser.add_argument(
        "--box", type=Numbers(4), metavar="R0,C0,R1,C1", help="a box around the object"
    )
    parser.add_argument(
        "--candidate",
        type=int,
        choices=(1, 2, 3),
        help="which of the three masks to keep; the best scored by default",
    )
    parser.add_argument("-o", "--output", required=True, help="mask to write (tif or png)")
    _model_options(parser)


def _everything(commands: _Commands) -> None:
    parser = _command(
        commands, "everything", "images:everything", "Segment everything in an image."
    )
    parser.add_argument("image", help=_IMAGES)
    parser.add_argument("-o", "--output", required=True, help="labels to write (tif or png)")
    _model_options(parser)
    _everything_options(parser)


def _everything_options(parser: argparse.ArgumentParser) -> None:
    """Add an option for each setting of `EverythingConfig` that has a name of its own."""
    group = parser.add_argument_group(
        "settings", "names and defaults of the grid's are the reference's"
    )
    group.add_argument(
        "--mode",
        choices=("auto", "grid", "instances", "prompts"),
        help="how objects are found (default: auto, instances where the model has them)",
    )
    group.add_argument(
        "--separation",
        choices=("auto", "watershed"),
        help="mode instances: the best rated outlines where the model rates them, or thresholds "
        "(default: auto)",
    )
    _grid_options(group)


def _grid_options(group: argparse._ArgumentGroup) -> None:
    group.add_argument(
        "--points",
        choices=("full", "adaptive"),
        help="mode grid: every point, or the most promising ones until nothing new is found "
        "(default: full)",
    )
    group.add_argument(
        "--draw",
        choices=("all", "largest", "smallest", "one size"),
        help="mode grid: which of masks in masks are drawn (default: all)",
    )
    for name, kind in EVERYTHING_NUMBERS.items():
        group.add_argument("--" + name.replace("_", "-"), type=kind, metavar=kind.__name__.upper())


EVERYTHING_NUMBERS: dict[str, type] = {
    "points_per_side": int,
    "pred_iou_thresh": float,
    "stability_score_thresh": float,
    "stability_score_offset": float,
    "box_nms_thresh": float,
    "crop_n_layers": int,
    "crop_nms_thresh": float,
    "crop_overlap_ratio": float,
    "crop_n_points_downscale_factor": int,
    "points_per_batch": int,
    "tile_side": int,
    "min_mask_region_area": int,
    "looks": int,
    "rating_thresh": float,
    "foreground_thresh": float,
    "seed_prominence": float,
    "seed_smoothing": float,
    "debris_thresh": float,
    "redraw_thresh": float,
}
"""Settings of `EverythingConfig` that the shell offers; a test holds them equal to its fields."""


def _volume(commands: _Commands) -> None:
    parser = _command(
        commands,
        "volume",
        "volumes:volume",
        "Segment every slice of a volume and link the objects through z; resumes after a kill.",
    )
    parser.add_argument("source", help=_VOLUMES)
    add_volume_options(parser)
    _model_options(parser)
    _everything_options(parser)


def _train(commands: _Commands) -> None:
    parser = _command(commands, "train", "learning:train", "Train or fine-tune a network; resumes.")
    parser.add_argument(
        "--config",
        help="recipe: a TOML file, or nano (the default), nano_cpu, nano_rater, nano_instances or "
        "finetune (the default where weights are given)",
    )
    parser.add_argument(
        "--weights", metavar="MODEL", help="start from these: a known model's name, or a file"
    )
    parser.add_argument(
        "--tune",
        metavar="WHAT",
        help="all, decoder, heads, rater, instance_rater, blocks:N or lora:N",
    )
    parser.add_argument(
        "--data",
        action="append",
        default=[],
        metavar="FOLDER",
        help="data pack (index.csv), or folder with images/ and labels/; may be repeated; "
        "$NAPARI_SAM_DATA by default",
    )
    parser.add_argument("-o", "--output", required=True, help="safetensors file to write")
    parser.add_argument("--steps", type=int, help="instead of the recipe's")
    parser.add_argument("--device", default="auto", help="auto, cpu, cuda, mps")
    parser.add_argument(
        "--workers",
        type=int,
        default=1,
        help="processes that compute parts of a step side by side, on processors",
    )
    parser.add_argument(
        "--threads", type=int, help="processor threads of each; by default they share all there are"
    )
    parser.add_argument("--restart", action="store_true", help="start over instead of resuming")


def _evaluate(commands: _Commands) -> None:
    parser = _command(
        commands,
        "evaluate",
        "learning:evaluate",
        "Score a model by simulated clicks, boxes and everything, beside classical baselines.",
    )
    parser.add_argument(
        "--data",
        action="append",
        default=[],
        metavar="FOLDER",
        help="data pack or folder with images/ and labels/; $NAPARI_SAM_DATA by default",
    )
    parser.add_argument("--split", default="val", help="split of a data pack")
    parser.add_argument("--source", action="append", help="only this source; may be repeated")
    parser.add_argument("--clicks", type=int, default=5, help="simulated clicks on every object")
    parser.add_argument(
        "--most-clicks", type=int, default=10, help="where the clicks up to an IoU of 0.85 end"
    )
    parser.add_argument("--max-objects", type=int, default=40, help="objects prompted per image")
    parser.add_argument("--max-images", type=int, help="images per source")
    parser.add_argument(
        "--modes",
        help="comma-separated modes of everything to score: instances, prompts, grid; by default "
        "the first two where the model has an instance decoder",
    )
    parser.add_argument(
        "--by",
        action="append",
        default=[],
        metavar="COLUMN",
        help="break the scores down by a column of the pack's index; may be repeated",
    )
    parser.add_argument("--json", metavar="FILE", help="write the scores here, too")
    parser.add_argument("--figure", metavar="PNG", help="draw the worst and typical objects")
    _model_options(parser)
    _everything_options(parser)


def _models(commands: _Commands) -> None:
    parser = _command(commands, "models", "models:models", "List, or download, known models.")
    parser.add_argument("--download", metavar="NAME", help="fetch a model into the cache")
