"""Along which axes of an image there are slices to go through."""

from __future__ import annotations

from collections.abc import Sequence

_CHANNELS = ("c", "ch", "channel", "channels")


def stack_axes(sliced: Sequence[int], shape: Sequence[int], names: Sequence[str] = ()) -> list[int]:
    """Return the axes that objects can be carried along, the likeliest first.

    Parameters
    ----------
    sliced : sequence of int
        The image's axes that are not displayed.
    shape : sequence of int
        The image's.
    names : sequence of str, optional
        What its axes are called; one that is called like a channel comes last.

    Returns
    -------
    list of int
        Those of more than one slice, from the last to the first.
    """

    def is_channel(axis: int) -> bool:
        return bool(names) and names[axis].lower() in _CHANNELS

    return sorted((axis for axis in reversed(sliced) if shape[axis] > 1), key=is_channel)
