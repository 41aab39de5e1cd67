"""What a volume job will take, told before it runs: two blocks are timed, nothing is written."""

from __future__ import annotations

import os
import shutil
import time
import zlib
from dataclasses import asdict, dataclass, replace
from pathlib import Path

from napari_sam.volume.blocks import BlockTask, VolumePredictor
from napari_sam.volume.config import VolumeConfig
from napari_sam.volume.contrast import sample_volume
from napari_sam.volume.plan import VolumePlan
from napari_sam.volume.segment import SourceLike, halo_of, lay_out, measure

_FEW_BLOCKS = 8
"""Jobs of so few blocks are done sooner than told of."""
_LEVELS_SHARE = 4 / 3
"""All levels of a pyramid over its finest."""
_IN_HAND = 5
"""Blocks that are read, segmented or written at one time."""


@dataclass(frozen=True, kw_only=True)
class Preflight:
    """What a job will take.

    Attributes
    ----------
    plan : VolumePlan
        What will be written.
    object_diameter : float or None
        Measured or given, pixels; None where the model has a fixed input.
    contrast_limits : tuple of float or None
        Black and white.
    block_seconds : tuple of float
        What the timed blocks took; the first may have warmed up the device.
    n_found : tuple of int
        Objects in them.
    device : str
        Where the model runs.
    memory : int
        Pixels and labels in hand at one time, bytes, beside the model.
    scratch, labels : int
        What the job needs on the disk while it runs, and what stays, bytes (by how well the timed
        blocks compress).
    free : int
        Free on the disk, bytes.
    """

    plan: VolumePlan
    object_diameter: float | None
    contrast_limits: tuple[float, float] | None
    block_seconds: tuple[float, ...]
    n_found: tuple[int, ...]
    device: str
    memory: int
    scratch: int
    labels: int
    free: int

    @property
    def seconds(self) -> float:
        """How long the job will take on this device."""
        return self.block_seconds[-1] * self.plan.n_blocks

    def lines(self) -> list[str]:
        """Return it as text, a line for each thing."""
        depth, height, width = self.plan.shape
        n_tiles = len(self.plan.tiles)
        tiles = f" of {n_tiles} blocks each" if n_tiles > 1 else ""
        size = "fixed input" if self.object_diameter is None else f"{self.object_diameter:.0f} px"
        found = " and ".join(map(str, self.n_found))
        pace = f"{self.block_seconds[-1]:.2f}"
        short = self.free < self.scratch + self.labels
        room = f"; {_size(self.free)} free{': NOT ENOUGH' if short else ''}"
        return [
            f"volume   {depth} slices of {height} x {width}{tiles}, object diameter {size}",
            f"time     {duration(self.seconds)} on {self.device} ({pace} s a block)",
            f"finds    {found} objects in the two blocks that were timed",
            f"memory   {_size(self.memory)} for blocks in hand, beside the model",
            f"disk     {_size(self.scratch)} meanwhile, {_size(self.labels)} for good{room}",
            f"writes   {self.plan.image} in {len(self.plan.level_shapes)} levels",
        ]


def is_worth_telling(plan: VolumePlan, *, resume: bool) -> bool:
    """Tell whether a job begins here and is long enough for a preflight."""
    return plan.n_blocks > _FEW_BLOCKS and not (resume and plan.ledger.is_file())


def preflight(
    predictor: VolumePredictor,
    source: SourceLike,
    output: str | os.PathLike[str] | None,
    config: VolumeConfig | None = None,
) -> Preflight:
    """Time two blocks of a job and say what all will take; nothing is written.

    Parameters
    ----------
    predictor, source, output, config
        As for `segment_volume`, with the same errors.

    Returns
    -------
    Preflight
    """
    config = config or VolumeConfig()
    volume, plan = lay_out(source, output, config)
    measured = measure(predictor, volume, config, sample_volume(volume))
    plan = replace(plan, halo=halo_of(measured.object_diameter))
    task = BlockTask.of(predictor, volume, plan, config, **asdict(measured))
    seconds, found, compressed, raw = [], [], 0, 0
    for number in _probes(plan.n_blocks):
        started = time.perf_counter()
        labels = task.segment(number, task.read(number))
        seconds.append(time.perf_counter() - started)
        found.append(int(labels.max(initial=0)))
        compressed += len(zlib.compress(labels.tobytes(), 1))
        raw += labels.nbytes
    block = plan.scratch_shape[-2] * plan.scratch_shape[-1]
    whole = plan.n_blocks * block * 4
    scratch = int(whole * compressed / max(raw, 1))
    return Preflight(
        plan=plan,
        object_diameter=measured.object_diameter,
        contrast_limits=measured.contrast_limits,
        block_seconds=tuple(seconds),
        n_found=tuple(found),
        device=str(getattr(predictor, "device", "this machine")),
        memory=_IN_HAND * block * (4 + volume.dtype.itemsize * (3 if volume.is_rgb else 1)),
        scratch=scratch,
        labels=int(scratch * _LEVELS_SHARE),
        free=shutil.disk_usage(_existing(plan.output)).free,
    )


def _probes(n_blocks: int) -> list[int]:
    """Return the blocks to be timed: from a quarter and the middle of the volume."""
    return sorted({n_blocks // 4, n_blocks // 2})


def _existing(path: Path) -> Path:
    """Return the nearest folder above a path that is there."""
    path = path.absolute()
    return next(folder for folder in (path, *path.parents) if folder.is_dir())


def duration(seconds: float) -> str:
    """Say it in hours, minutes and seconds."""
    minutes, rest = divmod(round(seconds), 60)
    hours, minutes = divmod(minutes, 60)
    if hours:
        return f"{hours} h {minutes:02} min"
    return f"{minutes} min {rest:02} s" if minutes else f"{seconds:.0f} s"


def _size(count: float) -> str:
    for unit in ("B", "kB", "MB", "GB"):
        if count < 1000:
            return f"{count:.0f} {unit}" if unit == "B" else f"{count:.1f} {unit}"
        count /= 1000
    return f"{count:.1f} TB"
