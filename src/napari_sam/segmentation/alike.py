"""Find objects that are like some examples: their embedding proposes, the decoder draws.

The vectors of the image's tokens inside the examples are compared with all others
(`napari_sam.segmentation.likeness`); where they are alike, points are prompts. What the decoder
draws there is kept if its size, its score and its own vectors fit. Works with every checkpoint.
"""

from __future__ import annotations

from collections.abc import Generator, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from napari_sam.segmentation.alike_config import AlikeConfig
from napari_sam.segmentation.doubt import Confidence, confidence_in
from napari_sam.segmentation.everything import (
    EverythingConfig,
    EverythingPredictor,
    instances_in,
)
from napari_sam.segmentation.likeness import Likeness, TokenVectors
from napari_sam.segmentation.mask_prompts import inner_points, point_and_box
from napari_sam.segmentation.patches import MaskPatch, patches_of
from napari_sam.segmentation.prediction import MaskPrediction
from napari_sam.segmentation.progress import Progress, run
from napari_sam.segmentation.prompts import Prompts

__all__ = ["AlikeConfig", "AlikeObject", "find_alike", "iter_alike"]

_SIZE_SPREAD = 0.5
"""How far, in logarithms of the area, a candidate's size is off until it is thought less of."""


@dataclass(frozen=True, kw_only=True, eq=False)
class AlikeObject:
    """An object that is like the examples.

    Attributes
    ----------
    patch : MaskPatch
        Its mask; it shares no pixel with an example.
    prompts : Prompts
        What it was drawn from.
    candidate : int
        Which of the candidates it is.
    similarity : float
        Of its mean vector with the nearest example's: 1 is as alike as the examples themselves, 0
        as what is around them.
    confidence : Confidence
        What the network tells of the mask.
    """

    patch: MaskPatch
    prompts: Prompts
    candidate: int
    similarity: float
    confidence: Confidence


def find_alike(
    predictor: EverythingPredictor,
    embedding: Any,
    examples: Sequence[MaskPatch],
    config: AlikeConfig | None = None,
) -> list[AlikeObject]:
    """Find objects that are like some examples.

    Parameters
    ----------
    predictor : Predictor
        Or anything with its methods.
    embedding : ImageEmbedding
        Of the image.
    examples : sequence of MaskPatch
        One or a few objects of the image; empty ones do not count.
    config : AlikeConfig, optional
        Settings.

    Returns
    -------
    list of AlikeObject
        Those that are not among the examples, the least doubtful first. No two share more than
        `config.overlap_thresh` of the smaller one.

    Raises
    ------
    TypeError, ValueError
        If there is no example, or one is no `MaskPatch`.
    """
    return run(iter_alike(predictor, embedding, examples, config))


def iter_alike(
    predictor: EverythingPredictor,
    embedding: Any,
    examples: Sequence[MaskPatch],
    config: AlikeConfig | None = None,
) -> Generator[Progress, None, list[AlikeObject]]:
    """Find alike objects step by step: yields `Progress`, returns what `find_alike` does."""
    for example in examples:
        if not isinstance(example, MaskPatch):
            raise TypeError(
                "examples must be MaskPatch objects, as MaskPatch.cut(mask, (0, 0)) makes them of "
                f"masks, got {type(example).__name__}"
            )
    examples = [example for example in examples if example.area]
    if not examples:
        raise ValueError("There is nothing to find: give at least one example that has a pixel")
    config = config or AlikeConfig()
    yield Progress(0, 1, "Comparing")
    tokens = TokenVectors.of_image(embedding)
    search = _Search(predictor, embedding, examples, Likeness.to(examples, tokens), config)
    found: list[AlikeObject] = []
    if config.use_instances and predictor.has_instance_decoder:
        proposed = search.instances()
        for start in range(0, len(proposed), config.points_per_batch):
            yield Progress(start, len(proposed), "Looking at instances")
            found += search.ask(proposed[start : start + config.points_per_batch])
    points, seen = search.points(), search.covered(found)
    for start in range(0, len(points), config.points_per_batch):
        yield Progress(start, len(points), "Looking at alike places")
        some = points[start : start + config.points_per_batch]
        rows, cols = some.T
        waiting = [Prompts(points=[point]) for point in some[~seen[rows, cols]]]
        new = search.ask(waiting)
        search.cover(seen, new)
        found += new
    yield Progress(1, 1, "Done")
    return search.best_of(found)


