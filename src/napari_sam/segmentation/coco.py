"""Objects as a COCO data set: a dictionary that JSON holds.

A stack is written as one COCO image per plane. The extra fields ``stack`` (its name) and ``plane``
(index on the axes before rows and columns) put it together again, and ``label_id`` tells which
annotations are one object.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from napari_sam.segmentation.annotations import DEFAULT_CATEGORY, AnnotatedImage
from napari_sam.segmentation.coco_entries import (
    Entry,
    annotation_entry,
    image_entry,
    is_list_of_dicts,
    plane_index,
    read_planes,
    report_left_out,
    summary,
)


def is_coco(data: object) -> bool:
    """Tell whether what a JSON file holds looks like COCO: a data set, or a list of results."""
    if isinstance(data, dict):
        return is_list_of_dicts(data.get("images")) and is_list_of_dicts(data.get("annotations"))
    return is_list_of_dicts(data) and len(data) > 0 and all(map(_is_result, data))


def _is_result(entry: Entry) -> bool:
    return "image_id" in entry and ("segmentation" in entry or "bbox" in entry)


def to_coco(
    images: AnnotatedImage | Sequence[AnnotatedImage], *, categories: Sequence[str] | None = None
) -> dict[str, Any]:
    """Describe objects as a COCO data set.

    Parameters
    ----------
    images : AnnotatedImage or sequence of AnnotatedImage
        Images and stacks; the names of stacks must differ.
    categories : sequence of str, optional
        The classes, whose ids count from 1 in this order; by default those of the objects in the
        order of the alphabet.

    Returns
    -------
    dict
        For `json.dump`. Scores are ``score``, other properties are fields of their own; those
        that are called like one of COCO's are in the field ``properties``.

    Raises
    ------
    ValueError
        If an object has a class that is not among `categories`, or two stacks one name.
    """
    images = [images] if isinstance(images, AnnotatedImage) else list(images)
    stacks = [image.name for image in images if len(image.shape) > 2]
    if len(set(stacks)) < len(stacks):
        raise ValueError(f"stacks must have names that differ, got {stacks}")
    present = {annotation.category for image in images for annotation in image.annotations}
    names = sorted(present) if categories is None else list(categories)
    if not present <= set(names):
        raise ValueError(f"categories must hold {sorted(present)}, got {names}; add the others")
    category_ids = {name: number for number, name in enumerate(names, start=1)}
    image_entries: list[Entry] = []
    entries: list[Entry] = []
    for image in images:
        for plane, objects in image.planes().items():
            image_id = len(image_entries) + 1
            image_entries.append(image_entry(image, plane, image_id))
            for annotation in objects:
                entry = annotation_entry(
                    annotation,
                    image.plane_shape,
                    id=len(entries) + 1,
                    image_id=image_id,
                    category_id=category_ids[annotation.category],
                    iscrowd=int(annotation.is_crowd),
                    score=annotation.predicted_iou,
                )
                entries.append(entry)
    return {
        "info": {"description": "Objects labelled with napari-sam", "version": "1.0"},
        "licenses": [],
        "images": image_entries,
        "annotations": entries,
        "categories": [
            {"id": number, "name": name, "supercategory": ""}
            for name, number in category_ids.items()
        ],
    }


def from_coco(data: Mapping[str, Any] | Sequence[Any]) -> list[AnnotatedImage]:
    """Read a COCO data set, or a list of results as detectors write them.

    Objects have the field ``label_id`` as their label, and are counted 1, 2, ... in the order of
    the file where it is missing. Annotations that have a box but no mask are left out.

    Parameters
    ----------
    data : mapping or sequence
        What `json.load` returned.

    Returns
    -------
    list of AnnotatedImage
        One per image or stack, in the order of the file; also of those without objects.

    Raises
    ------
    ValueError
        If it is no COCO, a mask is damaged, or no annotation has a mask.
    """
    if not is_coco(data):
        raise ValueError(
            "COCO must be an object with the lists images and annotations, or a list of results "
            f"with image_id and segmentation or bbox, got {summary(data)}"
        )
    if not isinstance(data, Mapping):
        data = _data_of_results(data)
    names = _category_names(data.get("categories"))
    by_image = _entries_by_image(data)
    stacks: dict[tuple[str, str], list[Entry]] = {}
    for image in data["images"]:
        kind, field = ("stack", "stack") if plane_index(image) else ("image", "id")
        stacks.setdefault((kind, str(image.get(field))), []).append(image)

    def category(entry: Entry) -> str:
        number = entry.get("category_id")
        return DEFAULT_CATEGORY if number is None else names.get(str(number), str(number))

    read = [
        read_planes(planes, [by_image[str(plane.get("id"))] for plane in planes], category)
        for planes in stacks.values()
    ]
    report_left_out(len(data["annotations"]), sum(len(image.annotations) for image in read))
    return read


def _entries_by_image(data: Mapping[str, Any]) -> dict[str, list[Entry]]:
    by_image: dict[str, list[Entry]] = {str(entry.get("id")): [] for entry in data["images"]}
    for entry in data["annotations"]:
        image_id = str(entry.get("image_id"))
        if image_id not in by_image:
            raise ValueError(
                f"annotation {entry.get('id')} must belong to one of the images, got the image_id "
                f"{image_id}; list that image or remove the annotation"
            )
        by_image[image_id].append(entry)
    return by_image


def _data_of_results(results: Sequence[Entry]) -> dict[str, list[Entry]]:
    """Return results as a data set; only images that have a mask say their size."""
    masks = [entry for entry in results if entry.get("segmentation")]
    report_left_out(len(results), len(masks))
    numbers = dict.fromkeys(str(entry["image_id"]) for entry in masks)
    return {"images": [{"id": number} for number in numbers], "annotations": masks}


def _category_names(categories: Any) -> dict[str, str]:
    if not is_list_of_dicts(categories):
        return {}
    return {str(entry.get("id")): str(entry.get("name", entry.get("id"))) for entry in categories}
