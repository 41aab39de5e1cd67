"""Where objects are carried through a stack: fronts that start at annotated slices.

Every annotated slice sends a front up and one down. A front has a goal: the end of the stack or of
its range, a stop, or, between two annotated slices, the middle, where it meets the front from the
other side. If that one ends early, the goal moves up to where it ended.
"""

from __future__ import annotations

import itertools
from collections.abc import Collection, Iterator, Mapping
from dataclasses import dataclass, field
from typing import NamedTuple

from napari_sam.segmentation.patches import MaskPatch

Annotated = Mapping[int, Mapping[int, MaskPatch]]
"""By label and slice."""


@dataclass(frozen=True, kw_only=True)
class FrontEnd:
    """How a front of an object ended.

    Attributes
    ----------
    label : int
        The object.
    source : int
        The annotated slice that the front came from.
    step : int
        1 for a front that went up, -1 for one that went down.
    last : int
        The last slice that it filled; `source` if it filled none.
    reason : str
        ``"empty"``: the next mask is smaller than the least area; ``"changed"``: it overlaps the
        last one too little, or has grown too much; ``"doubtful"``: too little speaks for it;
        ``"stop"``: the next slice is a stop; ``"edge"``: the stack or the range ends; ``"met"``:
        the next slice is annotated, or filled from the other side.
    """

    label: int
    source: int
    step: int
    last: int
    reason: str


@dataclass(kw_only=True, eq=False)
class Front:
    """One object on its way through a stack.

    Attributes
    ----------
    label, source, step
        As in `FrontEnd`.
    patch : MaskPatch
        The object in the last slice.
    at : int
        The last slice: `source`, or the last one filled.
    cap, cap_reason : int, str
        The farthest slice that may be filled, and why no farther one.
    goal : int
        The slice to go to for now, at most `cap`.
    source_area : int
        Pixels of the annotated mask.
    partner : Front or None
        The front that comes from the other side.
    certainty : float
        Of its masks, the highest so far; 0 before the first slice.
    reason : str or None
        Why the front ended; None as long as it has not.
    """

    label: int
    source: int
    step: int
    patch: MaskPatch
    at: int
    cap: int
    cap_reason: str
    goal: int
    source_area: int
    partner: Front | None = field(default=None, repr=False)
    certainty: float = 0.0
    reason: str | None = None

    @property
    def next(self) -> int:
        """The next slice."""
        return self.at + self.step

    @property
    def remaining(self) -> int:
        """Slices from here to the goal; 0 after the end."""
        return 0 if self.reason is not None else (self.goal - self.at) * self.step

    def fill(self, patch: MaskPatch, certainty: float) -> None:
        """Take the next slice's mask."""
        self.at, self.patch = self.next, patch
        self.certainty = max(certainty, self.certainty)

    def settle(self) -> Iterator[FrontEnd]:
        """End, or wait for the partner, if the goal is reached."""
        if self.reason is not None or self.remaining > 0:
            return
        partner = self.partner
        if self.goal == self.cap and self.cap_reason != "met":
            yield from self.end(self.cap_reason)
        elif partner is None or partner.remaining == 0:
            yield from self.end("met")
            if partner is not None and partner.reason is None:
                yield from partner.end("met")

    def end(self, reason: str) -> Iterator[FrontEnd]:
        """End here; a partner that has not met this front goes on to where it ended."""
        self.reason = reason
        yield FrontEnd(
            label=self.label, source=self.source, step=self.step, last=self.at, reason=reason
        )
        partner = self.partner
        if partner is not None and partner.reason is None and reason != "met":
            partner.goal = _nearer(partner, self.next, partner.cap)
            yield from partner.settle()


def _nearer(front: Front, first: int, second: int) -> int:
    return min(first, second) if front.step > 0 else max(first, second)