class _Search:
    """Asks the decoder, and keeps what is like the examples."""

    def __init__(
        self,
        predictor: EverythingPredictor,
        embedding: Any,
        examples: Sequence[MaskPatch],
        likeness: Likeness,
        config: AlikeConfig,
    ) -> None:
        self._predictor = predictor
        self._embedding = embedding
        self._examples = examples
        self._likeness = likeness
        self._config = config
        self._areas = np.array([example.area for example in examples])
        asked = [Prompts(points=inner_points(example)[:1]) for example in examples]
        scores = [
            answer.predicted_iou[self._fitting(answer)]
            for answer in predictor.predict(embedding, asked)
        ]
        self._least_score = config.pred_iou_share * float(min(scores))

    def instances(self) -> list[Prompts]:
        """Return prompts for the instance decoder's objects that may be alike."""
        labels = instances_in(self._predictor, self._embedding, EverythingConfig())
        return [
            point_and_box(patch)
            for patch in patches_of(labels)
            if self._fits(patch) and not self._is_example(patch)
        ]

    def points(self) -> NDArray[np.intp]:
        """Return pixels (N, 2) of the most alike places, spaced by the examples' size."""
        config, likeness = self._config, self._likeness
        wanted = config.point_spacing * min(example.diameter for example in self._examples)
        spacing = max(wanted, *(side / 2 for side in likeness.tokens.pixels_per_token))
        return likeness.peaks(spacing, config.similarity_thresh)[: config.max_points]

    def ask(self, prompts: Sequence[Prompts]) -> list[AlikeObject]:
        """Return the objects at prompts that pass the filters."""
        answers = self._predictor.predict(self._embedding, prompts) if prompts else []
        judged = (self._judged(*pair) for pair in zip(prompts, answers, strict=True))
        return [one for one in judged if one is not None]

    def covered(self, found: Sequence[AlikeObject]) -> NDArray[np.bool_]:
        """Return where (H, W) no point needs to be asked about: in examples and found objects."""
        seen = np.zeros(self._embedding.image_shape, bool)
        for example in self._examples:
            seen[example.slices] |= example.mask
        self.cover(seen, found)
        return seen

    @staticmethod
    def cover(seen: NDArray[np.bool_], found: Sequence[AlikeObject]) -> None:
        """Add objects to what is covered."""
        for one in found:
            seen[one.patch.slices] |= one.patch.mask

    def best_of(self, found: Sequence[AlikeObject]) -> list[AlikeObject]:
        """Drop what overlaps better objects."""
        ranked = sorted(found, key=lambda one: one.confidence.doubt)
        kept: list[AlikeObject] = []
        for one in ranked:
            if not any(self._overlap(one.patch, other.patch) for other in kept):
                kept.append(one)
        return kept

    def _judged(self, prompts: Prompts, answer: MaskPrediction) -> AlikeObject | None:
        """Return the candidate that fits the examples best, unless it does not fit."""
        chosen = self._fitting(answer)
        patch = MaskPatch.cut(answer.patches[chosen], answer.corner)
        if answer.predicted_iou[chosen] < self._least_score or not self._fits(patch):
            return None
        if self._is_example(patch):
            return None
        confidence = confidence_in(patch, answer)
        for example in self._examples:
            patch = patch.without(example)
        if not patch.area:
            return None
        return AlikeObject(
            patch=patch,
            prompts=prompts,
            candidate=chosen,
            similarity=self._likeness.of(patch),
            confidence=confidence,
        )

    def _fitting(self, answer: MaskPrediction) -> int:
        """Return the candidate with the best score among those of the examples' size."""
        logs = np.log(np.maximum(answer.areas, 1))
        low, high = np.log([self._areas.min(), self._areas.max()])
        away = np.maximum(np.maximum(low - logs, logs - high), 0) / _SIZE_SPREAD
        return int((answer.predicted_iou * np.exp(-(away**2) / 2)).argmax())

    def _fits(self, patch: MaskPatch) -> bool:
        """Tell whether a mask has the size and the looks of the examples."""
        ratio = self._config.max_area_ratio
        if not self._areas.min() / ratio <= patch.area <= self._areas.max() * ratio:
            return False
        return self._likeness.of(patch) >= self._config.mask_similarity_thresh

    def _is_example(self, patch: MaskPatch) -> bool:
        return any(self._overlap(patch, example) for example in self._examples)

    def _overlap(self, one: MaskPatch, other: MaskPatch) -> bool:
        return one.share_with(other) > self._config.overlap_thresh
