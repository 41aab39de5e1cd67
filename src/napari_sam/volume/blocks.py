"""One block of a volume, read, segmented and written alike in every thread and process."""

from __future__ import annotations

import contextlib
from dataclasses import dataclass, replace
from functools import cached_property
from pathlib import Path
from typing import Any, Protocol

import numpy as np
import zarr
from numpy.typing import NDArray
from zarr.errors import ContainsArrayError

from napari_sam.segmentation.everything import (
    EverythingConfig,
    TilingPredictor,
    segment_everything,
)
from napari_sam.volume.config import VolumeConfig
from napari_sam.volume.contrast import is_empty
from napari_sam.volume.ledger import DoneBlock, checksum
from napari_sam.volume.plan import SCRATCH_CHUNK, Block, VolumePlan
from napari_sam.volume.source import VolumeSource

Labels = NDArray[np.uint32]
Limits = tuple[float, float]


class VolumePredictor(TilingPredictor, Protocol):
    """What a volume job asks of a predictor."""

    @property
    def model_digest(self) -> str:
        """Tells models apart, whatever their names: a job does not resume with another one."""


@dataclass(frozen=True)
class BlockTask:
    """All that is needed to do a block, wherever that is; it may be pickled.

    Attributes
    ----------
    predictor : Predictor
        The model.
    source : VolumeSource
        The volume.
    plan : VolumePlan
        The blocks, and where their labels go.
    everything : EverythingConfig
        How a block is segmented, with the volume's object diameter.
    contrast_limits : tuple of float or None
        The volume's black and white.
    empty_contrast : float
        Blocks of less contrast, over the volume's own, are left empty.
    device : str or None
        Where another process loads the model; None takes the predictor's own.
    """

    predictor: VolumePredictor
    source: VolumeSource
    plan: VolumePlan
    everything: EverythingConfig
    contrast_limits: Limits | None
    empty_contrast: float
    device: str | None = None

    @classmethod
    def of(
        cls,
        predictor: VolumePredictor,
        source: VolumeSource,
        plan: VolumePlan,
        config: VolumeConfig,
        *,
        contrast_limits: Limits | None,
        object_diameter: float | None,
    ) -> BlockTask:
        """Make the task of a job from its settings, and from what was measured once."""
        return cls(
            predictor,
            source,
            plan,
            replace(config.everything, object_diameter=object_diameter),
            contrast_limits,
            config.empty_contrast,
        )

    def read(self, number: int) -> NDArray[Any] | None:
        """Read the pixels of a block's region; None where there is no contrast, so no object."""
        block = self.plan.block(number)
        pixels = self.source.read(block.z, block.region)
        self.source.check_present()
        return None if is_empty(pixels, self.contrast_limits, self.empty_contrast) else pixels

    def segment(self, number: int, pixels: NDArray[Any] | None) -> Labels:
        """Segment the pixels of a block's region, (h, w)."""
        if pixels is None:
            return np.zeros(self.plan.block(number).shape, np.uint32)
        return segment_everything(
            self.predictor, pixels, self.everything, contrast_limits=self.contrast_limits
        )

    def write(self, number: int, labels: Labels) -> DoneBlock:
        """Write a block's labels into the scratch."""
        self.scratch.write(self.plan.block(number), labels)
        return DoneBlock(n_objects=int(labels.max(initial=0)), checksum=checksum(labels))

    def run(self, number: int) -> DoneBlock:
        """Read, segment and write a block."""
        return self.write(number, self.segment(number, self.read(number)))

    @cached_property
    def scratch(self) -> Scratch:
        """Where labels go."""
        return Scratch.make(self.plan)

    def __getstate__(self) -> dict[str, Any]:
        """Leave out the open scratch, and a model that another process can load for itself."""
        state = {name: value for name, value in self.__dict__.items() if name != "scratch"}
        loader = getattr(self.predictor, "loader", None)
        if loader is not None:
            state |= {"predictor": None, "load": loader(self.device)}
        return state

    def __setstate__(self, state: dict[str, Any]) -> None:
        """Load the model."""
        load = state.pop("load", None)
        self.__dict__.update(state if load is None else {**state, "predictor": load()})


@dataclass(frozen=True)
class Scratch:
    """Labels that count from 1 in every block, with what a block sees beyond its core.

    Attributes
    ----------
    array : zarr.Array
        (Z, tiles, h, w) uint32; regions smaller than (h, w) lie at its beginning.
    """

    array: zarr.Array[Any]

    @classmethod
    def make(cls, plan: VolumePlan) -> Scratch:
        """Open the scratch of a job, or make it if there is none."""
        shape = plan.scratch_shape
        sides = (min(SCRATCH_CHUNK, length) for length in shape[2:])
        if not (plan.scratch / "zarr.json").is_file():
            with contextlib.suppress(ContainsArrayError):  # another process was quicker
                zarr.create_array(
                    store=plan.scratch, shape=shape, chunks=(1, 1, *sides), dtype="uint32"
                )
        return cls.open(plan.scratch)

    @classmethod
    def open(cls, path: Path) -> Scratch:
        """Open a scratch that is there."""
        return cls(zarr.open_array(store=path, mode="r+"))

    def write(self, block: Block, labels: Labels) -> None:
        """Write the labels of a block's region, (h, w)."""
        height, width = block.shape
        self.array[block.z, block.tile, :height, :width] = labels

    def read(self, block: Block) -> Labels:
        """Read the labels of a block's region, (h, w)."""
        height, width = block.shape
        part = self.array[block.z, block.tile, :height, :width]
        return np.asarray(part, dtype=np.uint32)

    def read_whole(self, block: Block, done: DoneBlock) -> Labels | None:
        """Read the labels of a block; None if they are not those that were recorded."""
        try:
            labels = self.read(block)
        except (OSError, ValueError, RuntimeError):
            return None
        return labels if checksum(labels) == done.checksum else None
