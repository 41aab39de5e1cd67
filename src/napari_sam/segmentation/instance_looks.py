"""Instance maps in the mean of several looks at an image.

Mirrored, and from nearer or further, a network errs otherwise; what it sees each time is more often
so. (Test-time augmentation, as common for dense predictions.)
"""

from __future__ import annotations

from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray

_OTHERS = ((1, 0.8), (0, 1.25))
"""The axis that is mirrored, and the diameter that objects are taken for, to their own."""
MOST_LOOKS = 1 + len(_OTHERS)


class LookingPredictor(Protocol):
    """What looking again asks of a predictor."""

    def embed(
        self,
        image: NDArray[np.generic],
        *,
        contrast_limits: tuple[float, float] | None = None,
        object_diameter: float | None = None,
    ) -> Any:
        """Embed an image."""

    def instance_maps(self, embedding: Any) -> NDArray[np.float32]:
        """Predict foreground, closeness to centre and depth."""


def mean_instance_maps(
    predictor: LookingPredictor, embedding: Any, looks: int
) -> NDArray[np.float32]:
    """Predict the maps from which all instances follow, in the mean of some looks.

    Parameters
    ----------
    predictor : LookingPredictor
        Looks.
    embedding : ImageEmbedding
        Of an image. One that does not know its picture is all that there is.
    looks : int
        With this one, 1 ... `MOST_LOOKS`: the second is mirrored from nearer, the third from
        further. Each embeds the image once more.

    Returns
    -------
    ndarray
        (3, H, W) float32, as `Predictor.instance_maps` gives them.
    """
    seen = [predictor.instance_maps(embedding)]
    picture, known = embedding.picture, embedding.object_diameter
    for axis, size in () if picture is None else _OTHERS[: looks - 1]:
        other = predictor.embed(
            np.flip(picture.image, axis),
            contrast_limits=picture.contrast_limits,
            object_diameter=None if known is None else known * size,
        )
        seen.append(np.flip(predictor.instance_maps(other), 1 + axis))
    return np.asarray(np.mean(seen, 0), np.float32)
