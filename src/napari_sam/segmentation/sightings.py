"""What an instance decoder sees in a slice, unasked: a second witness of objects that are followed.

A network that is prompted finds something even where there is nothing, and strays into neighbours.
The instance decoder knows nothing of the prompt. So the object that it sees where one is expected
says something of its own about the outline, and how clearly it sees a middle there, whether the
object is there at all.
"""

from __future__ import annotations

from itertools import islice
from typing import Protocol

import numpy as np
from numpy.typing import NDArray

from napari_sam.segmentation.embedding import ImageEmbedding
from napari_sam.segmentation.instance_hints import Instances
from napari_sam.segmentation.instances import label_areas
from napari_sam.segmentation.patches import MaskPatch

_WAYS = 3
"""What is one object, and what are two that touch, is tried in so many of `Instances.ways`."""
_LEAST_IOU = 0.3
"""With a mask, under which an object is another one."""


class SeeingPredictor(Protocol):
    """What looking for instances asks of a predictor."""

    @property
    def gives_hints(self) -> bool:
        """Whether there are quick instance maps that the mask decoder was trained with."""

    def instance_maps(self, embedding: ImageEmbedding) -> NDArray[np.float32]:
        """Predict foreground, closeness to the centre and depth."""


class Sightings:
    """The objects that an instance decoder sees.

    Parameters
    ----------
    maps : ndarray
        (3, H, W) foreground, closeness to the centre, depth, each 0 ... 1, in the image's pixels.
    smoothing : float
        Of the maps before objects are separated, pixels.
    """

    def __init__(self, maps: NDArray[np.float32], smoothing: float = 0) -> None:
        self._clearness = (maps[1] + maps[2]) / 2
        self._ways = list(islice(Instances.ways(maps, smoothing), _WAYS))
        self._areas = [label_areas(way.owners[way.pieces]) for way in self._ways]

    @classmethod
    def of(cls, predictor: SeeingPredictor, embedding: ImageEmbedding) -> Sightings | None:
        """Look at an image; None if the network's instance decoder gives no hints."""
        if not predictor.gives_hints:
            return None
        scale = sum(embedding.geometry.scale) / 2
        return cls(predictor.instance_maps(embedding), smoothing=1 / scale)

    def like(self, patch: MaskPatch) -> MaskPatch | None:
        """Return the object that agrees best with a patch, None if none does."""
        best, most = None, _LEAST_IOU
        for way, areas in zip(self._ways, self._areas, strict=True):
            under = way.owners[way.pieces[patch.slices][patch.mask]]
            shared = np.bincount(under, minlength=len(areas))
            iou = shared / np.maximum(areas + patch.area - shared, 1)
            iou[0] = 0
            label = int(iou.argmax())
            if iou[label] > most:
                best, most = (way, label), float(iou[label])
        if best is None:
            return None
        way, label = best
        top, left, bottom, right = way.bounds[label - 1].tolist()
        region = slice(top, bottom), slice(left, right)
        return MaskPatch(mask=way.mask(label, region), corner=(top, left))

    def clearness(self, mask: NDArray[np.bool_], corner: tuple[int, int]) -> float:
        """Return how clearly a middle is seen in a mask (h, w) at a corner, 0 ... 1."""
        (row, col), (height, width) = corner, mask.shape
        here = self._clearness[row : row + height, col : col + width]
        return float(here.max(where=mask, initial=0))