@dataclass(frozen=True, kw_only=True)
class FrontRules:
    """Where fronts start and how far they may go.

    Attributes
    ----------
    n_slices : int
        Slices of the stack.
    max_slices : int
        Slices each way; 0 for no limit.
    stops : mapping of int to collection of int
        By label: slices that the object must not enter.
    sources : mapping of int to collection of int, or None
        By label: annotated slices that send fronts; None for all.
    limits : mapping of int to (int, int)
        By label: first and last slice that may be filled.
    """

    n_slices: int
    max_slices: int = 0
    stops: Mapping[int, Collection[int]]
    sources: Mapping[int, Collection[int]] | None
    limits: Mapping[int, tuple[int, int]]

    def check(self, annotated: Annotated) -> None:
        """Check that the rules speak of annotated objects and of slices of the stack.

        Raises
        ------
        ValueError
            If they do not.
        """
        given: dict[str, Mapping[int, Collection[int]]] = {
            "stops": self.stops,
            "sources": self.sources or {},
            "limits": self.limits,
        }
        for (name, rule), label in ((item, label) for item in given.items() for label in item[1]):
            if label not in annotated:
                raise ValueError(
                    f"{name} speak of object {label}, which has no annotated slice; annotate it, "
                    "or leave it out"
                )
            for index in rule[label]:
                self._check_slice(name, label, index, annotated[label])
        for label, (first, last) in self.limits.items():
            if first > last:
                raise ValueError(
                    f"limits must be (first, last) with first <= last, got {(first, last)} for "
                    f"object {label}"
                )

    def _check_slice(
        self, name: str, label: int, index: int, slices: Mapping[int, MaskPatch]
    ) -> None:
        if not 0 <= index < self.n_slices:
            raise ValueError(
                f"{name} of object {label} must be slices from 0 to {self.n_slices - 1}, "
                f"got {index}"
            )
        if name == "sources" and index not in slices:
            raise ValueError(
                f"sources of object {label} must be annotated slices {sorted(slices)}, got {index}"
            )
        if name == "stops" and index in slices:
            raise ValueError(
                f"Slice {index} of object {label} is both annotated and a stop; give one of the two"
            )

    def sends(self, label: int, index: int) -> bool:
        """Tell whether an annotated slice sends fronts."""
        return self.sources is None or index in self.sources.get(label, ())


class _Bar(NamedTuple):
    """The farthest slice of a front, in steps from its source, and why."""

    distance: int
    reason: str


def plan_fronts(annotated: Annotated, rules: FrontRules) -> list[Front]:
    """Make the fronts of all objects, with their goals, and pair those that will meet.

    Parameters
    ----------
    annotated : mapping
        The objects' masks by label and slice, not empty.
    rules : FrontRules
        Checked.

    Returns
    -------
    list of Front
        Some have their goal at their source: they fill nothing.
    """
    fronts: list[Front] = []
    for label, slices in annotated.items():
        sent = [index for index in sorted(slices) if rules.sends(label, index)]
        made = {
            (index, step): _front(label, index, step, slices, rules)
            for index in sent
            for step in (1, -1)
        }
        for first, second in itertools.pairwise(sorted(slices)):
            _pair(made.get((first, 1)), made.get((second, -1)))
        fronts += made.values()
    return fronts


def _front(
    label: int, source: int, step: int, slices: Mapping[int, MaskPatch], rules: FrontRules
) -> Front:
    stack_end = rules.n_slices - 1 if step > 0 else 0
    first, last = rules.limits.get(label, (0, rules.n_slices - 1))
    inside = first <= source + step <= last
    bars = [
        _Bar((stack_end - source) * step, "edge"),
        _Bar(((last if step > 0 else first) - source) * step if inside else 0, "edge"),
    ]
    if rules.max_slices:
        bars.append(_Bar(rules.max_slices, "edge"))
    for blocked, reason in ((slices, "met"), (rules.stops.get(label, ()), "stop")):
        ahead = [(index - source) * step for index in blocked if (index - source) * step > 0]
        bars += [_Bar(min(ahead) - 1, reason)] if ahead else []
    bar = min(bars, key=lambda bar: bar.distance)
    cap = source + step * bar.distance
    return Front(
        label=label,
        source=source,
        step=step,
        patch=slices[source],
        at=source,
        cap=cap,
        cap_reason=bar.reason,
        goal=cap,
        source_area=slices[source].area,
    )


def _pair(upward: Front | None, downward: Front | None) -> None:
    """Let two fronts meet in the middle, or where the shorter of them ends."""
    if upward is None or downward is None or "stop" in (upward.cap_reason, downward.cap_reason):
        return
    upward.partner, downward.partner = downward, upward
    total = upward.source + downward.source
    upward.goal = min(upward.cap, max(total // 2, downward.cap - 1))
    downward.goal = max(downward.cap, min((total + 1) // 2, upward.cap + 1))
