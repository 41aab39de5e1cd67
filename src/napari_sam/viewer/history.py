"""Every change of a session as a value that can be taken back, brought back, and written down."""

from __future__ import annotations

import base64
import zlib
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from numpy.typing import NDArray

from napari_sam.viewer.bounds import Bounds, region_of
from napari_sam.viewer.entries import EntryChange, ObjectEntry, ObjectPrompts

_FASTEST = 1


class Block:
    """The labels of a region, packed once there is time for it.

    Parameters
    ----------
    values : ndarray
        Integers; copied.
    """

    def __init__(self, values: NDArray[np.integer]) -> None:
        self.shape = values.shape
        self.dtype = values.dtype
        self._values: NDArray[np.integer] | None = np.array(values, order="C")
        self._packed: bytes | None = None

    @property
    def values(self) -> NDArray[np.integer]:
        """The labels; do not write into them."""
        values = self._values  # once: packing in another thread lets go of it
        if values is not None:
            return values
        if self._packed is None:
            raise ValueError("A block holds neither values nor packed values")
        flat = np.frombuffer(zlib.decompress(self._packed), self.dtype)
        return flat.reshape(self.shape)

    def pack(self) -> bytes:
        """Compress the labels and let go of the array; for any thread."""
        packed = self._packed
        if packed is None:
            packed = zlib.compress(np.ascontiguousarray(self.values).tobytes(), _FASTEST)
            self._packed = packed
            self._values = None
        return packed

    def to_json(self) -> dict[str, Any]:
        """Return plain values."""
        text = base64.b64encode(self.pack()).decode("ascii")
        return {"shape": self.shape, "dtype": self.dtype.str, "zlib": text}

    @classmethod
    def from_json(cls, values: Mapping[str, Any]) -> Block:
        """Rebuild from `to_json`."""
        packed = base64.b64decode(values["zlib"], validate=True)
        raw = zlib.decompress(packed)
        block = cls(np.frombuffer(raw, np.dtype(values["dtype"])).reshape(values["shape"]))
        block._packed, block._values = packed, None
        return block


@dataclass(frozen=True, eq=False)
class LabelPatch:
    """A region of a Labels layer's data before and after a change."""

    bounds: Bounds
    before: Block
    after: Block

    @property
    def region(self) -> tuple[slice, ...]:
        """What to index the data with."""
        return region_of(self.bounds)

    def reversed(self) -> LabelPatch:
        """Return what takes this back."""
        return LabelPatch(self.bounds, self.after, self.before)

    def to_json(self) -> dict[str, Any]:
        """Return plain values."""
        before, after = self.before.to_json(), self.after.to_json()
        return {"bounds": self.bounds, "before": before, "after": after}

    @classmethod
    def from_json(cls, values: Mapping[str, Any]) -> LabelPatch:
        """Rebuild from `to_json`."""
        bounds = tuple((int(low), int(high)) for low, high in values["bounds"])
        return cls(bounds, Block.from_json(values["before"]), Block.from_json(values["after"]))


@dataclass(frozen=True, kw_only=True, eq=False)
class Change:
    """What one act of a person, or of a job, did.

    Attributes
    ----------
    kind : str
        What was done, for people: ``"point"``, ``"commit"``, ``"delete"``, ...
    prompts_before, prompts_after : ObjectPrompts or None
        The prompts, where they changed.
    patches : tuple of LabelPatch
        Pixels, where they changed.
    entries : tuple of EntryChange
        Objects, where they changed.
    group : str
        Neighbours of one group are undone and redone together; empty for none.
    """

    kind: str
    prompts_before: ObjectPrompts | None = None
    prompts_after: ObjectPrompts | None = None
    patches: tuple[LabelPatch, ...] = ()
    entries: tuple[EntryChange, ...] = ()
    group: str = ""

    def reversed(self) -> Change:
        """Return what takes this back."""
        return Change(
            kind=self.kind,
            group=self.group,
            prompts_before=self.prompts_after,
            prompts_after=self.prompts_before,
            patches=tuple(patch.reversed() for patch in reversed(self.patches)),
            entries=tuple(change.reversed() for change in reversed(self.entries)),
        )

    def to_json(self) -> dict[str, Any]:
        """Return plain values."""
        return {
            "kind": self.kind,
            "group": self.group,
            "prompts": [_prompts_json(self.prompts_before), _prompts_json(self.prompts_after)],
            "patches": [patch.to_json() for patch in self.patches],
            "entries": [
                [_entry_json(change.before), _entry_json(change.after)] for change in self.entries
            ],
        }

    @classmethod
    def from_json(cls, values: Mapping[str, Any]) -> Change:
        """Rebuild from `to_json`."""
        before, after = (v and ObjectPrompts.from_json(v) for v in values["prompts"])
        entries = [[v and ObjectEntry.from_json(v) for v in pair] for pair in values["entries"]]
        return cls(
            kind=str(values["kind"]),
            group=str(values.get("group", "")),
            prompts_before=before,
            prompts_after=after,
            patches=tuple(LabelPatch.from_json(patch) for patch in values["patches"]),
            entries=tuple(EntryChange(*pair) for pair in entries),
        )


def _prompts_json(prompts: ObjectPrompts | None) -> dict[str, Any] | None:
    return None if prompts is None else prompts.to_json()


def _entry_json(entry: ObjectEntry | None) -> dict[str, Any] | None:
    return None if entry is None else entry.to_json()


@dataclass
class History:
    """What was done, and what was taken back and can be done again; without a limit."""

    done: list[Change] = field(default_factory=list)
    undone: list[Change] = field(default_factory=list)

    @property
    def has_patches(self) -> bool:
        """Whether pixels were changed, and perhaps changed back."""
        return any(change.patches for change in (*self.done, *self.undone))

    def push(self, change: Change) -> None:
        """Note a new change; what was taken back is gone."""
        self.done.append(change)
        self.undone.clear()

    def take_back(self) -> Change | None:
        """Move the last change to those undone; returns what undoes it, or None."""
        if not self.done:
            return None
        change = self.done.pop()
        self.undone.append(change)
        return change.reversed()

    def bring_back(self) -> Change | None:
        """Move the last undone change back; returns it, or None."""
        if not self.undone:
            return None
        change = self.undone.pop()
        self.done.append(change)
        return change
