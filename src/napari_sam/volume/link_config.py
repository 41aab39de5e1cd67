"""Settings of linking."""

from __future__ import annotations

from dataclasses import dataclass

from napari_sam.segmentation.settings import check_settings, setting


@dataclass(frozen=True, kw_only=True)
class LinkConfig:
    """How the objects of slices and tiles become objects of a volume.

    Attributes
    ----------
    iou_thresh : float
        Objects of neighbouring slices, or of neighbouring tiles in what both see, are one where
        they are each other's best match and their intersection over union reaches this.
    containment_thresh : float
        A piece lies inside an object of the neighbouring slice if so much of it does; see
        `napari_sam.volume.fragments` for the pieces that join.
    max_gap : int
        An object that vanishes for at most so many slices goes on after them; 0 ends it.
    smooth : bool
        Draw it in the slices where it vanished, interpolated, on background only.
    min_voxels : int
        Smaller objects are removed, voxels (before any are drawn); 0 keeps all.
    """

    iou_thresh: float = setting(
        0.5,
        "Link IoU",
        "Objects of neighbouring slices become one from this overlap (intersection over union) on",
        min=0.01,
        max=1.0,
        step=0.01,
    )
    containment_thresh: float = setting(
        0.8,
        "Containment",
        "Short pieces join the object of the next slice that holds this share of them",
        min=0.51,
        max=1.0,
        step=0.01,
        advanced=True,
    )
    max_gap: int = setting(
        1,
        "Largest gap",
        "An object may vanish for so many slices and still be one; 0 allows none",
        min=0,
        max=16,
        step=1,
    )
    smooth: bool = setting(
        default=True,
        label="Fill gaps",
        tooltip="Draw objects in slices where they vanish, by the shapes above and below",
    )
    min_voxels: int = setting(
        0,
        "Smallest object",
        "Smaller objects are removed (voxels); 0 keeps all",
        min=0,
        max=1_000_000_000,
        step=10,
    )

    def __post_init__(self) -> None:
        """Check every value against its range."""
        check_settings(self)
