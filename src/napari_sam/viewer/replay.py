"""Patches of a history drawn in a layer: one step of it, or all from anywhere on their way."""

from __future__ import annotations

import functools
from collections.abc import Sequence
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from napari_sam.viewer.bounds import Bounds, region_within, union
from napari_sam.viewer.history import Block, LabelPatch
from napari_sam.viewer.labels_output import changed_patch

if TYPE_CHECKING:
    from napari_sam.viewer.labels_output import LabelsOutput


def step(output: LabelsOutput, patches: Sequence[LabelPatch]) -> None:
    """Draw what patches, at least one, did where the layer is as they found it; as `replay`."""
    _make_room(output, patches)
    stepped = []
    for patch in patches:
        now, wanted = output.read(patch.bounds), patch.after.values
        follows = (now == patch.before.values) & (wanted <= np.iinfo(now.dtype).max)
        after = np.where(follows, wanted, now).astype(now.dtype)
        stepped.append(LabelPatch(patch.bounds, Block(now), Block(after)))
    output.write(stepped)


def replay(output: LabelsOutput, patches: Sequence[LabelPatch]) -> int:
    """Draw what patches did, one after the other, as one step of the layer's own undo history.

    A pixel follows from where it has the label that a patch found; so a layer ends in the same
    state whether it is as before the first patch, between two, or as after the last. What else is
    drawn in it is not ours.

    Parameters
    ----------
    output : LabelsOutput
        Of the layer.
    patches : sequence of LabelPatch
        Oldest first.

    Returns
    -------
    int
        In how many pixels the layer is not what the last patch made of it.
    """
    if not patches:
        return 0
    _make_room(output, patches)
    sides = functools.reduce(union, (patch.bounds[-2:] for patch in patches))
    planes: dict[tuple[int, ...], _Followed] = {}
    for patch in patches:
        within = region_within(patch.bounds[-2:], sides)
        before, after = patch.before.values, patch.after.values
        for offset in np.ndindex(before.shape[:-2]):
            index = tuple(low + at for (low, _), at in zip(patch.bounds, offset, strict=False))
            bounds = (*((at, at + 1) for at in index), *sides)
            if index not in planes:
                planes[index] = _Followed(bounds, output.read(bounds))
            planes[index].follow(within, before[offset], after[offset])
    drawn = [plane.patch() for plane in planes.values()]
    output.write([patch for patch in drawn if patch is not None])
    return sum(plane.missed() for plane in planes.values())


def _make_room(output: LabelsOutput, patches: Sequence[LabelPatch]) -> None:
    """Widen a layer of ours for the labels that patches draw."""
    output.widen(max(int(patch.after.values.max(initial=0)) for patch in patches))


class _Followed:
    """A plane of a layer: as it was found, as it follows the patches, and as they leave it."""

    def __init__(self, bounds: Bounds, found: NDArray[np.integer]) -> None:
        self._bounds = bounds
        self._found = found
        self._now = found.copy()
        self._end = found.astype(np.int64)

    def follow(
        self,
        within: tuple[slice, ...],
        before: NDArray[np.integer],
        after: NDArray[np.integer],
    ) -> None:
        """Follow a patch in a region of the plane; labels that it cannot hold are left out."""
        rows, cols = within
        now, end = self._now[..., rows, cols], self._end[..., rows, cols]
        changed = before != after
        fits = after <= np.iinfo(now.dtype).max
        now[...] = np.where(changed & fits & (now == before), after, now)
        end[...] = np.where(changed, after, end)

    def patch(self) -> LabelPatch | None:
        """Return what is to be drawn; None for nothing."""
        return changed_patch(self._bounds, self._found, self._now)

    def missed(self) -> int:
        """Return in how many pixels the plane is not as the patches leave it."""
        return int((self._now != self._end).sum())
