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
from scipy import ndimage

from napari_sam.model.sam import Sam
from napari_sam.segmentation.embedding import ImageEmbedding
from napari_sam.segmentation.instances import instances_from_maps
from napari_sam.segmentation.masks import box_iou
from napari_sam.segmentation.prompts import Prompts

_SMOOTHING = 1.0
"""Of the maps before objects are separated, pixels of the network's input."""
_LEAST_FIT = 0.5
"""IoU of an object's bounds with a box, under which it is not what the box is around."""
_HEIGHT = 8.0
"""Logits are so far from zero, inside and outside."""


class _Instances(NamedTuple):
    """All objects of an embedded image.

    Attributes
    ----------
    labels : ndarray
        (H, W) ids 1 ... n, in pixels of the network's input.
    bounds : ndarray
        (n, 4) boxes (row_min, col_min, row_max, col_max), the last two one past.
    """

    labels: NDArray[np.uint32]
    bounds: NDArray[np.float64]


class InstanceHints:
    """Finds hints for prompts; an image's objects are separated when the first is asked for.

    Parameters
    ----------
    model : Sam
        The network. One without an instance decoder has no hints.
    """

    def __init__(self, model: Sam) -> None:
        self._model = model
        self._seen: WeakKeyDictionary[ImageEmbedding, _Instances] = WeakKeyDictionary()

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
        if self._model.instance_decoder is None or not _says_little(prompt):
            return None
        seen = self._seen.get(embedding)
        if seen is None:
            seen = self._seen[embedding] = self._separate(embedding)
        choose = _clicked if prompt.box is None else _boxed
        label = choose(prompt, embedding, seen)
        return _as_logits(seen.labels == label, embedding) if label else None

    @torch.inference_mode()
    def _separate(self, embedding: ImageEmbedding) -> _Instances:
        height, width = embedding.geometry.input_shape
        maps = self._model.instance_maps(embedding.image)[0, :, :height, :width].sigmoid()
        labels = instances_from_maps(maps.cpu().numpy(), smoothing=_SMOOTHING)
        bounds = [
            (rows.start, cols.start, rows.stop, cols.stop)
            for rows, cols in ndimage.find_objects(labels.astype(np.int32))
        ]
        return _Instances(labels, np.asarray(bounds, np.float64).reshape(-1, 4))


def _says_little(prompt: Prompts) -> bool:
    """Whether a prompt is one click on an object, or a box, and nothing else."""
    if prompt.mask_input is not None:
        return False
    clicks = [] if prompt.point_labels is None else np.asarray(prompt.point_labels).tolist()
    return clicks == ([1] if prompt.box is None else [])


def _clicked(prompt: Prompts, embedding: ImageEmbedding, seen: _Instances) -> int:
    """Return the object under a click; 0 where there is none."""
    place = np.rint(np.asarray(prompt.points)[0] * embedding.geometry.scale).astype(int)
    row, col = np.clip(place, 0, np.subtract(seen.labels.shape, 1))
    return int(seen.labels[row, col])


def _boxed(prompt: Prompts, embedding: ImageEmbedding, seen: _Instances) -> int:
    """Return the object whose bounds agree best with a box; 0 where none agrees."""
    box = np.asarray(prompt.box) + np.array([0, 0, 1, 1])
    fits = box_iou(box * np.tile(embedding.geometry.scale, 2), seen.bounds)
    return int(fits.argmax()) + 1 if fits.max(initial=0) >= _LEAST_FIT else 0


def _as_logits(mask: NDArray[np.bool_], embedding: ImageEmbedding) -> NDArray[np.float32]:
    """Bring a mask (H, W) in pixels of the network's input to low resolution (h, w)."""
    height, width = embedding.low_res_shape
    rows, cols = embedding.geometry.padded_shape
    padded = np.zeros((rows, cols), np.float32)
    padded[: mask.shape[0], : mask.shape[1]] = mask
    cover = padded.reshape(height, rows // height, width, cols // width).mean((1, 3))
    return np.asarray(_HEIGHT * (2 * cover - 1), np.float32)
