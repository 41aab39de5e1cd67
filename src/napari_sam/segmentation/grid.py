"""Masks from a grid of points: the paper's automatic mask generation.

Kirillov et al. 2023, appendix B: three masks for each point, filters on predicted IoU and
stability, non-maximum suppression, and optionally crops. Nothing is drawn that a filter drops: the
predicted IoU is known before the mask, and everything else is measured within the mask's box.
"""

from __future__ import annotations

from collections.abc import Generator, Iterator
from typing import Any, NamedTuple, Protocol

import numpy as np
import torch
from numpy.typing import NDArray

from napari_sam.segmentation.everything_config import EverythingConfig
from napari_sam.segmentation.evidence import Rate
from napari_sam.segmentation.full_resolution import FullResolution, LowResMasks, PointMasks
from napari_sam.segmentation.grid_crops import Crop, at_crop_edge, grid_crops
from napari_sam.segmentation.images import as_image, whole_range
from napari_sam.segmentation.instance_looks import LookingPredictor
from napari_sam.segmentation.masks import box_area, non_maximum_suppression
from napari_sam.segmentation.point_queue import PointQueue
from napari_sam.segmentation.progress import Progress, retold
from napari_sam.segmentation.records import MaskRecord, PackedRecord
from napari_sam.segmentation.redrawing import MaskPredictor
from napari_sam.segmentation.screening import EXACT, Margins, judge
from napari_sam.segmentation.selection import clean_record, without_small_regions


class EverythingPredictor(MaskPredictor, LookingPredictor, Protocol):
    """What segmenting everything asks of a predictor."""

    @property
    def has_instance_decoder(self) -> bool:
        """Whether `instance_maps` works."""

    @property
    def rate_instances(self) -> Rate | None:
        """What rates instances by what is known of them, if the network has learned it."""

    @property
    def screening_margins(self) -> Margins:
        """Errors of `iter_points` with `screening`; `EXACT` where that gains nothing."""

    def iter_points(
        self,
        embedding: Any,
        points: NDArray[np.floating],
        least_iou: float,
        *,
        screening: bool = False,
    ) -> Iterator[PointMasks]:
        """Decode single points (N, 2), (row, col), and draw what is expected to be good."""

    def point_features(self, embedding: Any, points: NDArray[np.floating]) -> NDArray[np.float32]:
        """Return what the image shows at points (N, 2), unit vectors (N, C)."""

    def full_resolution(self, embedding: Any) -> FullResolution:
        """Return what resizes masks to the image's pixels."""


class _Found(NamedTuple):
    """Masks of one crop that passed the filters, not drawn yet.

    The masks' origins number the crop's points; `boxes` (K, 4) are in pixels of the crop. Those
    that are not `exact` (K,) are of half precision.
    """

    crop: Crop
    full: FullResolution
    masks: LowResMasks
    boxes: NDArray[np.int64]
    areas: NDArray[np.int64]
    stability: NDArray[np.float32]
    exact: NDArray[np.bool_]

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
            exact=self.exact[kept],
        )

    def in_order(self) -> _Found:
        """Sort the masks by point."""
        return self.chosen(np.argsort(self.masks.origins.numpy(), kind="stable"))

    def covered(self) -> NDArray[np.bool_]:
        """Tell which of the crop's grid points lie in each mask, (K, side ** 2)."""
        side = self.crop.side
        rows, cols = self.crop.points[::side, 0], self.crop.points[:side, 1]
        logits = self.full.at(self.masks, np.floor(rows), np.floor(cols))
        found: NDArray[np.bool_] = (logits > 0).flatten(1).cpu().numpy()
        return found

    def records(self) -> list[MaskRecord]:
        """Draw the masks."""
        drawn = self.full.draw(self.masks, self.boxes)
        known = self._known()
        return [MaskRecord(mask=mask, **one) for mask, one in zip(drawn, known, strict=True)]

    def packed(self) -> list[PackedRecord]:
        """Draw the masks, of which there may be very many, and pack each at once."""
        packed = [np.zeros(0, np.uint8)] * len(self.boxes)
        for index, mask in self.full.iter_drawn(self.masks, self.boxes):
            packed[index] = np.packbits(mask)
        known = self._known()
        return [PackedRecord(bits=bits, **one) for bits, one in zip(packed, known, strict=True)]

    def _known(self) -> Iterator[dict[str, Any]]:
        """Yield what records hold beside the mask."""
        top, left = self.crop.box[:2]
        for box, area, iou, stability, (row, col) in zip(
            self.boxes.tolist(),
            self.areas.tolist(),
            self.scores.tolist(),
            self.stability.tolist(),
            self.crop.points[self.masks.origins.numpy()].tolist(),
            strict=True,
        ):
            yield {
                "box": (box[0] + top, box[1] + left, box[2] + top, box[3] + left),
                "area": area,
                "predicted_iou": iou,
                "stability_score": stability,
                "point": (row + top, col + left),
                "crop_box": self.crop.box,
            }


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
    found = yield from _iter_found(predictor, image, config, contrast_limits, unique=True)
    records = _across_crops(found, config) if config.crop_n_layers else found[0].records()
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
) -> Generator[Progress, None, list[PackedRecord]]:
    """Find masks on a grid of points and drop no duplicates; `Selector` does what is left.

    Yields
    ------
    Progress

    Returns
    -------
    list of PackedRecord
        In the order of decoding.
    """
    config = config or EverythingConfig()
    found = yield from _iter_found(predictor, image, config, contrast_limits, unique=False)
    return [record for part in found for record in part.packed()]


