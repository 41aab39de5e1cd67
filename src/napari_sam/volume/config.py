"""Settings of a volume job."""

from __future__ import annotations

import math
import re
from dataclasses import dataclass, field

from napari_sam.segmentation.everything_config import EverythingConfig
from napari_sam.segmentation.settings import check_settings, setting
from napari_sam.volume.link_config import LinkConfig
from napari_sam.volume.plan import SHARD_SIZE

_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]*")
_RESERVED = re.compile(r"(con|prn|aux|nul|com\d|lpt\d)(\..*)?", re.IGNORECASE)


@dataclass(frozen=True, kw_only=True)
class VolumeConfig:
    """Everything that decides the labels of a volume; a job refuses to resume under another.

    Attributes
    ----------
    everything : EverythingConfig
        How each slice is segmented.
    level : int or str
        Level of an OME-Zarr pyramid, by index (0 is the finest) or by path.
    channel : int or str, optional
        The channel, by index or name; may be left out where there is only one.
    time : int, optional
        The time point, by index; may be left out where there is only one.
    link : LinkConfig
        How objects of slices and tiles become objects of the volume.
    block_size : int
        Longest side of what is segmented at once, pixels, a multiple of 2048; larger slices are cut
        into blocks that overlap by 0.8 object diameters.
    empty_contrast : float
        Blocks whose contrast is less than this share of the volume's are left empty.
    contrast_limits : tuple of float, optional
        Intensities shown to the model as black and white; sampled from the volume if left out.
    voxel_size, origin : tuple of float, optional
        World size of a voxel, and world position of the first one's centre, (z, y, x), where the
        source says nothing of these or something else.
    unit : str, optional
        Their unit, such as ``"micrometer"``.
    name : str
        Name of the label image in the output: letters, digits, ``.``, ``_``, ``-``.
    """

    everything: EverythingConfig = field(
        default_factory=EverythingConfig,
        metadata={"label": "Each slice", "tooltip": "How each slice is segmented"},
    )
    level: int | str = setting(
        0,
        "Level",
        "Level of an OME-Zarr pyramid: an index (0 is the finest) or a path",
    )
    channel: int | str | None = setting(
        None,
        "Channel",
        "Channel to segment: an index or a name; empty where there is only one",
    )
    time: int | None = setting(
        None,
        "Time point",
        "Time point to segment; empty where there is only one",
        min=0,
        step=1,
    )
    link: LinkConfig = field(
        default_factory=LinkConfig,
        metadata={
            "label": "Links",
            "tooltip": "How objects of slices and tiles become objects of the volume",
        },
    )
    block_size: int = setting(
        2 * SHARD_SIZE,
        "Block size",
        "Larger slices are segmented in blocks of this side (pixels)",
        min=SHARD_SIZE,
        max=16 * SHARD_SIZE,
        step=SHARD_SIZE,
        advanced=True,
    )
    empty_contrast: float = setting(
        0.02,
        "Empty below",
        "Blocks of less contrast, over that of the volume, are left empty; 0: none",
        min=0.0,
        max=1.0,
        step=0.01,
        advanced=True,
    )
    contrast_limits: tuple[float, float] | None = setting(
        None,
        "Contrast limits",
        "Intensities taken as black and white; sampled from the volume if empty",
    )
    voxel_size: tuple[float, float, float] | None = setting(
        None,
        "Voxel size",
        "World size of a voxel (z, y, x); empty takes what the source says",
    )
    origin: tuple[float, float, float] | None = setting(
        None,
        "Origin",
        "World position of the first voxel; empty takes what the source says",
    )
    unit: str | None = setting(
        None,
        "Unit",
        "Unit of voxel size and origin; empty takes what the source says",
    )
    name: str = setting("sam", "Name", "Name of the label image in the output")

    def __post_init__(self) -> None:
        """Check the values that no later step checks."""
        check_settings(self)
        if self.block_size % SHARD_SIZE:
            raise ValueError(
                f"block_size must be a multiple of {SHARD_SIZE}, got {self.block_size}"
            )
        if self.contrast_limits is not None:
            limits = tuple(float(limit) for limit in self.contrast_limits)
            if len(limits) != 2 or not all(map(math.isfinite, limits)) or limits[0] >= limits[1]:
                raise ValueError(
                    "contrast_limits must be two numbers, the lower first, "
                    f"got {self.contrast_limits}"
                )
            object.__setattr__(self, "contrast_limits", limits)
        self._check_placement()
        portable = _NAME.fullmatch(self.name) and not self.name.endswith(".")
        if not portable or _RESERVED.fullmatch(self.name):
            raise ValueError(
                "name must be letters, digits, '.', '_' or '-', starting with a letter or digit, "
                f"and a folder name on every system, got {self.name!r}"
            )

    def _check_placement(self) -> None:
        for name, least in (("voxel_size", 0.0), ("origin", -math.inf)):
            given = getattr(self, name)
            if given is None:
                continue
            values = tuple(float(value) for value in given)
            if len(values) != 3 or not all(math.isfinite(v) and v > least for v in values):
                positive = "positive " if least == 0 else ""
                raise ValueError(f"{name} must be three {positive}numbers (z, y, x), got {given}")
            object.__setattr__(self, name, values)
