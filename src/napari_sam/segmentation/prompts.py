"""What a user says about one object: points, a box, a mask from before."""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import ArrayLike, NDArray

_POINT_HINT = "; wrap a single point as [(row, col)]"


@dataclass(frozen=True, kw_only=True, eq=False)
class Prompts:
    """Prompts for one object.

    The centre of pixel (r, c) has the coordinate (r, c), as in napari.

    Parameters
    ----------
    points : array_like, optional
        (N, 2) coordinates (row, col), pixels.
    point_labels : array_like, optional
        (N,) 1 for a point in the object, 0 for one outside; all 1 by default.
    box : array_like, optional
        (4,) coordinates (row_min, col_min, row_max, col_max), pixels.
    mask_input : array_like, optional
        (h, w) low-resolution logits of an earlier prediction for the same image.

    Raises
    ------
    ValueError
        If a shape, a label or a coordinate is not as above.
    """

    points: ArrayLike | None = None
    point_labels: ArrayLike | None = None
    box: ArrayLike | None = None
    mask_input: ArrayLike | None = None

    def __post_init__(self) -> None:
        """Check the prompts and keep them as read-only arrays."""
        points = _points(self.points)
        self._keep("points", points)
        self._keep("point_labels", _labels(self.point_labels, points))
        self._keep("box", _box(self.box))
        self._keep("mask_input", _mask(self.mask_input))

    @property
    def is_empty(self) -> bool:
        """Whether there is neither a point nor a box nor a mask."""
        return self.n_points == 0 and self.box is None and self.mask_input is None

    @property
    def n_points(self) -> int:
        """Number of points."""
        return 0 if self.points is None else len(np.asarray(self.points))

    @property
    def says_little(self) -> bool:
        """Whether there is one click on the object, or a box, and nothing else."""
        if self.mask_input is not None:
            return False
        clicks = [] if self.point_labels is None else np.asarray(self.point_labels).tolist()
        return clicks == ([1] if self.box is None else [])

    def moved(self, rows: float, cols: float) -> Prompts:
        """Return the prompts so many pixels further down and to the right, the mask as it is."""
        shift = np.array([rows, cols])
        points, box = self.points, self.box
        return replace(
            self,
            points=None if points is None else np.asarray(points) + shift,
            box=None if box is None else np.asarray(box) + np.tile(shift, 2),
        )

    def mirrored(self, width: int) -> Prompts:
        """Return the prompts for an image of a width mirrored left to right, the mask as it is."""
        points, box = self.points, self.box
        if points is not None:
            points = np.asarray(points) * (1, -1) + (0, width - 1)
        if box is not None:
            top, left, bottom, right = np.asarray(box)
            box = top, width - 1 - right, bottom, width - 1 - left
        return replace(self, points=points, box=box)

    def check_inside(self, shape: tuple[int, int]) -> None:
        """Check that points and box touch an image.

        Parameters
        ----------
        shape : (int, int)
            Height and width of the image.

        Raises
        ------
        ValueError
            If a point lies outside, or the box misses the image.
        """
        height, width = shape
        for row, col in np.asarray(() if self.points is None else self.points).reshape(-1, 2):
            if not (-0.5 <= row <= height - 0.5 and -0.5 <= col <= width - 0.5):
                raise ValueError(
                    f"Point ({row:g}, {col:g}) lies outside the image of shape {shape}"
                )
        if self.box is not None:
            top, left, bottom, right = np.asarray(self.box)
            if bottom < -0.5 or right < -0.5 or top > height - 0.5 or left > width - 0.5:
                raise ValueError(
                    f"Box ({top:g}, {left:g}, {bottom:g}, {right:g}) lies outside the image of "
                    f"shape {shape}"
                )

    def _keep(self, name: str, value: NDArray[np.generic] | None) -> None:
        if value is not None:
            value.flags.writeable = False
        object.__setattr__(self, name, value)


def _floats(values: ArrayLike, what: str) -> NDArray[np.float64]:
    try:
        array = np.array(values, dtype=np.float64)
    except (TypeError, ValueError) as error:
        raise ValueError(f"{what} must be numbers, got {values!r}") from error
    if not np.isfinite(array).all():
        raise ValueError(f"{what} must be finite, got {values!r}")
    return array


def _points(values: ArrayLike | None) -> NDArray[np.float64] | None:
    if values is None:
        return None
    points = _floats(values, "points")
    if points.size == 0:
        return None
    if points.ndim != 2 or points.shape[1] != 2:
        raise ValueError(
            f"points must have shape (N, 2) in (row, col) order, got {points.shape}"
            + (_POINT_HINT if points.ndim == 1 else "")
        )
    return points


def _labels(
    values: ArrayLike | None, points: NDArray[np.float64] | None
) -> NDArray[np.int64] | None:
    if points is None:
        if values is not None and np.asarray(values).size:
            raise ValueError("point_labels were given without points")
        return None
    if values is None:
        return np.ones(len(points), np.int64)
    labels = np.array(values)
    if labels.shape != (len(points),):
        raise ValueError(
            f"point_labels must have shape ({len(points)},), one for each point, got {labels.shape}"
        )
    if not np.isin(labels, (0, 1)).all():
        raise ValueError(
            f"point_labels must be 1 (object) or 0 (background), got {labels.tolist()}"
        )
    return labels.astype(np.int64)


def _box(values: ArrayLike | None) -> NDArray[np.float64] | None:
    if values is None:
        return None
    box = _floats(values, "box")
    if box.shape != (4,):
        raise ValueError(
            f"box must have shape (4,) as (row_min, col_min, row_max, col_max), got {box.shape}"
        )
    if box[0] > box[2] or box[1] > box[3]:
        raise ValueError(
            f"box must be (row_min, col_min, row_max, col_max) with min <= max, got {box.tolist()}"
        )
    return box


def _mask(values: ArrayLike | None) -> NDArray[np.float32] | None:
    if values is None:
        return None
    mask = _floats(values, "mask_input").astype(np.float32)
    if mask.ndim != 2:
        raise ValueError(
            "mask_input must have shape (h, w), the low_res_logits of one candidate, "
            f"got {mask.shape}"
        )
    return mask
