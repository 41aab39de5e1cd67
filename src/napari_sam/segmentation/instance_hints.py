"""What the instance decoder sees where a prompt is, as a mask to go on from.

The instance decoder finds objects without being asked, from maps of its own. It is right about
many that the mask decoder gets wrong after one click or a box, and the other way round. So the
object that lies under a click, or that a box fits, is a hint: the mask decoder answers once more
with it as the mask so far. What is one object, and what are two that touch, is a matter of
thresholds; a box says how large the object is, so for boxes several are tried.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from itertools import islice
from typing import NamedTuple
from weakref import WeakKeyDictionary

import numpy as np
import torch
from numpy.typing import NDArray

from napari_sam.segmentation.embedder import Embedder
from napari_sam.segmentation.embedding import ImageEmbedding
from napari_sam.segmentation.instances import cut_into_pieces, label_boxes
from napari_sam.segmentation.masks import box_fits
from napari_sam.segmentation.prompts import Prompts

_SMOOTHING = 1.0
"""Of the maps before objects are separated, pixels of the network's input."""
_FOREGROUND = 0.5, 0.3, 0.7
_PROMINENCE = 0.15, 0.05, 0.3
"""Thresholds that objects are separated by, the usual first; see `instances_from_maps`."""
_LEAST_FIT = 0.5
"""IoU of an object's bounds with a box, under which it is not what the box is around."""
_HEIGHT = 8.0
"""Logits are so far from zero, inside and outside."""


class Instances(NamedTuple):
    """All objects that an instance decoder sees.

    Attributes
    ----------
    pieces : ndarray
        (H, W) what objects are made of, 1 ... p, in pixels of the maps.
    owners : ndarray
        (p + 1,) which object, 1 ... n, each piece is a part of; background, 0, is of none.
    bounds : ndarray
        (n, 4) boxes (row_min, col_min, row_max, col_max), the last two one past.
    """

    pieces: NDArray[np.int32]
    owners: NDArray[np.int64]
    bounds: NDArray[np.int64]

    @classmethod
    def ways(cls, maps: NDArray[np.float32], smoothing: float = _SMOOTHING) -> Iterator[Instances]:
        """Separate the objects of maps (3, H, W) in 0 ... 1 in several ways, the usual one first.

        Three ways for each threshold of the foreground.
        """
        for threshold in _FOREGROUND:
            pieces = cut_into_pieces(maps, foreground_thresh=threshold, smoothing=smoothing)
            bounds = label_boxes(pieces.labels)
            for least in _PROMINENCE:
                owners = pieces.owners(least)
                yield cls(pieces.labels, owners, _joined(bounds, owners[1:]))

    def mask(self, label: int, region: tuple[slice, ...] = ()) -> NDArray[np.bool_]:
        """Return where in a region an object is."""
        return np.asarray(self.owners[self.pieces[region]] == label)

    def at(self, row: float, col: float) -> int:
        """Return the object nearest a place; 0 where there is none."""
        last = np.subtract(self.pieces.shape, 1)
        place = np.clip(np.rint([row, col]).astype(int), 0, last)
        return int(self.owners[self.pieces[tuple(place)]])

    def fitting(self, box: NDArray[np.float64]) -> tuple[int, float]:
        """Return the object whose bounds agree best with a box (4,), and their IoU.

        0 where none agrees.
        """
        fits = box_fits(box, self.bounds)
        best = float(fits.max(initial=0))
        return (int(fits.argmax()) + 1, best) if best >= _LEAST_FIT else (0, 0.0)


def _joined(bounds: NDArray[np.int64], owners: NDArray[np.int64]) -> NDArray[np.int64]:
    """Return the bounds (n, 4) of objects from those of their pieces (p, 4)."""
    count = int(owners.max(initial=0))
    low = np.full((count, 2), np.iinfo(np.int64).max)
    high = np.zeros((count, 2), np.int64)
    np.minimum.at(low, owners - 1, bounds[:, :2])
    np.maximum.at(high, owners - 1, bounds[:, 2:])
    return np.concatenate([low, high], 1)


def best_fitting(ways: Sequence[Instances], box: NDArray[np.float64]) -> tuple[Instances, int]:
    """Return the object whose bounds agree best with a box (4,), 0 for none, and who sees it."""
    fitting = [(seen, *seen.fitting(box)) for seen in ways]
    seen, label, _ = max(fitting, key=lambda one: one[2])
    return seen, label


class InstanceHints:
    """Finds hints for prompts; an image's objects are separated when the first is asked for.

    Parameters
    ----------
    embedder : Embedder
        Of the network. One without an instance decoder has no hints.
    """

    def __init__(self, embedder: Embedder) -> None:
        self._embedder = embedder
        self._usual: WeakKeyDictionary[ImageEmbedding, list[Instances]] = WeakKeyDictionary()
        self._every: WeakKeyDictionary[ImageEmbedding, list[Instances]] = WeakKeyDictionary()

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
        if not (self._embedder.model.config.instances and prompt.says_little):
            return None
        seen, label = self._found(embedding, prompt)
        if not label:
            return None
        logits = np.full(embedding.low_res_shape, -_HEIGHT, np.float32)
        step = len(seen.pieces) // len(logits)
        low, high = np.split(seen.bounds[label - 1], 2)
        (top, left), (bottom, right) = low // step, -(-high // step)
        region = slice(top * step, bottom * step), slice(left * step, right * step)
        logits[top:bottom, left:right] = as_logits(seen.mask(label, region), step)
        return logits

    def _found(self, embedding: ImageEmbedding, prompt: Prompts) -> tuple[Instances, int]:
        """Return the object that a prompt means, 0 for none."""
        clicked = prompt.box is None
        known = self._usual if clicked else self._every
        ways = known.get(embedding)
        if ways is None:
            every = Instances.ways(self._maps(embedding))
            ways = known[embedding] = list(islice(every, 1 if clicked else None))
        if clicked:
            place = embedding.geometry.input_points(np.asarray(prompt.points), centred=True)[0]
            return ways[0], ways[0].at(*place.tolist())
        box = embedding.geometry.input_boxes(np.asarray(prompt.box), centred=True)
        return best_fitting(ways, box)

    @torch.inference_mode()
    def _maps(self, embedding: ImageEmbedding) -> NDArray[np.float32]:
        height, width = embedding.geometry.input_shape
        maps = self._embedder.model.instance_maps(embedding.image)[0].sigmoid()
        maps[:, height:], maps[..., width:] = 0, 0
        return np.asarray(maps.cpu().numpy())


def as_logits(mask: NDArray[np.bool_], step: int) -> NDArray[np.float32]:
    """Return a mask (H, W) as logits (H / step, W / step) of low-resolution pixels."""
    height, width = np.array(mask.shape) // step
    cover = mask.reshape(height, step, width, step).mean((1, 3))
    return np.asarray(_HEIGHT * (2 * cover - 1), np.float32)
