"""What one gets without a network: the yardstick beside every score."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray
from scipy import ndimage
from skimage.feature import peak_local_max
from skimage.filters import gaussian, threshold_otsu
from skimage.segmentation import watershed

from napari_sam.segmentation.images import contrast_range, finite_image


def otsu_foreground(image: NDArray[np.generic]) -> NDArray[np.bool_]:
    """Return the pixels (H, W) on the rarer side of Otsu's threshold of the smoothed image."""
    gray = image[..., :3].mean(-1) if image.ndim == 3 else image
    gray = finite_image(gray, contrast_range(gray))
    smooth = gaussian(gray.astype(np.float64), 1)
    if np.ptp(smooth) == 0:
        return np.zeros(smooth.shape, bool)
    bright: NDArray[np.bool_] = smooth > threshold_otsu(smooth)
    return ~bright if bright.mean() > 0.5 else bright


def otsu_object(foreground: NDArray[np.bool_], click: tuple[int, int]) -> NDArray[np.bool_]:
    """Return the connected component of `foreground`, or of the rest, that lies under a click."""
    side = foreground if foreground[click] else ~foreground
    components, _ = ndimage.label(side)
    return np.asarray(components == components[click])


def otsu_watershed(foreground: NDArray[np.bool_]) -> NDArray[np.int32]:
    """Separate touching objects by the watershed of the distance to the background; (H, W)."""
    depth = gaussian(ndimage.distance_transform_edt(foreground), 1)
    peaks = peak_local_max(depth, min_distance=5, labels=ndimage.label(foreground)[0])
    seeds = np.zeros(foreground.shape, np.int32)
    seeds[tuple(peaks.T)] = np.arange(1, len(peaks) + 1)
    return np.asarray(watershed(-depth, seeds, mask=foreground), np.int32)
