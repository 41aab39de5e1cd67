"""Masks from a grid of points: the paper's automatic mask generation.

Kirillov et al. 2023, appendix B: three masks for each point, filters on predicted IoU and
stability, non-maximum suppression, and optionally crops.
"""

from __future__ import annotations

import math
from collections.abc import Generator, Sequence
from typing import Any, Protocol

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from napari_sam.segmentation.everything_config import EverythingConfig
from napari_sam.segmentation.images import check_image, contrast_range
from napari_sam.segmentation.labels import MaskRecord
from napari_sam.segmentation.masks import (
    clean_mask,
    mask_boxes,
    non_maximum_suppression,
    stability_score,
)
from napari_sam.segmentation.progress import Progress, run
from napari_sam.segmentation.prompts import Prompts
from napari_sam.segmentation.seeded import MaskPredictor

_EDGE_TOLERANCE = 20


class EverythingPredictor(MaskPredictor, Protocol):
    """What segmenting everything asks of a predictor."""

    @property
    def has_instance_decoder(self) -> bool:
        """Whether `instance_maps` works."""

    def embed(
        self,
        image: NDArray[np.generic],
        *,
        contrast_limits: tuple[float, float] | None = None,
        object_diameter: float | None = None,
    ) -> Any:
        """Embed an image."""

    def decode(
        self,
        embedding: Any,
        prompts: Sequence[Prompts],
        *,
        multimask_output: bool = True,
    ) -> tuple[Tensor, Tensor]:
        """Decode prompts at low resolution."""

    def upscale(self, embedding: Any, low_res_logits: Tensor) -> Tensor:
        """Resize logits to the image."""

    def instance_maps(self, embedding: Any) -> NDArray[np.float32]:
        """Predict foreground, closeness to centre and depth."""


def generate_masks(
    predictor: EverythingPredictor,
    image: NDArray[np.generic],
    config: EverythingConfig | None = None,
    *,
    contrast_limits: tuple[float, float] | None = None,
) -> list[MaskRecord]:
    """Find masks on a grid of points, whatever `config.mode` says.

    Parameters
    ----------
    predictor, image, config, contrast_limits
        As in `segment_everything`.

    Returns
    -------
    list of MaskRecord
        They may overlap: an object and its parts are masks of their own.
    """
    return run(iter_masks(predictor, image, config, contrast_limits=contrast_limits))


def iter_masks(
    predictor: EverythingPredictor,
    image: NDArray[np.generic],
    config: EverythingConfig | None = None,
    *,
    contrast_limits: tuple[float, float] | None = None,
) -> Generator[Progress, None, list[MaskRecord]]:
    """Find masks step by step: yields `Progress`, returns what `generate_masks` does."""
    config = config or EverythingConfig()
    image = np.asarray(image)
    shape = check_image(image)
    if contrast_limits is None and not (image.ndim == 3 and image.dtype == np.uint8):
        contrast_limits = contrast_range(image[..., :3] if image.ndim == 3 else image)
    crops = crop_boxes(shape, config.crop_n_layers, config.crop_overlap_ratio)
    sides = [_points_per_side(config, layer) for _, layer in crops]
    batches = [math.ceil(side**2 / config.points_per_batch) for side in sides]
    done, total = 0, sum(batches) + len(crops)
    found: list[MaskRecord] = []
    for (box, _), side in zip(crops, sides, strict=True):
        yield Progress(done, total, "embedding")
        done += 1
        view = image[box[0] : box[2], box[1] : box[3]]
        embedding = predictor.embed(
            view, contrast_limits=contrast_limits, object_diameter=config.object_diameter
        )
        points = grid_points(side) * view.shape[:2]
        in_crop: list[MaskRecord] = []
        for start in range(0, len(points), config.points_per_batch):
            yield Progress(done, total, "decoding")
            done += 1
            batch = points[start : start + config.points_per_batch]
            in_crop += _masks_at(predictor, embedding, batch, config, box, shape)
        found += _without_duplicates(in_crop, config.box_nms_thresh)
    found = _across_crops(found, config)
    if config.min_mask_region_area:
        found = _without_small_regions(found, config)
    yield Progress(total, total, "done")
    return found


def grid_points(side: int) -> NDArray[np.float64]:
    """Return side ** 2 points (row, col) in the unit square, row by row."""
    steps = (np.arange(side) + 0.5) / side
    return np.stack(np.meshgrid(steps, steps, indexing="ij"), -1).reshape(-1, 2)


def crop_boxes(
    shape: tuple[int, int], n_layers: int, overlap_ratio: float
) -> list[tuple[tuple[int, int, int, int], int]]:
    """Return the boxes of the whole image and of all crops, each with its layer."""
    height, width = shape
    boxes = [((0, 0, height, width), 0)]
    for layer in range(1, n_layers + 1):
        count = 2**layer
        overlap = int(overlap_ratio * min(shape) * 2 / count)
        tall, wide = (math.ceil((overlap * (count - 1) + side) / count) for side in shape)
        lefts = [int((wide - overlap) * i) for i in range(count)]
        tops = [int((tall - overlap) * i) for i in range(count)]
        boxes += [
            ((top, left, min(top + tall, height), min(left + wide, width)), layer)
            for left in lefts
            for top in tops
        ]
    return boxes


