"""What the instance decoder sees where a prompt is, as a mask to go on from.

The instance decoder finds objects without being asked, from maps of its own. It is right about
many that the mask decoder gets wrong after one click or a box, and the other way round. So the
object that lies under a click, or that a box fits, is a hint: the mask decoder answers once more
with it as the mask so far, and the better rated answer stands.
"""

from __future__ import annotations

from typing import NamedTuple
from weakref import WeakKeyDictionary

import numpy as np
import torch
from numpy.typing import NDArray

from napari_sam.segmentation.embedder import Embedder
from napari_sam.segmentation.embedding import ImageEmbedding
from napari_sam.segmentation.instances import instances_from_maps, label_boxes
from napari_sam.segmentation.masks import box_iou
from napari_sam.segmentation.prompts import Prompts

_SMOOTHING = 1.0
"""Of the maps before objects are separated, pixels of the network's input."""
_LEAST_FIT = 0.5
"""IoU of an object's bounds with a box, under which it is not what the box is around."""
_HEIGHT = 8.0
"""Logits are so far from zero, inside and outside."""


class Instances(NamedTuple):
    """All objects that an instance decoder sees.

    Attributes
    ----------
    labels : ndarray
        (H, W) ids 1 ... n, in pixels of the network's padded input.
    bounds : ndarray
        (n, 4) boxes (row_min, col_min, row_max, col_max), the last two one past.
    """

    labels: NDArray[np.uint32]
    bounds: NDArray[np.int64]

    @classmethod
    def of_maps(cls, maps: NDArray[np.float32]) -> Instances:
        """Separate the objects of an instance decoder's maps (3, H, W) in 0 ... 1."""
        labels = instances_from_maps(maps, smoothing=_SMOOTHING)
        return cls(labels, label_boxes(labels))

    def at(self, row: float, col: float) -> int:
        """Return the object nearest a place; 0 where there is none."""
        last = np.subtract(self.labels.shape, 1)
        place = np.clip(np.rint([row, col]).astype(int), 0, last)
        return int(self.labels[tuple(place)])

    def fitting(self, box: NDArray[np.float64]) -> int:
        """Return the object whose bounds agree best with a box (4,); 0 where none agrees."""
        fits = box_iou(box, self.bounds.astype(np.float64))
        return int(fits.argmax()) + 1 if fits.max(initial=0) >= _LEAST_FIT else 0


class InstanceHints:
    """Finds hints for prompts; an image's objects are separated when the first is asked for.

    Parameters
    ----------
    embedder : Embedder
        Of the network. One without an instance decoder has no hints.
    """

    def __init__(self, embedder: Embedder) -> None:
        self._embedder = embedder
        self._seen: WeakKeyDictionary[ImageEmbedding, Instances] = WeakKeyDictionary()

    def find(self, embedding: ImageEmbedding, prompt: Prompts) -> NDArray[np.float32] | None:
        """Find the object that a single click is on, or that a box without points is around.

        Parameters
        ----------
        embedding : ImageEmbedding
            Of the image.
        prompt : Prompts
            In its pixels.

        Returns
        -------
        ndarray or None
            (h, w) low-resolution logits. None where nothing is seen, and for other prompts: these
            say more than a hint could add.
        """
        if self._embedder.model.instance_decoder is None or not prompt.says_little:
            return None
        seen = self._seen.get(embedding)
        if seen is None:
            seen = self._seen[embedding] = self._separate(embedding)
        rows, cols = embedding.geometry.scale
        if prompt.box is not None:
            box = np.asarray(prompt.box) + np.array([0, 0, 1, 1])
            label = seen.fitting(box * (rows, cols, rows, cols))
        else:
            row, col = np.asarray(prompt.points)[0]
            label = seen.at(row * rows, col * cols)
        if not label:
            return None
        logits = np.full(embedding.low_res_shape, -_HEIGHT, np.float32)
        step = len(seen.labels) // len(logits)
        low, high = np.split(seen.bounds[label - 1], 2)
        (top, left), (bottom, right) = low // step, -(-high // step)
        region = seen.labels[top * step : bottom * step, left * step : right * step]
        logits[top:bottom, left:right] = as_logits(region == label, step)
        return logits

    @torch.inference_mode()
    def _separate(self, embedding: ImageEmbedding) -> Instances:
        height, width = embedding.geometry.input_shape
        maps = self._embedder.model.instance_maps(embedding.image)[0].sigmoid()
        maps[:, height:], maps[..., width:] = 0, 0
        return Instances.of_maps(maps.cpu().numpy())


def as_logits(mask: NDArray[np.bool_], step: int) -> NDArray[np.float32]:
    """Return a mask (H, W) as logits (H / step, W / step) of low-resolution pixels."""
    height, width = np.array(mask.shape) // step
    cover = mask.reshape(height, step, width, step).mean((1, 3))
    return np.asarray(_HEIGHT * (2 * cover - 1), np.float32)
