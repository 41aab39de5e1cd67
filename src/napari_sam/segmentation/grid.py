"""Masks from a grid of points: the paper's automatic mask generation.

Kirillov et al. 2023, appendix B: three masks for each point, filters on predicted IoU and
stability, non-maximum suppression, and optionally crops. Nothing is drawn that a filter drops: the
predicted IoU is known before the mask, and everything else is measured within the mask's box.
"""

from __future__ import annotations

import math
from collections.abc import Generator, Iterator
from typing import Any, NamedTuple, Protocol

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from napari_sam.segmentation.everything_config import EverythingConfig
from napari_sam.segmentation.full_resolution import FullResolution, LowResMasks, PointMasks
from napari_sam.segmentation.images import check_image, whole_range
from napari_sam.segmentation.masks import box_area, non_maximum_suppression
from napari_sam.segmentation.point_queue import PointQueue
from napari_sam.segmentation.progress import Progress
from napari_sam.segmentation.records import MaskRecord
from napari_sam.segmentation.seeded import MaskPredictor
from napari_sam.segmentation.selection import clean_record, without_small_regions

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

    def iter_points(
        self, embedding: Any, points: NDArray[np.floating], least_iou: float
    ) -> Iterator[PointMasks]:
        """Decode single points (N, 2), (row, col), and draw what is expected to be good."""

    def point_features(self, embedding: Any, points: NDArray[np.floating]) -> NDArray[np.float32]:
        """Return what the image shows at points (N, 2), unit vectors (N, C)."""

    def full_resolution(self, embedding: Any) -> FullResolution:
        """Return what resizes masks to the image's pixels."""

    def instance_maps(self, embedding: Any) -> NDArray[np.float32]:
        """Predict foreground, closeness to centre and depth."""


class Crop(NamedTuple):
    """A part of the image that is embedded by itself.

    Attributes
    ----------
    box : (int, int, int, int)
        (row_min, col_min, row_max, col_max), the last two one past, pixels.
    points : ndarray
        (side ** 2, 2) grid points (row, col) in pixels of the crop, row by row.
    """

    box: tuple[int, int, int, int]
    points: NDArray[np.float64]

    @property
    def side(self) -> int:
        """Points along one side."""
        return math.isqrt(len(self.points))


class _Found(NamedTuple):
    """Masks of one crop that passed the filters, not drawn yet.

    The masks' origins number the crop's points; `boxes` (K, 4) are in pixels of the crop.
    """

    crop: Crop
    full: FullResolution
    masks: LowResMasks
    boxes: NDArray[np.int64]
    areas: NDArray[np.int64]
    stability: NDArray[np.float32]

    @property
    def scores(self) -> NDArray[np.float32]:
        """Predicted IoU (K,)."""
        return self.masks.predicted_iou.cpu().numpy()

    @property
    def inclusive_boxes(self) -> NDArray[np.float64]:
        """Boxes in the image that end on the mask's last pixel, as the reference compares them."""
        top, left = self.crop.box[:2]
        return np.add(self.boxes, (top, left, top - 1, left - 1), dtype=np.float64)

    def chosen(self, kept: NDArray[np.intp]) -> _Found:
        """Return some of the masks."""
        return self._replace(
            masks=self.masks.some(torch.from_numpy(kept)),
            boxes=self.boxes[kept],
            areas=self.areas[kept],
            stability=self.stability[kept],
        )

    def covered(self) -> NDArray[np.bool_]:
        """Tell which of the crop's grid points lie in each mask, (K, side ** 2)."""
        side = self.crop.side
        rows, cols = self.crop.points[::side, 0], self.crop.points[:side, 1]
        logits = self.full.at(self.masks, np.floor(rows), np.floor(cols))
        found: NDArray[np.bool_] = (logits > 0).flatten(1).cpu().numpy()
        return found

    def without_duplicates(self, iou_thresh: float) -> _Found:
        """Drop masks whose boxes overlap better ones."""
        return self.chosen(non_maximum_suppression(self.inclusive_boxes, self.scores, iou_thresh))

    def records(self) -> list[MaskRecord]:
        """Draw the masks."""
        top, left = self.crop.box[:2]
        drawn = self.full.draw(self.masks, self.boxes)
        origins = self.masks.origins.numpy()
        return [
            MaskRecord(
                mask=mask,
                box=(box[0] + top, box[1] + left, box[2] + top, box[3] + left),
                area=area,
                predicted_iou=iou,
                stability_score=stability,
                point=(row + top, col + left),
                crop_box=self.crop.box,
            )
            for mask, box, area, iou, stability, (row, col) in zip(
                drawn,
                self.boxes.tolist(),
                self.areas.tolist(),
                self.scores.tolist(),
                self.stability.tolist(),
                self.crop.points[origins].tolist(),
                strict=True,
            )
        ]


def iter_masks(
    predictor: EverythingPredictor,
    image: NDArray[np.generic],
    config: EverythingConfig | None = None,
    *,
    contrast_limits: tuple[float, float] | None = None,
) -> Generator[Progress, None, list[MaskRecord]]:
    """Find masks on a grid of points, as one piece; see `generate_masks`.

    Yields
    ------
    Progress

    Returns
    -------
    list of MaskRecord
    """
    config = config or EverythingConfig()
    found = yield from _iter_found(predictor, image, config, contrast_limits)
    unique = [part.without_duplicates(config.box_nms_thresh) for part in found]
    records = _across_crops(unique, config) if config.crop_n_layers else unique[0].records()
    if config.min_mask_region_area:
        records = without_small_regions(
            records,
            max(config.box_nms_thresh, config.crop_nms_thresh),
            lambda record: clean_record(record, config.min_mask_region_area),
        )
    return records


