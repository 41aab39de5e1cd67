"""What the dock "Segment" says: what to do next, and what came of it."""

from __future__ import annotations

import collections
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from napari_sam.viewer.drafts import Written

NO_IMAGE = "Open an image first"
"""What the dock says while the viewer shows none."""
INVITATION = 'Press "New" beside Points, then click an object'
"""What the dock says until there is a session."""
READY = (
    "Click an object; Shift+click what is not part of it; drag a box; Alt+drag around it; "
    "Ctrl+drag along it; Enter commits"
)
"""What the dock says while nothing is prompted."""
BUSY = "Another job is under way in this dock: wait for its end, or press Stop"
"""What is told of a job that is not begun."""
_ENDS = {
    "changed": "changed too much",
    "doubtful": "became doubtful",
    "edge": "reached the end",
    "empty": "became too small",
    "met": "met another",
    "stop": "came to a stop",
}
"""What is said of how propagation of an object ended, by the reason of `Ended`."""
_ANSWERED = "Enter commits this mask, further clicks correct it."


def counted(count: int, noun: str) -> str:
    """Return a number with its noun: "1 object", "2 objects"."""
    return f"{count:,} {noun}{'' if count == 1 else 's'}"


def answered(seconds: float, diameter: float | None) -> str:
    """Return what is said with a mask: what to do with it, and what it took."""
    took = f"{seconds:.1f} s" if seconds >= 1 else f"{seconds * 1000:.0f} ms"
    size = "" if diameter is None else f"; objects of about {diameter:.0f} px"
    return f"{_ANSWERED} Answered in {took}{size}"


def is_of_an_answer(text: str) -> bool:
    """Tell whether a text is that of a mask which may be gone now."""
    return text.startswith(_ANSWERED)


def told(summary: Any) -> str:
    """Return what came of a propagation."""
    slices = sum(len(filled) for filled in summary.filled.values())
    reasons = collections.Counter(end.reason for end in summary.ended)
    why = ", ".join(
        f"{count} {_ENDS.get(reason, reason)}" for reason, count in sorted(reasons.items())
    )
    filled = f"Filled {counted(slices, 'slice')} of {counted(len(summary.filled), 'object')}"
    return f"{filled}; ends: {why}" if why else filled


def told_of_drafts(written: Written, origin: str) -> str:
    """Return what came of drafts, or of objects that were refined."""
    if not (written.objects or written.left):
        return "Nothing new was found"
    left = f", {counted(written.left, 'doubtful place')} left" if written.left else ""
    after = "; Ctrl+Z takes them back, J reviews them" if written.objects else ""
    if origin == "refined":
        return f"Refined {counted(written.objects, 'object')}{left}{after}"
    return f"{counted(written.objects, 'draft')}{left}{after}"
