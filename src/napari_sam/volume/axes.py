"""Axes of stored arrays: their names, and the choice of a channel and a time point."""

from __future__ import annotations

from collections.abc import Sequence

from napari_sam.volume.ome import AXIS_TYPES

RGB_LENGTHS = (3, 4)
TIFF_UNNAMED = "IQ"


def name_axes(
    shape: Sequence[int],
    *,
    has_channel: bool = False,
    has_time: bool = False,
    names: Sequence[str | None] | None = None,
) -> tuple[str, ...]:
    """Name the axes of an array that has no OME metadata.

    Parameters
    ----------
    shape : sequence of int
        Length of each axis.
    has_channel, has_time : bool
        Whether a channel or a time point will be chosen, so that there is such an axis.
    names : sequence of str or None, optional
        Names stored with the array; taken where they are axes of an image.

    Returns
    -------
    tuple of str
        One of ``t``, ``c``, ``z``, ``y``, ``x`` per axis.

    Raises
    ------
    ValueError
        If the number of axes does not fit.
    """
    if names is not None and _are_image_axes(names):
        return tuple(str(name).lower() for name in names)
    channel_last = len(shape) > 2 and shape[-1] in RGB_LENGTHS
    tail = ("c",) if channel_last else ()
    head = ("t",) * has_time + ("c",) * (has_channel and not channel_last)
    n_spatial = len(shape) - len(head) - len(tail)
    if n_spatial not in (2, 3):
        raise ValueError(
            "source must have the axes (Y, X) or (Z, Y, X), with a last axis for RGB if any, "
            f"got the shape {tuple(shape)}; choose one with channel= (axis before z) "
            "and time= (first axis), or pass a part of the array"
        )
    return head + ("z", "y", "x")[3 - n_spatial :] + tail


def name_tiff_axes(
    letters: str,
    *,
    has_channel: bool = False,
    has_time: bool = False,
) -> tuple[str, ...]:
    """Name the axes of a TIFF series.

    Parameters
    ----------
    letters : str
        A letter per axis, as tifffile gives them: ``T``, ``C``, ``Z``, ``Y``, ``X``, ``S`` for the
        samples of a pixel, ``I`` or ``Q`` where the file says nothing.
    has_channel, has_time : bool
        Whether a channel or a time point will be chosen. Axes of which the file says nothing are
        taken from the end of (t, c, z): t where a time point is chosen, c where a channel is.

    Returns
    -------
    tuple of str
        One of ``t``, ``c``, ``z``, ``y``, ``x`` per axis.

    Raises
    ------
    ValueError
        If there are other axes, or more than these.
    """
    known = {"T": "t", "C": "c", "Z": "z", "Y": "y", "X": "x"}
    if "C" not in letters:
        known["S"] = "c"
    wanted = [("t", has_time), ("c", has_channel), ("z", True)]
    taken = [known.get(letter) for letter in letters]
    free = [axis for axis, is_wanted in wanted if is_wanted and axis not in taken]
    names = [
        free.pop(0) if letter in TIFF_UNNAMED and free else known.get(letter, "")
        for letter in letters
    ]
    if "" in names or len(set(names)) < len(names) or not {"y", "x"} <= set(names):
        raise ValueError(
            "source must have the axes Y and X with any of T, C, Z, or S for colors, "
            f"got the TIFF axes {letters}; choose with channel= and time= where axes have no "
            "name (I, Q), or save the part that you need"
        )
    return tuple(names)


def pick_axes(
    axes: Sequence[str],
    shape: Sequence[int],
    *,
    channel: int | str | None = None,
    time: int | None = None,
    channel_names: Sequence[str] = (),
) -> dict[str, int]:
    """Choose an index on the channel and the time axis.

    Parameters
    ----------
    axes : sequence of str
        Names of the axes.
    shape : sequence of int
        Length of each axis.
    channel : int or str, optional
        The wanted channel, by index or name.
    time : int, optional
        The wanted time point.
    channel_names : sequence of str
        Names of the channels, where they are known.

    Returns
    -------
    dict of str to int
        The index on ``c`` and on ``t``, for those of them that are there.

    Raises
    ------
    ValueError
        If a wanted axis or index is not there, or a choice is needed and was not made.
    """
    if isinstance(channel, str):
        channel = _channel_index(channel, channel_names)
    lengths = dict(zip(axes, shape, strict=True))
    named = f" ({', '.join(channel_names)})" if channel_names else ""
    picks = {}
    for axis, option, index, extra in (("t", "time", time, ""), ("c", "channel", channel, named)):
        if axis in lengths:
            picks[axis] = _pick(option, index, lengths[axis], extra)
        elif index is not None:
            raise ValueError(
                f"{option} was given ({index}), but the source has only the axes "
                f"{', '.join(axes)}; leave {option} out"
            )
    return picks


def _are_image_axes(names: Sequence[str | None]) -> bool:
    lower = [str(name).lower() for name in names]
    unique = len(set(lower)) == len(lower)
    return unique and all(name in AXIS_TYPES for name in lower) and {"y", "x"} <= set(lower)


def _channel_index(name: str, channel_names: Sequence[str]) -> int:
    if name in channel_names:
        return list(channel_names).index(name)
    known = ", ".join(channel_names) or "without names here"
    raise ValueError(f"Unknown channel {name!r}; channels are {known}; or give an index")


def _pick(option: str, index: int | None, length: int, extra: str) -> int:
    if index is None and length == 1:
        return 0
    if index is None:
        raise ValueError(
            f"the source has {length} {option} entries{extra}; "
            f"choose one with {option}=0 to {option}={length - 1}"
        )
    if not 0 <= index < length:
        raise ValueError(f"{option} must be from 0 to {length - 1}{extra}, got {index}")
    return index
