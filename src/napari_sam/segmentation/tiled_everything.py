"""Everything in an image of any size, tile by tile.

Black and white, the scale of the objects and what is debris are decided once for the whole image,
so that a tile is seen as the image would be. An image that the network sees well as a whole is one
tile. No step holds more than a tile, what is found of the image, and its labels.
"""

from __future__ import annotations

from collections.abc import Callable, Generator
from dataclasses import dataclass, replace
from typing import Any, Protocol, TypeAlias, TypeVar

import numpy as np
from numpy.typing import ArrayLike, NDArray

from napari_sam.segmentation.everything_config import EverythingConfig, within_range
from napari_sam.segmentation.grid import EverythingPredictor, iter_masks
from napari_sam.segmentation.images import as_image, check_limits, finite_image, whole_range
from napari_sam.segmentation.instance_choice import best_instances
from napari_sam.segmentation.instance_looks import mean_instance_maps
from napari_sam.segmentation.instances import consecutive, instances_from_maps, without_debris
from napari_sam.segmentation.mosaic import Mosaic
from napari_sam.segmentation.patches import MaskPatch, patches_of
from napari_sam.segmentation.progress import Progress, retold
from napari_sam.segmentation.record_seams import merge_records
from napari_sam.segmentation.records import FoundMask, MaskRecord
from napari_sam.segmentation.redrawing import Drawn, draw, iter_drawn
from napari_sam.segmentation.tiles import LARGE, Tile, plan_tiles, tile_overlap

_NOISE = 4
"""Instances of fewer pixels are noise."""
_MARGIN = 16
"""Objects within one so-many-th of the overlap of their tile's edge count as cut by it."""

Result = TypeVar("Result")
Found = TypeVar("Found", bound=FoundMask)
Steps: TypeAlias = Generator[Progress, None, Result]


class TilingPredictor(EverythingPredictor, Protocol):
    """What segmenting everything in an image of any size asks of a predictor."""

    def field_of_view(self, object_diameter: float | None = None) -> int | None:
        """Return the side of what one embedding shows well, image pixels; None if it is any."""

    def estimate_diameter(
        self,
        image: NDArray[np.generic],
        *,
        contrast_limits: tuple[float, float] | None = None,
    ) -> float | None:
        """Estimate how large the objects of an image are; None where it does not matter."""


@dataclass(frozen=True, kw_only=True, eq=False)
class Scene:
    """An image, and how it is looked at.

    Attributes
    ----------
    image : ndarray
        (H, W) or (H, W, 3), finite.
    contrast_limits : (float, float) or None
        What is black and white in all tiles; None takes the pixels as they are.
    config : EverythingConfig
        Settings, with the object diameter of the whole image.
    tiles : list of Tile
        Row by row.
    margin : int
        What comes so close to an edge of its tile inside the image is cut by it, pixels.
    """

    image: NDArray[np.generic]
    contrast_limits: tuple[float, float] | None
    config: EverythingConfig
    tiles: list[Tile]
    margin: int

    @property
    def shape(self) -> tuple[int, int]:
        """Height and width, pixels."""
        return self.image.shape[0], self.image.shape[1]


def look_over(
    predictor: TilingPredictor,
    image: ArrayLike,
    config: EverythingConfig,
    contrast_limits: tuple[float, float] | None = None,
) -> Scene:
    """Decide how an image is looked at.

    Parameters
    ----------
    predictor, image, config, contrast_limits
        As in `segment_everything`.

    Returns
    -------
    Scene

    Raises
    ------
    TypeError, ValueError
        If the array is no image, or the limits are no two rising numbers.
    """
    pixels = as_image(image)
    shape = pixels.shape[0], pixels.shape[1]
    pixels = pixels[..., :3] if pixels.ndim == 3 else pixels
    limits = whole_range(pixels) if contrast_limits is None else check_limits(contrast_limits)
    if limits is not None:
        pixels = finite_image(pixels, limits)
    diameter = config.object_diameter
    if diameter is None:
        diameter = predictor.estimate_diameter(pixels, contrast_limits=limits)
    if diameter is not None:
        diameter = within_range(diameter)
    side = _tile_side(predictor, shape, config.tile_side, diameter)
    overlap = tile_overlap(side, diameter)
    return Scene(
        image=pixels,
        contrast_limits=limits,
        config=replace(config, object_diameter=diameter),
        tiles=plan_tiles(shape, side, overlap),
        margin=overlap // _MARGIN,
    )


def iter_instances(
    predictor: TilingPredictor, scene: Scene, *, redrawn: bool = False
) -> Steps[NDArray[np.uint32]]:
    """Separate the instances of a scene, and draw them anew if wanted; returns labels (H, W)."""
    views = _Views(predictor, scene)
    total = (3 if redrawn else 2) * len(scene.tiles)
    mosaic = Mosaic(scene.shape, margin=scene.margin)
    for index, tile in enumerate(scene.tiles):
        yield Progress(2 * index, total, "embedding")
        embedding = views.embed(tile)
        yield Progress(2 * index + 1, total, "separating instances")
        mosaic.add(tile, separated(predictor, embedding, scene.config))
    labels = sifted(mosaic.labels(), scene.config)
    if redrawn:
        labels = yield from _iter_redrawn(views, labels, total)
    yield Progress(total, total, "done")
    return labels


