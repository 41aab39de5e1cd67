"""How objects are carried from slice to slice.

The fields' metadata make the form in the dock.
"""

from __future__ import annotations

from dataclasses import dataclass

from napari_sam.segmentation.settings import check_settings, setting

PROMPTS = ("mask", "box")


@dataclass(frozen=True, kw_only=True)
class PropagateConfig:
    """How objects are carried from slice to slice, and when they end.

    Attributes
    ----------
    prompts : str
        What tells the network about the object in the slice before: ``"mask"``, its logits, box
        and points, or ``"box"``, its box alone.
    max_slices : int
        How far from an annotated slice, each way; 0 goes to the end of the stack.
    neighbour_iou_thresh : float
        A mask whose IoU with that of the slice before is lower ends the object.
    pred_iou_thresh : float
        A mask that is less certain ends the object. Certainty is the predicted IoU; of networks
        with an instance decoder also, in part, how clearly that sees a middle in the mask.
    pred_iou_share : float
        As `pred_iou_thresh`, as a share of the highest certainty of the object so far; not between
        two annotated slices.
    min_area : int
        A smaller mask counts as empty, pixels.
    max_growth : float
        A mask larger than this many times the annotated one ends the object.
    objects_per_batch : int
        Objects decoded at once.
    """

    prompts: str = setting(
        "mask",
        "Prompts",
        "What the next slice is asked with: the mask with its box and points, or the box alone",
        choices=PROMPTS,
    )
    max_slices: int = setting(
        0,
        "Slices each way",
        "How far from an annotated slice; 0 goes to the end of the stack",
        min=0,
        max=1_000_000,
        step=1,
    )
    neighbour_iou_thresh: float = setting(
        0.3,
        "IoU with neighbour",
        "An object ends where its mask overlaps that of the slice before less",
        min=0.0,
        max=1.0,
        step=0.05,
    )
    pred_iou_thresh: float = setting(
        0.4,
        "Predicted IoU",
        "An object ends where the model scores its mask lower",
        min=0.0,
        max=1.0,
        step=0.05,
    )
    pred_iou_share: float = setting(
        0.87,
        "Share of best score",
        "An object ends where its score falls below this share of its best in this direction",
        min=0.0,
        max=1.0,
        step=0.05,
    )
    min_area: int = setting(
        8, "Smallest area", "A smaller mask counts as empty (pixels)", min=1, max=1_000_000, step=10
    )
    max_growth: float = setting(
        4.0,
        "Largest growth",
        "An object ends where its area is more times that of the annotated mask",
        min=1.0,
        max=1000.0,
        step=0.5,
        advanced=True,
    )
    objects_per_batch: int = setting(
        64,
        "Objects at once",
        "More is faster and takes more memory",
        min=1,
        max=1024,
        step=16,
        advanced=True,
    )

    def __post_init__(self) -> None:
        """Check every value against its range."""
        check_settings(self)
