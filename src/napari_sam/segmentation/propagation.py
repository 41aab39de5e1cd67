"""Carry objects from annotated slices through a stack.

Fronts (`napari_sam.segmentation.fronts`) say which objects come to which slice; there they claim
pixels (`napari_sam.segmentation.claims`), and end where the claim is doubtful.
"""

from __future__ import annotations

import dataclasses
from collections import defaultdict
from collections.abc import Callable, Collection, Generator, Mapping
from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

from napari_sam.segmentation.claims import (
    Claim,
    PromptPredictor,
    claims_from_boxes,
    claims_from_masks,
    share_pixels,
)
from napari_sam.segmentation.embedding import ImageEmbedding
from napari_sam.segmentation.fronts import Annotated, Front, FrontEnd, FrontRules, plan_fronts
from napari_sam.segmentation.mask_prompts import logits_from_mask, prompts_from_mask
from napari_sam.segmentation.patches import MaskPatch
from napari_sam.segmentation.propagation_config import PropagateConfig
from napari_sam.segmentation.sightings import Sightings

__all__ = [
    "FrontEnd",
    "MaskPatch",
    "PromptPredictor",
    "PropagateConfig",
    "PropagatedMask",
    "PropagatedSlice",
    "PropagationSummary",
    "iter_propagate",
    "logits_from_mask",
    "prompts_from_mask",
]


@dataclass(frozen=True, kw_only=True, eq=False)
class PropagatedMask:
    """An object in a slice.

    Attributes
    ----------
    label : int
        The object.
    patch : MaskPatch
        Its mask; empty where another object has taken all of it.
    predicted_iou : float
        What the network expects the mask's IoU with the truth to be.
    neighbour_iou : float
        IoU with the object's mask in the slice before.
    source : int
        The annotated slice that it was carried from.
    """

    label: int
    patch: MaskPatch
    predicted_iou: float
    neighbour_iou: float
    source: int


@dataclass(frozen=True, kw_only=True, eq=False)
class PropagatedSlice:
    """What one turn brought: one slice, for all objects that came to it from one side.

    Attributes
    ----------
    index : int
        The slice.
    step : int
        1 on the way up, -1 on the way down.
    masks : tuple of PropagatedMask
        At most one for each object; it replaces what was shown of that object in the slice. They do
        not overlap one another, nor annotated masks. Objects that lost pixels are among them.
    ended : tuple of FrontEnd
        Fronts that ended in this turn.
    done, total : int
        Slices of objects that are settled, and in all.
    """

    index: int
    step: int
    masks: tuple[PropagatedMask, ...]
    ended: tuple[FrontEnd, ...]
    done: int
    total: int


@dataclass(frozen=True, kw_only=True)
class PropagationSummary:
    """What came of a propagation.

    Attributes
    ----------
    filled : dict of int to tuple of int
        By label: the slices that were filled, in rising order.
    ended : tuple of FrontEnd
        How every front ended, two for each annotated slice that sends them.
    """

    filled: dict[int, tuple[int, ...]]
    ended: tuple[FrontEnd, ...]


def iter_propagate(
    embed: Callable[[int], ImageEmbedding],
    predictor: PromptPredictor,
    annotated: Mapping[int, Mapping[int, NDArray[np.bool_]]],
    *,
    n_slices: int,
    config: PropagateConfig | None = None,
    stops: Mapping[int, Collection[int]] | None = None,
    sources: Mapping[int, Collection[int]] | None = None,
    limits: Mapping[int, tuple[int, int]] | None = None,
) -> Generator[PropagatedSlice, None, PropagationSummary]:
    """Carry objects from their annotated slices through a stack, slice by slice.

    Fronts go up from every annotated slice, then down, so that objects share slices; between two
    annotated slices they meet in the middle. A slice is embedded, and its objects decoded in one
    call, once on the way up and once on the way down; only where a front ended before the middle is
    there a third turn. Closing the generator cancels; annotated slices are never changed.

    To carry on from one corrected slice k alone, give it among `annotated` with
    ``sources={label: [k]}`` and, to go up only, ``limits={label: (k + 1, n_slices - 1)}``. Slices
    that are given are not crossed, so one that is good ends the way.

    Parameters
    ----------
    embed : callable
        Gives the embedding of a slice by its index. All slices should be seen at one scale and
        contrast: fix `object_diameter` and `contrast_limits`.
    predictor : Predictor
        Or anything with its `predict`.
    annotated : mapping of int to mapping of int to ndarray
        By label and slice: masks (H, W) bool, not empty.
    n_slices : int
        Slices of the stack.
    config : PropagateConfig, optional
        Settings.
    stops : mapping of int to collection of int, optional
        By label: slices that the object must not enter.
    sources : mapping of int to collection of int, optional
        By label: annotated slices that objects are carried from; by default all.
    limits : mapping of int to (int, int), optional
        By label: first and last slice that may be filled; a front whose next slice is another does
        not start.

    Returns
    -------
    generator
        Yields a `PropagatedSlice` for every slice and turn, returns a `PropagationSummary`.

    Raises
    ------
    ValueError
        If a mask is empty or of another shape than the others or the image, or a slice lies outside
        the stack.
    """
    config = config or PropagateConfig()
    patches, shape = _checked_patches(annotated, n_slices)
    rules = FrontRules(
        n_slices=n_slices,
        max_slices=config.max_slices,
        stops=stops or {},
        sources=sources,
        limits=limits or {},
    )
    rules.check(patches)
    fronts = plan_fronts(patches, rules)
    return _Propagation(embed, predictor, patches, shape, fronts, config).run()