def _points_per_side(config: EverythingConfig, layer: int) -> int:
    return max(1, int(config.points_per_side / config.crop_n_points_downscale_factor**layer))


def _masks_at(
    predictor: EverythingPredictor,
    embedding: Any,
    points: NDArray[np.float64],
    config: EverythingConfig,
    crop: tuple[int, int, int, int],
    shape: tuple[int, int],
) -> list[MaskRecord]:
    """Decode a batch of points (N, 2) of a crop and keep the masks that pass the filters."""
    logits, iou = predictor.decode(embedding, [Prompts(points=[point]) for point in points])
    count = logits.shape[1]
    logits, iou = logits.flatten(0, 1), iou.flatten()
    origins = torch.arange(len(points), device=iou.device).repeat_interleave(count)
    good = iou > config.pred_iou_thresh
    logits, iou, origins = logits[good], iou[good], origins[good]
    if not len(iou):
        return []
    full = predictor.upscale(embedding, logits)
    stability = stability_score(full, config.stability_score_offset)
    masks = full > 0
    boxes = mask_boxes(masks)
    good = stability >= config.stability_score_thresh
    good &= (boxes[:, 2] > boxes[:, 0]) & ~_at_crop_edge(boxes, crop, shape)
    return [
        _record(masks[i], boxes[i], float(iou[i]), float(stability[i]), points[origins[i]], crop)
        for i in torch.nonzero(good)[:, 0].tolist()
    ]


def _at_crop_edge(boxes: Tensor, crop: tuple[int, int, int, int], shape: tuple[int, int]) -> Tensor:
    """Tell which boxes (N, 4) end at an edge of their crop that is no edge of the image."""
    inclusive = boxes - torch.tensor([0, 0, 1, 1], device=boxes.device)
    placed = inclusive + torch.tensor([crop[0], crop[1]] * 2, device=boxes.device)
    edges = torch.tensor(crop, device=boxes.device)
    ends = torch.tensor([0, 0, *shape], device=boxes.device)
    near_crop = (placed - edges).abs() <= _EDGE_TOLERANCE
    near_image = (placed - ends).abs() <= _EDGE_TOLERANCE
    return (near_crop & ~near_image).any(1)


def _record(
    mask: Tensor,
    box: Tensor,
    iou: float,
    stability: float,
    point: NDArray[np.float64],
    crop: tuple[int, int, int, int],
) -> MaskRecord:
    top, left, bottom, right = box.tolist()
    cut = mask[top:bottom, left:right].cpu().numpy()
    return MaskRecord(
        mask=cut,
        box=(top + crop[0], left + crop[1], bottom + crop[0], right + crop[1]),
        area=int(cut.sum()),
        predicted_iou=iou,
        stability_score=stability,
        point=(float(point[0]) + crop[0], float(point[1]) + crop[1]),
        crop_box=crop,
    )


def _inclusive_boxes(records: Sequence[MaskRecord]) -> NDArray[np.float64]:
    """Boxes (N, 4) that end on the mask's last pixel, as the reference compares them."""
    boxes = np.array([record.box for record in records], np.float64).reshape(-1, 4)
    return boxes - (0, 0, 1, 1)


def _without_duplicates(records: list[MaskRecord], iou_thresh: float) -> list[MaskRecord]:
    scores = np.array([record.predicted_iou for record in records])
    kept = non_maximum_suppression(_inclusive_boxes(records), scores, iou_thresh)
    return [records[index] for index in kept]


def _across_crops(records: list[MaskRecord], config: EverythingConfig) -> list[MaskRecord]:
    """Drop duplicates between crops; the smaller crop's mask stays."""
    if not config.crop_n_layers:
        return records
    areas = [(r.crop_box[2] - r.crop_box[0]) * (r.crop_box[3] - r.crop_box[1]) for r in records]
    scores = 1 / np.array(areas, np.float64)
    kept = non_maximum_suppression(_inclusive_boxes(records), scores, config.crop_nms_thresh)
    return [records[index] for index in kept]


def _without_small_regions(records: list[MaskRecord], config: EverythingConfig) -> list[MaskRecord]:
    """Fill holes, drop islands, then drop duplicates, keeping masks that needed no repair."""
    cleaned, untouched = [], []
    for record in records:
        mask, changed = clean_mask(np.pad(record.mask, 1), config.min_mask_region_area)
        cleaned.append(_trimmed(record, mask[1:-1, 1:-1]) if changed else record)
        untouched.append(0.0 if changed else 1.0)
    thresh = max(config.box_nms_thresh, config.crop_nms_thresh)
    kept = non_maximum_suppression(_inclusive_boxes(cleaned), np.array(untouched), thresh)
    return [cleaned[index] for index in kept]


def _trimmed(record: MaskRecord, mask: NDArray[np.bool_]) -> MaskRecord:
    """Return a record with another mask in the same box, cut to that mask's own box."""
    top, left, bottom, right = mask_boxes(torch.from_numpy(mask)[None])[0].tolist()
    row, col = record.box[:2]
    cut = mask[top:bottom, left:right]
    return MaskRecord(
        mask=cut,
        box=(row + top, col + left, row + bottom, col + right),
        area=int(cut.sum()),
        predicted_iou=record.predicted_iou,
        stability_score=record.stability_score,
        point=record.point,
        crop_box=record.crop_box,
    )
