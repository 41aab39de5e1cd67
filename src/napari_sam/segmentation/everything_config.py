"""How everything is segmented: one value with the reference's names and defaults.

The fields' metadata make the form in the dock and the help in the shell.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from napari_sam.segmentation.instance_looks import MOST_LOOKS
from napari_sam.segmentation.settings import check_settings, setting

MODES = ("auto", "grid", "instances", "prompts")
POINTS = ("full", "adaptive")
SEPARATIONS = ("auto", "watershed")
LEVELS = ("all", "largest", "smallest", "one size")
"""Which of nested masks are drawn, see `PartTree.choose`."""
_DIAMETERS = (1, 4096)
_SMALLEST_TILE = 16
_SMOOTHING = 1.6


def within_range(diameter: float) -> float:
    """Bring an estimated diameter into the range of `EverythingConfig.object_diameter`."""
    return float(np.clip(diameter, *_DIAMETERS))


@dataclass(frozen=True, kw_only=True)
class EverythingConfig:
    """How everything is segmented; names and defaults are the reference's.

    Attributes
    ----------
    mode : str
        ``"grid"``; ``"instances"``; ``"prompts"``, instances that the mask decoder draws anew; or
        ``"auto"``: instances where the model has the decoder.
    object_diameter : float or None
        Typical object in image pixels; None estimates it.
    min_mask_region_area : int
        Smaller holes and islands of objects are removed, pixels, and instances that are smaller;
        a grid's masks keep their largest island, as in the reference. 0 keeps all.
    level : str
        Mode ``"grid"``: which of nested masks are drawn: ``"all"``, the ``"largest"``, the
        ``"smallest"``, or those of ``"one size"``; see `PartTree.choose`.
    points : str
        ``"full"`` decodes every grid point; ``"adaptive"`` the most promising ones first, until
        hardly anything new is found.
    points_per_side : int
        Grid points along one side.
    pred_iou_thresh, stability_score_thresh, stability_score_offset : float
        Filters of the grid's masks.
    box_nms_thresh : float
        IoU of boxes above which the worse mask is dropped.
    crop_n_layers : int
        Layers of crops that are segmented too; layer i has 4 ** i crops.
    crop_nms_thresh, crop_overlap_ratio, crop_n_points_downscale_factor : float, float, int
        Between and within crops.
    points_per_batch : int
        Points decoded at once.
    looks : int
        Mode ``"instances"``: the maps are the mean of so many looks; see `mean_instance_maps`.
    separation : str
        Mode ``"instances"``: ``"auto"`` chooses the best rated of all objects that there may be,
        see `best_instances`, where the model has learned to rate them; ``"watershed"`` cuts by
        thresholds.
    rating_thresh : float
        Of these, what is rated less than this share of the image's median is dropped.
    foreground_thresh, seed_prominence : float
        Of the watershed, see `instances_from_maps`.
    seed_smoothing, debris_thresh : float
        Of mode ``"instances"``; see `instances_from_maps` and `without_debris`. Smoothing is a
        share of the object diameter.
    redraw_thresh : float
        Mode ``"prompts"``: instances whose redrawn mask scores less than this share of the image's
        median are dropped.
    tile_side : int or None
        Images of longer sides are cut into overlapping tiles of this side, pixels; 0 cuts nothing.
        None takes what the model sees well where the object diameter is known.
    """

    mode: str = setting(
        "auto", "Mode", "auto takes the instance decoder where the model has one", choices=MODES
    )
    object_diameter: float | None = setting(
        None,
        "Object diameter",
        "Typical object in pixels; empty estimates it",
        min=_DIAMETERS[0],
        max=_DIAMETERS[1],
        step=1,
    )
    min_mask_region_area: int = setting(
        0,
        "Smallest region",
        "Smaller objects, holes and islands are removed (pixels)",
        min=0,
        max=1_000_000,
        step=10,
    )
    level: str = setting(
        "all",
        "Level",
        "Grid mode, of masks in masks: all, the largest, the smallest, or those whose sizes agree",
        choices=LEVELS,
    )
    points: str = setting(
        "full",
        "Points",
        "adaptive decodes promising points first and ends when nothing new is found: 3 x quicker",
        choices=POINTS,
    )
    points_per_side: int = setting(
        32, "Points per side", "Grid points along one side of the image", min=1, max=256, step=1
    )
    pred_iou_thresh: float = setting(
        0.88,
        "Predicted IoU",
        "Masks that the model scores lower are dropped",
        min=0.0,
        max=1.0,
        step=0.01,
    )
    stability_score_thresh: float = setting(
        0.95,
        "Stability",
        "Masks that change more with their threshold are dropped",
        min=0.0,
        max=1.0,
        step=0.01,
    )
    stability_score_offset: float = setting(
        1.0,
        "Stability offset",
        "How far the threshold is moved to test stability (logits)",
        min=0.0,
        max=10.0,
        step=0.1,
        advanced=True,
    )
    box_nms_thresh: float = setting(
        0.7,
        "Box overlap",
        "Of masks whose boxes overlap more, the better stays",
        min=0.0,
        max=1.0,
        step=0.05,
        advanced=True,
    )
    crop_n_layers: int = setting(
        0,
        "Crop layers",
        "Segment crops too: finds smaller objects, takes longer",
        min=0,
        max=3,
        step=1,
        advanced=True,
    )
    crop_nms_thresh: float = setting(
        0.7,
        "Crop overlap limit",
        "As box overlap, between crops",
        min=0.0,
        max=1.0,
        step=0.05,
        advanced=True,
    )
    crop_overlap_ratio: float = setting(
        512 / 1500,
        "Crop margin",
        "How far crops overlap, of the image's shorter side",
        min=0.0,
        max=0.9,
        step=0.05,
        advanced=True,
    )
    crop_n_points_downscale_factor: int = setting(
        1,
        "Fewer points in crops",
        "Points per side are divided by this in each layer",
        min=1,
        max=8,
        step=1,
        advanced=True,
    )
    points_per_batch: int = setting(
        64,
        "Points at once",
        "More is faster and takes more memory",
        min=1,
        max=1024,
        step=16,
        advanced=True,
    )
    looks: int = setting(
        MOST_LOOKS,
        "Looks",
        "Instances mode: the image is also seen mirrored, nearer and further; 1 is quickest",
        min=1,
        max=MOST_LOOKS,
        step=1,
        advanced=True,
    )
    separation: str = setting(
        "auto",
        "Separation",
        "Instances mode: auto picks, where the model has learned it, the best of many outlines; "
        "watershed cuts by the thresholds below",
        choices=SEPARATIONS,
    )
    rating_thresh: float = setting(
        0.7,
        "Rating",
        "Instances mode: what is rated less than this share of the median goes; lower finds more",
        min=0.0,
        max=1.0,
        step=0.05,
    )
    foreground_thresh: float = setting(
        0.7,
        "Foreground",
        "Watershed: foreground is above this probability",
        min=0.0,
        max=1.0,
        step=0.05,
        advanced=True,
    )
    seed_prominence: float = setting(
        0.15,
        "Seed prominence",
        "Watershed: lower splits touching objects more, higher keeps uneven ones whole",
        min=0.0,
        max=1.0,
        step=0.05,
        advanced=True,
    )
    seed_smoothing: float = setting(
        0.02,
        "Seed smoothing",
        "Instances mode: more joins the parts of uneven objects (share of the object diameter)",
        min=0.0,
        max=0.5,
        step=0.01,
        advanced=True,
    )
    debris_thresh: float = setting(
        0.02,
        "Debris",
        "Instances mode: objects smaller than this share of the median area are dropped",
        min=0.0,
        max=1.0,
        step=0.01,
    )
    redraw_thresh: float = setting(
        0.75,
        "Redrawn masks",
        "Prompts mode: masks that score less than this share of the median go; 0 keeps all",
        min=0.0,
        max=1.0,
        step=0.05,
    )
    tile_side: int | None = setting(
        None,
        "Tile side",
        "Larger images are segmented in overlapping tiles of this side (pixels); 0 never, "
        "auto by what the model sees well",
        min=0,
        max=65536,
        step=64,
        advanced=True,
    )

    def smoothing(self, diameter: float | None) -> float:
        """Return the deviation that `seed_smoothing` is for objects of a diameter, pixels.

        Of networks that ask for no diameter, it is what micro-sam smooths its maps by.
        """
        return _SMOOTHING if diameter is None else self.seed_smoothing * diameter

    def __post_init__(self) -> None:
        """Check every value against its range."""
        check_settings(self)
        if self.tile_side is not None and 0 < self.tile_side < _SMALLEST_TILE:
            raise ValueError(
                f"tile_side must be 0 or at least {_SMALLEST_TILE}, got {self.tile_side}"
            )