def _checked_patches(
    annotated: Mapping[int, Mapping[int, NDArray[np.bool_]]], n_slices: int
) -> tuple[dict[int, dict[int, MaskPatch]], tuple[int, int]]:
    """Check the annotated masks; return them cut to their boxes, and the shape of a slice."""
    shape: tuple[int, ...] = ()
    patches: dict[int, dict[int, MaskPatch]] = defaultdict(dict)
    for label, slices in annotated.items():
        for index, given in slices.items():
            if not 0 <= index < n_slices:
                raise ValueError(
                    f"Object {label} is annotated in slice {index}; the stack has slices 0 to "
                    f"{n_slices - 1}"
                )
            mask = np.asarray(given)
            shape = shape or mask.shape
            if mask.ndim != 2 or mask.shape != shape or mask.dtype != bool:
                raise ValueError(
                    "Annotated masks must be boolean, (H, W), and all of one shape; got "
                    f"{mask.dtype} {mask.shape} for object {label} in slice {index}"
                    + ("" if mask.shape == shape else f", and {shape} before")
                )
            patches[label][index] = MaskPatch.cut(mask)
            if not patches[label][index].area:
                raise ValueError(
                    f"The annotated mask of object {label} in slice {index} is empty; leave it "
                    "out, or give the slice in stops"
                )
    if not patches:
        raise ValueError("There is nothing to propagate: annotate an object in at least one slice")
    return dict(patches), (shape[0], shape[1])


@dataclass(frozen=True, eq=False)
class _Turn:
    """A turn under way.

    Attributes
    ----------
    index : int
        The slice.
    filled : dict of int to PropagatedMask
        All masks of the slice, by label.
    owners : ndarray
        (H, W) labels of those that were there before.
    shown : dict of int to PropagatedMask
        The masks that are new or changed, by label.
    ended : list of FrontEnd
        Fronts that ended.
    """

    index: int
    filled: dict[int, PropagatedMask]
    owners: NDArray[np.int64]
    shown: dict[int, PropagatedMask] = field(default_factory=dict)
    ended: list[FrontEnd] = field(default_factory=list)

    @classmethod
    def begin(cls, index: int, filled: dict[int, PropagatedMask], shape: tuple[int, int]) -> _Turn:
        owners = np.zeros(shape, np.int64)
        for label, mask in filled.items():
            owners[mask.patch.slices][mask.patch.mask] = label
        return cls(index, filled, owners)

    def distance(self, source: int) -> int:
        return abs(self.index - source)

    def rivals(self, label: int, patch: MaskPatch) -> list[PropagatedMask]:
        """Find the other objects that a patch overlaps."""
        under = np.unique(self.owners[patch.slices][patch.mask]).tolist()
        return [self.filled[other] for other in under if other not in (0, label)]

    def show(self, mask: PropagatedMask) -> None:
        self.filled[mask.label] = self.shown[mask.label] = mask