def iter_candidates(
    predictor: EverythingPredictor,
    image: NDArray[np.generic],
    config: EverythingConfig | None = None,
    *,
    contrast_limits: tuple[float, float] | None = None,
) -> Generator[Progress, None, list[MaskRecord]]:
    """Find masks on a grid of points and drop no duplicates; `select_records` does what is left.

    Yields
    ------
    Progress

    Returns
    -------
    list of MaskRecord
        In the order of decoding.
    """
    found = yield from _iter_found(predictor, image, config or EverythingConfig(), contrast_limits)
    return [record for part in found for record in part.records()]


def _iter_found(
    predictor: EverythingPredictor,
    image: NDArray[np.generic],
    config: EverythingConfig,
    contrast_limits: tuple[float, float] | None,
) -> Generator[Progress, None, list[_Found]]:
    """Decode the grids of all crops, and filter masks by their scores."""
    image = np.asarray(image)
    shape = check_image(image)
    if contrast_limits is None:
        contrast_limits = whole_range(image)
    crops = _crops(shape, config)
    done, total = 0, sum(len(crop.points) for crop in crops)
    found = []
    for crop in crops:
        yield Progress(done, total, "embedding")
        top, left, bottom, right = crop.box
        embedding = predictor.embed(
            image[top:bottom, left:right],
            contrast_limits=contrast_limits,
            object_diameter=config.object_diameter,
        )
        full, parts = predictor.full_resolution(embedding), []
        adaptive = config.points == "adaptive"
        features = predictor.point_features(embedding, crop.points) if adaptive else None
        queue = PointQueue(crop.side, features)
        while len(queue):
            yield Progress(done + len(crop.points) - len(queue), total, "decoding")
            some = queue.take(config.points_per_batch)
            masks, best_iou = PointMasks.joined(
                predictor.iter_points(embedding, crop.points[some], config.pred_iou_thresh)
            )
            masks = masks._replace(origins=torch.from_numpy(some)[masks.origins.cpu()])
            parts.append(filtered(masks, full, crop, config, shape))
            if adaptive:
                queue.learn(
                    best_iou.cpu().numpy(),
                    parts[-1].masks.origins.numpy(),
                    parts[-1].covered(),
                    _count_unique(parts, config.box_nms_thresh),
                )
        done += len(crop.points)
        found.append(joined(parts))
    yield Progress(total, total, "done")
    return found


def filtered(
    masks: LowResMasks,
    full: FullResolution,
    crop: Crop,
    config: EverythingConfig,
    shape: tuple[int, int],
) -> _Found:
    """Measure masks and drop those that are unstable, empty, or cut by the edge of their crop."""
    measures = full.measure(masks, config.stability_score_offset)
    good = (measures.stability >= config.stability_score_thresh) & (measures.areas > 0)
    good &= ~_at_crop_edge(measures.boxes, crop.box, shape)
    kept = (part[good].cpu().numpy() for part in measures)
    return _Found(crop, full, masks.some(good), *kept)


def joined(parts: list[_Found]) -> _Found:
    """Join what was found in one crop."""
    masks = LowResMasks.joined(part.masks for part in parts)
    measures = (
        np.concatenate([getattr(part, name) for part in parts])
        for name in ("boxes", "areas", "stability")
    )
    return _Found(parts[0].crop, parts[0].full, masks, *measures)


def _count_unique(parts: list[_Found], iou_thresh: float) -> int:
    """Count what `without_duplicates` would leave of all masks of one crop."""
    boxes = np.concatenate([part.inclusive_boxes for part in parts])
    scores = np.concatenate([part.scores for part in parts])
    return len(non_maximum_suppression(boxes, scores, iou_thresh))


def _across_crops(found: list[_Found], config: EverythingConfig) -> list[MaskRecord]:
    """Draw what is left when the smaller crop's mask stays of duplicates between crops."""
    counts = [len(part.boxes) for part in found]
    fineness = [1 / box_area(part.crop.box) for part in found]
    boxes = np.concatenate([part.inclusive_boxes for part in found])
    kept = non_maximum_suppression(boxes, np.repeat(fineness, counts), config.crop_nms_thresh)
    drawn: dict[int, MaskRecord] = {}
    first = 0
    for part, count in zip(found, counts, strict=True):
        own = np.sort(kept[(kept >= first) & (kept < first + count)])
        drawn.update(zip(own.tolist(), part.chosen(own - first).records(), strict=True))
        first += count
    return [drawn[index] for index in kept.tolist()]


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


def _crops(shape: tuple[int, int], config: EverythingConfig) -> list[Crop]:
    """Return the whole image and its crops, each with its grid."""
    crops = []
    for box, layer in crop_boxes(shape, config.crop_n_layers, config.crop_overlap_ratio):
        side = int(config.points_per_side / config.crop_n_points_downscale_factor**layer)
        sides = (box[2] - box[0], box[3] - box[1])
        crops.append(Crop(box, grid_points(max(1, side)) * sides))
    return crops


def _at_crop_edge(boxes: Tensor, crop: tuple[int, int, int, int], shape: tuple[int, int]) -> Tensor:
    """Tell which boxes (N, 4) end at an edge of their crop that is no edge of the image."""
    inclusive = boxes - torch.tensor([0, 0, 1, 1], device=boxes.device)
    placed = inclusive + torch.tensor([crop[0], crop[1]] * 2, device=boxes.device)
    edges = torch.tensor(crop, device=boxes.device)
    ends = torch.tensor([0, 0, *shape], device=boxes.device)
    near_crop = (placed - edges).abs() <= _EDGE_TOLERANCE
    near_image = (placed - ends).abs() <= _EDGE_TOLERANCE
    return (near_crop & ~near_image).any(1)
