"""The line for the shell that does the same job."""

from __future__ import annotations

import os
import shlex
from dataclasses import fields
from pathlib import Path
from typing import Any

from napari_sam.volume.config import VolumeConfig
from napari_sam.volume.executors import LocalExecutor, ProcessExecutor
from napari_sam.volume.run_config import RunConfig
from napari_sam.volume.source import VolumeSource
from napari_sam.volume.stores import is_remote

_RENAMED = {
    "everything.level": "draw",
    "link.iou_thresh": "link-iou-thresh",
    "contrast_limits": "contrast",
}
"""Options that are not called as their setting; the rest are, with dashes."""


def command_line(
    source: VolumeSource,
    output: str | os.PathLike[str],
    config: VolumeConfig,
    *,
    model: str,
    device: str = "auto",
    run: RunConfig | None = None,
) -> str | None:
    """Return the line that does a job in the shell, or resumes it there.

    Parameters
    ----------
    source : VolumeSource
        The volume.
    output : path
        The output group.
    config : VolumeConfig
        The settings; only those that are not the defaults are named.
    model : str
        A known model's name, or the path of a checkpoint.
    device : str
        Where the model runs.
    run : RunConfig, optional
        How the job is run.

    Returns
    -------
    str or None
        The line, quoted for a POSIX shell; None where the shell cannot do it: the source is an
        array in memory, or the blocks are done in a way that has no option.
    """
    running = _run_options(run or RunConfig())
    if source.location is None or running is None:
        return None
    place = source.location if is_remote(source.location) else str(Path(source.location))
    words = ["napari-sam", "volume", place, str(Path(output).expanduser().absolute())]
    if model != "nano":
        words += _option("model", _whole_path(model))
    if device != "auto":
        words += _option("device", device)
    return shlex.join([*words, *_settings(config), *running])


def _settings(config: Any, parent: str = "") -> list[str]:
    """Return the options of all settings that are not the defaults."""
    words: list[str] = []
    default = type(config)()
    for spec in fields(config):
        value, name = getattr(config, spec.name), parent + spec.name
        if hasattr(value, "__dataclass_fields__"):
            words += _settings(value, f"{name}.")
        elif value != getattr(default, spec.name):
            words += _option(_RENAMED.get(name, spec.name.replace("_", "-")), value)
    return words


def _option(name: str, value: object) -> list[str]:
    if isinstance(value, bool):
        return [f"--{name}" if value else f"--no-{name}"]
    text = ",".join(map(repr, value)) if isinstance(value, tuple) else str(value)
    return [f"--{name}={text}"] if text.startswith("-") else [f"--{name}", text]


def _run_options(run: RunConfig) -> list[str] | None:
    """Return the options of how a job is run; None where there are none."""
    words: list[str] = []
    if run.on_error != "stop":
        words += _option("on-error", run.on_error)
    for name in ("retry_failed", "take_lock"):
        if getattr(run, name):
            words.append("--" + name.replace("_", "-"))
    if run.only_finish:
        words.append("--finish")
    if run.shard is not None:
        words += _option("shard", f"{run.shard.index}/{run.shard.count}")
    if isinstance(run.executor, LocalExecutor):
        at_once = run.executor.at_once
        return words if at_once is None else words + _option("at-once", at_once)
    if isinstance(run.executor, ProcessExecutor):
        return words + _option("devices", ",".join(run.executor.devices))
    return None


def _whole_path(model: str) -> str:
    """Return a known model's name as it is, and the path of a file so that it holds anywhere."""
    path = Path(model).expanduser()
    return str(path.absolute()) if path.is_file() else model
