"""How objects that are like some examples are found.

The fields' metadata make a form.
"""

from __future__ import annotations

from dataclasses import dataclass

from napari_sam.segmentation.settings import check_settings, setting


@dataclass(frozen=True, kw_only=True)
class AlikeConfig:
    """How objects that are like some examples are found.

    Attributes
    ----------
    use_instances : bool
        Whether networks with an instance decoder are asked about its instances first, and about
        points only where none is.
    similarity_thresh : float
        Points are asked about where the similarity is higher. 1 is that inside the examples, 0 what
        is least like them around them.
    mask_similarity_thresh : float
        Masks whose mean vector is less similar are dropped; on the same scale.
    max_area_ratio : float
        Masks this many times larger than the largest example, or smaller than the smallest, are
        dropped.
    pred_iou_share : float
        Masks that the network scores lower than this share of what it scores the examples are
        dropped.
    overlap_thresh : float
        Of two masks that share more than this of the smaller one, the better is kept; masks that
        share as much with an example are dropped.
    point_spacing : float
        Between points, as a share of the diameter of the smallest example; never less than half a
        token of the image.
    max_points : int
        So many points, the most alike ones, are asked about at most.
    points_per_batch : int
        Points decoded at once.
    """

    use_instances: bool = setting(
        default=True,
        label="Use instances",
        tooltip="Ask about the instance decoder's objects first, where the model has one",
    )
    similarity_thresh: float = setting(
        0.9,
        "Alike places",
        "Points are tried where the image is more alike; 1 is as in the examples",
        min=0.0,
        max=1.0,
        step=0.05,
    )
    mask_similarity_thresh: float = setting(
        0.8,
        "Alike objects",
        "Masks that are less alike are dropped; 1 is as in the examples",
        min=0.0,
        max=1.0,
        step=0.05,
    )
    max_area_ratio: float = setting(
        5.0,
        "Size",
        "Masks so many times larger or smaller than the examples are dropped",
        min=1.0,
        max=100.0,
        step=0.5,
    )
    pred_iou_share: float = setting(
        0.7,
        "Share of the examples' score",
        "Masks that the model scores lower than this share of the examples' score are dropped",
        min=0.0,
        max=1.0,
        step=0.05,
    )
    overlap_thresh: float = setting(
        0.5,
        "Overlap",
        "Of masks that share more of the smaller one, the better stays",
        min=0.0,
        max=1.0,
        step=0.05,
        advanced=True,
    )
    point_spacing: float = setting(
        0.5,
        "Spacing",
        "Between the points that are tried (share of the smallest example's diameter)",
        min=0.1,
        max=4.0,
        step=0.1,
        advanced=True,
    )
    max_points: int = setting(
        512,
        "Points at most",
        "So many of the most alike places are tried",
        min=0,
        max=1_000_000,
        step=64,
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

    def __post_init__(self) -> None:
        """Check every value against its range."""
        check_settings(self)
