"""Objects as an SA-1B file has them: one image, and masks with the scores that chose them."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from napari_sam.segmentation.annotations import DEFAULT_CATEGORY, AnnotatedImage
from napari_sam.segmentation.coco_entries import (
    annotation_entry,
    image_entry,
    is_list_of_dicts,
    read_planes,
    report_left_out,
    summary,
)


def is_sa1b(data: object) -> bool:
    """Tell whether what a JSON file holds looks like SA-1B: one image and its annotations."""
    return (
        isinstance(data, dict)
        and isinstance(data.get("image"), dict)
        and is_list_of_dicts(data.get("annotations"))
    )


def to_sa1b(image: AnnotatedImage, *, image_id: int = 1) -> dict[str, Any]:
    """Describe objects as an SA-1B file does, which knows no classes.

    Parameters
    ----------
    image : AnnotatedImage
        One plane, (H, W).
    image_id : int
        Number of the image.

    Raises
    ------
    ValueError
        If it is a stack.
    """
    if len(image.shape) != 2:
        raise ValueError(
            f"SA-1B has one image of shape (H, W) per file, got a stack of shape {image.shape}; "
            "write its planes one by one, or use COCO"
        )
    entry = image_entry(image, (), image_id)
    annotations = [
        annotation_entry(
            annotation, image.plane_shape, id=number, predicted_iou=annotation.predicted_iou
        )
        for number, annotation in enumerate(image.annotations, start=1)
    ]
    return {"image": {"image_id": entry.pop("id"), **entry}, "annotations": annotations}


def from_sa1b(data: Mapping[str, Any]) -> AnnotatedImage:
    """Read an SA-1B file.

    Parameters
    ----------
    data : mapping
        What `json.load` returned.

    Returns
    -------
    AnnotatedImage
        Labels count 1, 2, ... in the order of the file. The fields ``stability_score``,
        ``point_coords`` and ``crop_box`` are properties, as in the file.

    Raises
    ------
    ValueError
        If it is no SA-1B, or a mask is damaged.
    """
    if not is_sa1b(data):
        raise ValueError(
            f"SA-1B must be an object with image and the list annotations, got {summary(data)}"
        )
    image = {**data["image"], "id": 1}
    read = read_planes([image], [data["annotations"]], lambda _: DEFAULT_CATEGORY)
    report_left_out(len(data["annotations"]), len(read.annotations))
    return read
