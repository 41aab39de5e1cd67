"""Other looks at an image, whose instance maps are averaged with those of the first.

Mirrored, and from nearer or further, a network errs otherwise; what it sees each time is more often
so. (Test-time augmentation, as common for dense predictions.)
"""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np

from napari_sam.segmentation.embedder import Embedder
from napari_sam.segmentation.embedding import ImageEmbedding

_OTHERS = ((1, 0.8), (0, 1.25))
"""The axis that is mirrored, and the diameter that objects are taken for, to their own."""
MOST_LOOKS = 1 + len(_OTHERS)


def other_looks(
    embedder: Embedder, embedding: ImageEmbedding, looks: int
) -> Iterator[tuple[int, ImageEmbedding]]:
    """Embed an image mirrored, from nearer and from further.

    Parameters
    ----------
    embedder : Embedder
        Of the network that made the embedding.
    embedding : ImageEmbedding
        Of the image. One that does not know its picture has no other looks.
    looks : int
        With the first one, 1 ... `MOST_LOOKS`.

    Yields
    ------
    axis, embedding : int, ImageEmbedding
        The axis of (H, W) along which the image is mirrored in it.
    """
    picture = embedding.picture
    if picture is None:
        return
    known = embedding.object_diameter
    for axis, size in _OTHERS[: looks - 1]:
        yield (
            axis,
            embedder.embed(
                np.flip(picture.image, axis),
                contrast_limits=picture.contrast_limits,
                object_diameter=None if known is None else known * size,
            ),
        )
