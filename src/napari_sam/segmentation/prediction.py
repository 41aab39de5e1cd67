"""What a prompt is answered with."""

from __future__ import annotations

import dataclasses
from dataclasses import dataclass
from functools import cached_property

import numpy as np
from numpy.typing import NDArray

NOTHING = -16.0
"""Logit of pixels outside the decoded window."""


@dataclass(frozen=True, kw_only=True, eq=False)
class MaskPrediction:
    """Candidate masks of one object, kept as the part of the image that was decoded.

    Attributes
    ----------
    predicted_iou : ndarray
        (M,) float32, what the network expects each mask's IoU with the truth to be; M is 3, or 1
        without multimask output.
    patches : ndarray
        (M, h', w') bool, the masks within `region`; outside there is nothing.
    corner : (int, int)
        Row and column of the patches' first pixel in the image.
    image_shape : (int, int)
        Height and width of the image.
    window_logits : ndarray
        (M, k, l) float32, low-resolution logits within the decoded window.
    window_corner : (int, int)
        Row and column of the window's first pixel in the whole low-resolution logits.
    low_res_shape : (int, int)
        Height and width of those.
    box_fit : ndarray or None
        (M,) float32, IoU of each mask's bounds with the box that was asked with; None where there
        was none, or where `predicted_iou` takes it into account.
    """

    predicted_iou: NDArray[np.float32]
    patches: NDArray[np.bool_]
    corner: tuple[int, int]
    image_shape: tuple[int, int]
    window_logits: NDArray[np.float32]
    window_corner: tuple[int, int]
    low_res_shape: tuple[int, int]
    box_fit: NDArray[np.float32] | None = None

    @classmethod
    def of_whole(
        cls,
        masks: NDArray[np.bool_],
        predicted_iou: NDArray[np.float32],
        low_res_logits: NDArray[np.float32],
    ) -> MaskPrediction:
        """Make one from masks (M, H, W), scores (M,) and logits (M, h, w) of a whole image."""
        return cls(
            predicted_iou=predicted_iou,
            patches=masks,
            corner=(0, 0),
            image_shape=(masks.shape[1], masks.shape[2]),
            window_logits=low_res_logits,
            window_corner=(0, 0),
            low_res_shape=(low_res_logits.shape[1], low_res_logits.shape[2]),
        )

    def __repr__(self) -> str:
        """Tell scores and sizes, not pixels."""
        pairs = zip(self.predicted_iou.tolist(), self.areas.tolist(), strict=True)
        masks = ", ".join(f"{area} pixels at {iou:.3f}" for iou, area in pairs)
        return f"<MaskPrediction of an image of shape {self.image_shape}: {masks}>"

    def __len__(self) -> int:
        """Return the number of candidates, M."""
        return len(self.predicted_iou)

    @property
    def ratings(self) -> NDArray[np.float32]:
        """(M,) what candidates are chosen by: the predicted IoU, times how well a box is filled.

        A person draws a box around an object; a mask that leaves a part of it empty, or runs out of
        it, is of something else.
        """
        return self.predicted_iou if self.box_fit is None else self.predicted_iou * self.box_fit

    def rated(self, ratings: NDArray[np.float32]) -> MaskPrediction:
        """Return the same candidates, of which (M,) other IoU is expected, all in all."""
        return dataclasses.replace(self, predicted_iou=ratings, box_fit=None)

    @property
    def best(self) -> int:
        """Index of the candidate with the highest rating."""
        return int(self.ratings.argmax())

    @property
    def rating(self) -> float:
        """The highest rating of a candidate."""
        return float(self.ratings.max())

    @property
    def region(self) -> tuple[slice, slice]:
        """Rows and columns of the image that `patches` cover."""
        row, col = self.corner
        height, width = self.patches.shape[1:]
        return slice(row, row + height), slice(col, col + width)

    @cached_property
    def areas(self) -> NDArray[np.int64]:
        """(M,) pixels of each mask."""
        return np.asarray(self.patches.sum((1, 2)))

    @cached_property
    def masks(self) -> NDArray[np.bool_]:
        """(M, H, W) bool, the masks in the whole image."""
        masks = np.zeros((len(self), *self.image_shape), bool)
        masks[(slice(None), *self.region)] = self.patches
        return masks

    @cached_property
    def low_res_logits(self) -> NDArray[np.float32]:
        """(M, h, w) float32; one of them can be given back as `Prompts.mask_input`."""
        logits = np.full((len(self), *self.low_res_shape), NOTHING, np.float32)
        row, col = self.window_corner
        height, width = self.window_logits.shape[1:]
        logits[:, row : row + height, col : col + width] = self.window_logits
        return logits