class _Propagation:
    """The state of one run: its fronts, and what they filled."""

    def __init__(
        self,
        embed: Callable[[int], ImageEmbedding],
        predictor: PromptPredictor,
        annotated: Annotated,
        shape: tuple[int, int],
        fronts: list[Front],
        config: PropagateConfig,
    ) -> None:
        self._embed, self._predictor, self._config = embed, predictor, config
        self._shape, self._fronts = shape, fronts
        self._annotated: dict[int, list[MaskPatch]] = defaultdict(list)
        for slices in annotated.values():
            for index, patch in slices.items():
                self._annotated[index].append(patch)
        self._filled: dict[int, dict[int, PropagatedMask]] = defaultdict(dict)
        self._between: dict[int, float] = {}
        self._ended: list[FrontEnd] = []
        self._total = 0

    def run(self) -> Generator[PropagatedSlice, None, PropagationSummary]:
        for front in self._fronts:
            self._ended += front.settle()
        self._total = self._remaining()
        while self._remaining():
            for step in (1, -1):
                while ready := [f for f in self._fronts if f.step == step and f.remaining > 0]:
                    nearest = min(ready, key=lambda front: front.next * front.step).next
                    yield self._turn(nearest, [f for f in ready if f.next == nearest])
        filled: dict[int, list[int]] = {front.label: [] for front in self._fronts}
        for index in sorted(self._filled):
            for label, mask in self._filled[index].items():
                if mask.patch.area:
                    filled[label].append(index)
        return PropagationSummary(
            filled={label: tuple(slices) for label, slices in filled.items()},
            ended=tuple(self._ended),
        )

    def _remaining(self) -> int:
        return sum(front.remaining for front in self._fronts)

    def _turn(self, index: int, fronts: list[Front]) -> PropagatedSlice:
        """Take fronts into the slice that they all come to next."""
        embedding = self._embed(index)
        if embedding.image_shape != self._shape:
            raise ValueError(
                f"Slice {index} has the shape {embedding.image_shape}, but the annotated masks "
                f"have {self._shape}; give masks in the image's own pixels"
            )
        turn = _Turn.begin(index, self._filled[index], self._shape)
        sure = []
        for front, claim in zip(fronts, self._claims(embedding, fronts), strict=True):
            if claim.certainty < self._least_certainty(front):
                turn.ended.extend(front.end("doubtful"))
            else:
                sure.append((front, claim))
        patches = share_pixels([claim for _, claim in sure], self._annotated[index], self._shape)
        for (front, claim), patch in zip(sure, patches, strict=True):
            self._fill(turn, front, patch, claim)
        self._ended += turn.ended
        return PropagatedSlice(
            index=index,
            step=fronts[0].step,
            masks=tuple(turn.shown.values()),
            ended=tuple(turn.ended),
            done=self._total - self._remaining(),
            total=self._total,
        )

    def _claims(self, embedding: ImageEmbedding, fronts: list[Front]) -> list[Claim]:
        """Decode the fronts' objects in a slice."""
        ask = claims_from_boxes if self._config.prompts == "box" else claims_from_masks
        size = self._config.objects_per_batch
        seen = Sightings.of(self._predictor, embedding)
        claims = []
        for start in range(0, len(fronts), size):
            patches = [front.patch for front in fronts[start : start + size]]
            claims += ask(self._predictor, embedding, patches, seen)
        return claims

    def _least_certainty(self, front: Front) -> float:
        """Return how certain the front's next mask has to be.

        Between two annotated slices the object is known to be; how certain masks are there is a
        measure for the slices beyond.
        """
        least = self._config.pred_iou_thresh
        if front.partner is not None:
            return least
        highest = max(front.certainty, self._between.get(front.label, 0.0))
        return max(least, self._config.pred_iou_share * highest)

    def _fill(self, turn: _Turn, front: Front, patch: MaskPatch, claim: Claim) -> None:
        """Take a mask into the slice, or end its front.

        Of two objects that come from different sides, the nearer annotated slice is believed.
        """
        far = turn.distance(front.source)
        rivals = turn.rivals(front.label, patch)
        for rival in rivals:
            if turn.distance(rival.source) <= far:
                patch = patch.without(rival.patch)
        alike = front.patch.iou_with(patch)
        reason = self._reason_to_end(front, patch, alike)
        if reason is not None:
            turn.ended.extend(front.end(reason))
            return
        mine = turn.filled.get(front.label)  # in the middle between two annotated slices
        if mine is None or mine.predicted_iou < claim.predicted_iou:
            for rival in rivals:
                if turn.distance(rival.source) > far:
                    rest = rival.patch.without(patch)
                    turn.show(dataclasses.replace(rival, patch=rest))
            turn.show(
                PropagatedMask(
                    label=front.label,
                    patch=patch,
                    predicted_iou=claim.predicted_iou,
                    neighbour_iou=alike,
                    source=front.source,
                )
            )
        front.fill(patch, claim.certainty)
        if front.partner is not None:
            known = self._between.get(front.label, 0.0)
            self._between[front.label] = max(claim.certainty, known)
        turn.ended.extend(front.settle())

    def _reason_to_end(self, front: Front, patch: MaskPatch, alike: float) -> str | None:
        if patch.area < self._config.min_area:
            return "empty"
        grown = patch.area > self._config.max_growth * front.source_area
        return "changed" if grown or alike < self._config.neighbour_iou_thresh else None
