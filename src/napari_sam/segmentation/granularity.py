"""Whole, part or sub-part: which candidate a person means, learned from what was accepted."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from napari_sam.segmentation.prediction import MaskPrediction

_FEWEST = 3
_REMEMBERED = 20
_LEAST_SPREAD = 0.35


@dataclass(frozen=True)
class SizePreference:
    """The sizes of objects that were accepted.

    Attributes
    ----------
    areas : tuple of int
        Pixels of the last accepted masks.
    """

    areas: tuple[int, ...] = ()

    def accepting(self, area: int) -> SizePreference:
        """Return the preference after one more mask was accepted."""
        if area <= 0:
            return self
        return SizePreference((*self.areas, area)[-_REMEMBERED:])

    def choose(self, prediction: MaskPrediction) -> int:
        """Return the candidate to show first.

        The best rated one; after three accepted masks, the best by rating times how well its area
        fits theirs (a bell over the logarithm of the area).
        """
        if len(self.areas) < _FEWEST:
            return prediction.best
        logs = np.log(self.areas)
        spread = 2 * max(float(logs.std()), _LEAST_SPREAD)
        away = (np.log(np.maximum(prediction.areas, 1)) - np.median(logs)) / spread
        fit = np.exp(-(away**2) / 2) * (prediction.areas > 0)
        return int((prediction.ratings * fit).argmax())


def by_size(prediction: MaskPrediction) -> list[int]:
    """Return the candidates from the smallest to the largest."""
    return [int(index) for index in np.argsort(prediction.areas, kind="stable")]