def _iter_found(
    predictor: EverythingPredictor,
    image: NDArray[np.generic],
    config: EverythingConfig,
    contrast_limits: tuple[float, float] | None,
    *,
    unique: bool,
) -> Generator[Progress, None, list[_Found]]:
    """Decode the grids of all crops, filter masks by their scores, and drop duplicates if asked."""
    image = as_image(image)
    shape = image.shape[0], image.shape[1]
    if contrast_limits is None:
        contrast_limits = whole_range(image)
    crops = grid_crops(shape, config)
    done, total = 0, sum(len(crop.points) for crop in crops)
    found = []

    def decoding(count: int) -> Progress:
        return Progress(done + count, total, "decoding")

    for crop in crops:
        yield Progress(done, total, "embedding")
        top, left, bottom, right = crop.box
        embedding = predictor.embed(
            image[top:bottom, left:right],
            contrast_limits=contrast_limits,
            object_diameter=config.object_diameter,
        )
        full = predictor.full_resolution(embedding)
        grid = EmbeddedCrop(predictor, embedding, full, crop, config, shape)
        screening = unique and grid.can_be_screened
        part = yield from retold(grid.iter_found(screening=screening), decoding)
        if unique:
            part = yield from retold(grid.iter_unique(part), decoding)
        done += len(crop.points)
        found.append(part)
    yield Progress(total, total, "done")
    return found


class EmbeddedCrop(NamedTuple):
    """A crop of an image (H, W) `shape` whose points can be decoded."""

    predictor: EverythingPredictor
    embedding: Any
    full: FullResolution
    crop: Crop
    config: EverythingConfig
    shape: tuple[int, int]

    @property
    def can_be_screened(self) -> bool:
        """Whether half precision gains anything, and no point's choice depends on it."""
        return self.predictor.screening_margins != EXACT and self.config.points == "full"

    def iter_found(self, *, screening: bool) -> Generator[int, None, _Found]:
        """Decode the points, screening in half precision or not; yields how many are done."""
        crop, parts = self.crop, []
        adaptive = self.config.points == "adaptive"
        features = self.predictor.point_features(self.embedding, crop.points) if adaptive else None
        queue = PointQueue(crop.side, features)
        while len(queue):
            yield len(crop.points) - len(queue)
            part, best_iou = self.found(
                queue.take(self.config.points_per_batch), screening=screening
            )
            parts.append(part)
            if adaptive:
                count = _count_unique(parts, self.config.box_nms_thresh)
                queue.learn(best_iou, part.masks.origins.numpy(), part.covered(), count)
        return joined(parts)

    def found(
        self, some: NDArray[np.intp], *, screening: bool = False
    ) -> tuple[_Found, NDArray[np.float32]]:
        """Decode some points (n,), and drop what misses a threshold, or surely does.

        Returns the rest, and the best predicted IoU of each point.
        """
        margins = self.predictor.screening_margins if screening else EXACT
        least = self.config.pred_iou_thresh - margins.score
        masks, best_iou = PointMasks.joined(
            self.predictor.iter_points(
                self.embedding, self.crop.points[some], least, screening=screening
            )
        )
        placed = masks._replace(origins=torch.from_numpy(some)[masks.origins.cpu()])
        kept = filtered(placed, self.full, self.crop, self.config, self.shape, margins)
        return kept, best_iou.cpu().numpy()

    def iter_unique(self, found: _Found) -> Generator[int, None, _Found]:
        """Drop duplicates, and decode again what half precision leaves open; see `screening`."""
        margins = self.predictor.screening_margins
        while True:
            kept, unsure = judge(
                found.inclusive_boxes,
                found.scores,
                found.exact,
                self.config.box_nms_thresh,
                margins,
            )
            if not len(unsure):
                return found.chosen(kept)
            yield len(self.crop.points)
            origins = found.masks.origins.numpy()
            again = np.unique(origins[unsure])[: self.config.points_per_batch]
            others = found.chosen(np.flatnonzero(~np.isin(origins, again)))
            found = joined([others, self.found(again)[0]]).in_order()


def filtered(
    masks: LowResMasks,
    full: FullResolution,
    crop: Crop,
    config: EverythingConfig,
    shape: tuple[int, int],
    margins: Margins = EXACT,
) -> _Found:
    """Measure masks and drop those that are unstable, empty, or cut by the edge of their crop.

    Masks of half precision are dropped if they are surely so, by the margins.
    """
    measures = full.measure(masks, config.stability_score_offset)
    pixels = margins.pixels * full.pixels_each / measures.areas.clamp(min=1)
    highest = measures.stability + margins.stability + pixels
    good = (highest >= config.stability_score_thresh) & (measures.areas > 0)
    good &= ~at_crop_edge(measures.boxes, crop.box, shape, margins.edge)
    boxes, areas, stability = (part[good].cpu().numpy() for part in measures)
    known = np.full(len(boxes), margins == EXACT)
    return _Found(crop, full, masks.some(good), boxes, areas, stability, known)


def joined(parts: list[_Found]) -> _Found:
    """Join what was found in one crop."""
    masks = LowResMasks.joined(part.masks for part in parts)
    measures = (
        np.concatenate([getattr(part, name) for part in parts])
        for name in ("boxes", "areas", "stability", "exact")
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