def iter_records(predictor: TilingPredictor, scene: Scene) -> Steps[list[MaskRecord]]:
    """Find masks on a grid of points in each tile of a scene; returns records of the image."""
    count, found = len(scene.tiles), (yield from iter_found(predictor, scene, iter_masks))
    if count == 1:
        return found[0]
    merged = merge_records(
        found,
        scene.tiles,
        scene.shape,
        margin=scene.margin,
        box_nms_thresh=scene.config.box_nms_thresh,
    )
    yield Progress(count, count, "done")
    return merged


def iter_found(
    predictor: TilingPredictor, scene: Scene, find: Callable[..., Steps[list[Found]]]
) -> Steps[list[list[Found]]]:
    """Find masks in each tile of a scene by `iter_masks` or its like; records of the image."""
    count = len(scene.tiles)
    found: list[list[Found]] = []
    for index, tile in enumerate(scene.tiles):
        view = scene.image[tile.region]
        job = find(predictor, view, scene.config, contrast_limits=scene.contrast_limits)
        records = yield from job if count == 1 else _within_step(job, index, count)
        found.append([_placed(record, tile) for record in records])
    return found


def separated(
    predictor: EverythingPredictor, embedding: Any, config: EverythingConfig
) -> NDArray[np.uint32]:
    """Separate the instances of an embedding, whatever their size."""
    maps = mean_instance_maps(predictor, embedding, config.looks)
    diameter, rate = embedding.object_diameter, predictor.rate_instances
    smoothing = config.smoothing(diameter)
    if rate is not None and config.separation == "auto":
        return best_instances(
            maps, rate, diameter=diameter, smoothing=smoothing, rating_thresh=config.rating_thresh
        )
    return instances_from_maps(
        maps,
        foreground_thresh=config.foreground_thresh,
        seed_prominence=config.seed_prominence,
        smoothing=smoothing,
    )


def sifted(labels: NDArray[np.uint32], config: EverythingConfig) -> NDArray[np.uint32]:
    """Drop what is too small of the instances of a whole image."""
    labels = without_debris(labels, config.debris_thresh)
    return consecutive(labels, min_area=max(config.min_mask_region_area, _NOISE))


class _Views:
    """Embeds tiles of a scene, and keeps the last one."""

    def __init__(self, predictor: TilingPredictor, scene: Scene) -> None:
        self.predictor = predictor
        self.scene = scene
        self._last: tuple[Tile, Any] | None = None

    def embed(self, tile: Tile) -> Any:
        """Return a tile's embedding."""
        if self._last is None or self._last[0] != tile:
            self._last = None
            embedding = self.predictor.embed(
                self.scene.image[tile.region],
                contrast_limits=self.scene.contrast_limits,
                object_diameter=self.scene.config.object_diameter,
            )
            self._last = tile, embedding
        return self._last[1]


def _iter_redrawn(
    views: _Views, labels: NDArray[np.uint32], total: int
) -> Steps[NDArray[np.uint32]]:
    """Draw every instance anew in the tile where it lies deepest; those that all cut stay."""
    scene = views.scene
    patches = patches_of(labels)
    homes = _homes(patches, scene)
    drawn = [Drawn(0.0, patch, is_judged=False) for patch in patches]
    done = 2 * len(scene.tiles)
    for index, tile in reversed(list(enumerate(scene.tiles))):  # the last one is still embedded
        own = np.flatnonzero(homes == index).tolist()
        if own:
            yield Progress(done, total, "embedding")
            embedding = views.embed(tile)
            moved = [patches[one].shifted(-tile.top, -tile.left) for one in own]
            job = iter_drawn(views.predictor, embedding, moved, scene.config.points_per_batch)
            masks = yield from _within_step(job, done, total)
            for one, mask in zip(own, masks, strict=True):
                drawn[one] = mask._replace(patch=mask.patch.shifted(tile.top, tile.left))
        done += 1
    return draw(drawn, scene.shape, scene.config.redraw_thresh)


def _homes(patches: list[MaskPatch], scene: Scene) -> NDArray[np.int64]:
    """Return in which tile each patch lies deepest, (N,); -1 where all cut it."""
    boxes = [(*patch.corner, *np.add(patch.corner, patch.mask.shape)) for patch in patches]
    homes, deepest = np.full(len(patches), -1), np.zeros(len(patches))
    for index, tile in enumerate(scene.tiles):
        depths = tile.depths(boxes, scene.shape)
        better = depths > deepest
        homes[better], deepest[better] = index, depths[better]
    return homes


def _tile_side(
    predictor: TilingPredictor, shape: tuple[int, int], wanted: int | None, diameter: float | None
) -> int:
    """Return the side of the tiles, pixels; 0 takes the image as a whole."""
    if wanted is not None:
        return wanted
    side = None if diameter is None else predictor.field_of_view(diameter)
    return 0 if side is None or max(shape) <= LARGE * side else side


def _within_step(job: Steps[Result], done: int, total: int) -> Steps[Result]:
    """Let a job's events stand where they can cancel, but count none of its pieces."""
    return retold(job, lambda event: Progress(done, total, event.stage))


def _placed(record: Found, tile: Tile) -> Found:
    """Return a record of a tile in the coordinates of the image."""
    down, right = tile.top, tile.left
    top, left, bottom, end = record.box
    crop_top, crop_left, crop_bottom, crop_end = record.crop_box
    return replace(
        record,
        box=(top + down, left + right, bottom + down, end + right),
        point=(record.point[0] + down, record.point[1] + right),
        crop_box=(crop_top + down, crop_left + right, crop_bottom + down, crop_end + right),
    )
