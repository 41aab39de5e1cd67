"""Masks as run lengths, as COCO stores them: down the columns, beginning with background.

The compressed form is a string. Every count but the first three is stored as its difference to the
count two before it. A number is cut into groups of five bits, the lowest first; a group's sixth bit
says that another one follows, the fifth bit of the last one is the sign, and 48 is added so that
all are printable characters.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

_FIRST_CHARACTER = 48
_MORE, _SIGN, _PAYLOAD = 32, 16, 31
_STRIP = 2**20  # pixels that are looked at at once
_MOST_GROUPS = 8  # 40 bits: far beyond any image, and no sum of counts overflows


@dataclass(frozen=True, kw_only=True, eq=False)
class RunLengths:
    """A mask as lengths of runs, in the order of columns.

    Attributes
    ----------
    shape : (int, int)
        Height and width of the image.
    counts : array_like
        (N,) pixels of background, object, background, ...; the first may be 0.

    Raises
    ------
    ValueError
        If the counts are negative, or do not add up to the pixels of the image.
    """

    shape: tuple[int, int]
    counts: ArrayLike

    def __post_init__(self) -> None:
        """Check the counts and keep them as a read-only int64 array."""
        counts = np.array(self.counts, np.int64).reshape(-1)
        if (counts < 0).any():
            raise ValueError(
                f"counts must not be negative, got {int(counts.min())}; the run lengths are damaged"
            )
        height, width = self.shape
        if int(counts.sum()) != height * width:
            raise ValueError(
                f"counts must add up to the {height} x {width} = {height * width} pixels of the "
                f"image, got {int(counts.sum())}; check that size is [height, width]"
            )
        counts.flags.writeable = False
        object.__setattr__(self, "counts", counts)

    @property
    def area(self) -> int:
        """Pixels of the mask."""
        return int(np.asarray(self.counts)[1::2].sum())

    @property
    def box(self) -> tuple[int, int, int, int]:
        """(row_min, col_min, row_max, col_max), the last two one past the mask; zeros if empty."""
        starts, ends = self.runs()
        if not len(starts):
            return 0, 0, 0, 0
        height = self.shape[0]
        last = ends - 1
        first_col, last_col = starts // height, last // height
        within = first_col == last_col  # other runs pass the last row and the first
        top = np.where(within, starts % height, 0)
        bottom = np.where(within, last % height, height - 1)
        return int(top.min()), int(first_col[0]), int(bottom.max()) + 1, int(last_col[-1]) + 1

    def runs(self) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
        """Return where the runs of the object begin and end (one past), as pixels down columns."""
        edges = np.cumsum(self.counts)
        ends = edges[1::2]
        starts = edges[0::2][: len(ends)]
        filled = ends > starts
        return starts[filled], ends[filled]


def encode_mask(mask: NDArray[np.bool_]) -> RunLengths:
    """Return a mask (H, W) as run lengths."""
    height, width = mask.shape
    return encode_patch(mask, (0, 0), (height, width))


def encode_patch(
    patch: NDArray[np.bool_], corner: tuple[int, int], shape: tuple[int, int]
) -> RunLengths:
    """Return the run lengths of a mask that is given as a part of an image.

    Parameters
    ----------
    patch : ndarray
        (h, w) bool.
    corner : (int, int)
        Row and column of the patch's first pixel.
    shape : (int, int)
        Height and width of the image, which holds the patch.
    """
    height, width = shape
    rows, cols = np.array(corner) + patch.shape
    if min(corner) < 0 or rows > height or cols > width:
        raise ValueError(
            f"a mask of shape {patch.shape} at {corner} does not lie in the image of shape {shape}"
        )
    step = max(1, _STRIP // max(1, patch.shape[0]))
    edges = [
        _edges(patch[:, col : col + step], (corner[0], corner[1] + col), height)
        for col in range(0, patch.shape[1], step)
    ]
    starts, ends = np.concatenate([np.zeros(0, np.int64), *edges]).reshape(-1, 2).T
    is_new = np.ones(len(starts), bool)
    is_new[1:] = starts[1:] > ends[:-1]  # others go on from the column before
    runs = np.stack([starts[is_new], ends[np.roll(is_new, -1)]], 1).reshape(-1)
    counts = np.diff(np.concatenate([[0], runs, [height * width]]))
    if len(counts) > 1 and counts[-1] == 0:
        counts = counts[:-1]
    return RunLengths(shape=shape, counts=counts)


def _edges(patch: NDArray[np.bool_], corner: tuple[int, int], height: int) -> NDArray[np.int64]:
    """Return where runs of a patch begin and end, in turn, each column by itself."""
    n_rows, n_cols = patch.shape
    padded = np.zeros((n_cols, n_rows + 2), bool)
    padded[:, 1:-1] = patch.T
    col, row = np.divmod(np.flatnonzero(padded[:, 1:] != padded[:, :-1]), n_rows + 1)
    return np.asarray((col + corner[1]) * height + row + corner[0])


def decode_mask(rle: RunLengths) -> NDArray[np.bool_]:
    """Return the mask (H, W)."""
    counts = np.asarray(rle.counts)
    values = np.arange(len(counts)) % 2 == 1
    height, width = rle.shape
    return np.ascontiguousarray(np.repeat(values, counts).reshape(width, height).T)


def decode_patch(rle: RunLengths) -> NDArray[np.bool_]:
    """Return the mask cut to its box, (h, w); the work grows with the object, not the image."""
    top, left, bottom, right = rle.box
    starts, ends = rle.runs()
    after = np.cumsum(ends - starts)
    before = after - (ends - starts)
    patch = np.zeros((bottom - top, right - left), bool)
    for first in range(0, rle.area, _STRIP):
        last = min(first + _STRIP, rle.area)
        runs = slice(after.searchsorted(first, "right"), before.searchsorted(last, "left"))
        lengths = np.minimum(after[runs], last) - np.maximum(before[runs], first)
        pixels = np.repeat(starts[runs] - before[runs], lengths) + np.arange(first, last)
        patch[pixels % rle.shape[0] - top, pixels // rle.shape[0] - left] = True
    return patch


def counts_to_string(counts: ArrayLike) -> str:
    """Return run lengths (N,) in the compressed form."""
    numbers = np.array(counts, np.int64)
    numbers[3:] -= np.array(counts, np.int64)[1:-2]
    groups = np.zeros((len(numbers), _MOST_GROUPS), np.uint8)
    used = np.zeros((len(numbers), _MOST_GROUPS), bool)
    unfinished = np.ones(len(numbers), bool)
    for position in range(_MOST_GROUPS):
        group = numbers & _PAYLOAD
        numbers >>= 5
        more = unfinished & np.where(group & _SIGN, numbers != -1, numbers != 0)
        groups[:, position] = group + _MORE * more + _FIRST_CHARACTER
        used[:, position] = unfinished
        unfinished = more
    if unfinished.any():
        raise ValueError(f"counts must be below 2**39, got {int(np.max(counts))}")
    return groups[used].tobytes().decode("ascii")


def counts_from_string(text: str | bytes) -> NDArray[np.int64]:
    """Return the run lengths (N,) of a compressed form.

    Raises
    ------
    ValueError
        If it has other characters, or ends within a number.
    """
    raw = text.encode("utf-8") if isinstance(text, str) else bytes(text)
    codes = np.frombuffer(raw, np.uint8).astype(np.int64) - _FIRST_CHARACTER
    if not len(codes):
        return np.zeros(0, np.int64)
    if codes.min() < 0 or codes.max() > _MORE + _PAYLOAD:
        wrong = raw[int(((codes < 0) | (codes > _MORE + _PAYLOAD)).argmax())]
        raise ValueError(
            f"compressed run lengths must be characters from '0' to 'o', got {chr(wrong)!r}; "
            "is this a list of counts, or another encoding?"
        )
    is_last = codes & _MORE == 0
    ends = np.flatnonzero(is_last)
    lengths = np.diff(ends, prepend=-1)
    if not is_last[-1] or lengths.max() > _MOST_GROUPS:
        raise ValueError(
            "compressed run lengths must be whole numbers, got a string that "
            + ("ends within one" if not is_last[-1] else "has one of more than 40 bits")
            + "; the text is cut off or damaged"
        )
    starts = ends - lengths + 1
    position = np.arange(len(codes)) - np.repeat(starts, lengths)
    numbers = np.add.reduceat((codes & _PAYLOAD) << (5 * position), starts)
    numbers -= (codes[ends] & _SIGN != 0) * (np.int64(1) << (5 * lengths))
    numbers[1::2] = np.cumsum(numbers[1::2])
    numbers[2::2] = np.cumsum(numbers[2::2])
    return numbers


def rle_to_dict(rle: RunLengths) -> dict[str, Any]:
    """Return run lengths as COCO and SA-1B write them: ``size`` and compressed ``counts``."""
    return {"size": list(rle.shape), "counts": counts_to_string(rle.counts)}


def rle_from_dict(data: Mapping[str, Any]) -> RunLengths:
    """Read run lengths from a mapping with ``size`` and ``counts``.

    Parameters
    ----------
    data : mapping
        ``size`` is [height, width]; ``counts`` a compressed string or a list of counts.

    Raises
    ------
    ValueError
        If it is no such mapping, or the counts are damaged.
    """
    try:
        height, width = (int(length) for length in data["size"])
        counts = data["counts"]
        is_packed = isinstance(counts, str | bytes)
        numbers = np.zeros(0, np.int64) if is_packed else np.array(counts, np.int64)
    except (KeyError, TypeError, ValueError, OverflowError) as error:
        raise ValueError(
            "a segmentation must have size [height, width] and counts, a compressed string or a "
            f"list of whole numbers, got {_shortened(data)}"
        ) from error
    if is_packed:
        numbers = counts_from_string(counts)
    return RunLengths(shape=(height, width), counts=numbers)


def _shortened(data: object) -> str:
    text = repr(data)
    return text if len(text) <= 80 else f"{text[:77]}..."
