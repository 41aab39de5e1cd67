"""What the instance decoder is to predict, from ground truth labels."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray
from scipy import ndimage


def instance_targets(labels: NDArray[np.integer]) -> NDArray[np.float32]:
    """Draw the instance decoder's targets.

    Parameters
    ----------
    labels : ndarray
        (H, W) integers, 0 is background.

    Returns
    -------
    ndarray
        (3, H, W) float32: foreground; closeness to the object's innermost pixel (1 there, 0 at the
        object's farthest); depth (distance to the boundary over the object's largest).
    """
    targets = np.zeros((3, *labels.shape), np.float32)
    targets[0] = labels > 0
    for label, box in enumerate(ndimage.find_objects(labels), start=1):
        if box is None:
            continue
        mask = labels[box] == label
        depth = ndimage.distance_transform_edt(np.pad(mask, 1))[1:-1, 1:-1]
        centre = np.unravel_index(int(depth.argmax()), depth.shape)
        rows, cols = np.ogrid[: mask.shape[0], : mask.shape[1]]
        away = np.hypot(rows - centre[0], cols - centre[1])
        targets[1][box][mask] = 1 - away[mask] / max(float(away[mask].max()), 1)
        targets[2][box][mask] = depth[mask] / depth.max()
    return targets
