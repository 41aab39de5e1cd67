"""Masks of overlapping tiles put together: those that a tile's edge cuts give way or are joined.

Unlike labels, masks of one tile may overlap: an object and its parts are masks of their own. So
only masks of different tiles are compared. Of two whole ones that are the same, the one that lies
deeper in its tile stays. One that is cut by an edge of its tile inside the image goes where a
neighbour shows it whole; where the neighbour's, too, is cut, the two are joined if they are each
other's best match in the overlap; else it stays only if the neighbours have little in its place.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from napari_sam.segmentation.masks import non_maximum_suppression
from napari_sam.segmentation.matching import DisjointSets, mutual_best
from napari_sam.segmentation.mosaic import SAME
from napari_sam.segmentation.records import MaskRecord
from napari_sam.segmentation.tiles import Tile

_TAKEN = 0.5
"""A cut mask goes if one whole mask of a neighbour holds a larger share of it."""
Box = tuple[int, int, int, int]


def merge_records(
    found: Sequence[Sequence[MaskRecord]],
    tiles: Sequence[Tile],
    shape: tuple[int, int],
    *,
    margin: int,
    box_nms_thresh: float,
) -> list[MaskRecord]:
    """Put the records of tiles together.

    Parameters
    ----------
    found : sequence of sequences of MaskRecord
        Those of each tile, in the coordinates of the image.
    tiles : sequence of Tile
        Where they were found.
    shape : (int, int)
        Of the image.
    margin : int
        A mask that comes so close to an edge of its tile inside the image is cut by it, pixels.
    box_nms_thresh : float
        Of whole masks whose boxes have a higher IoU, the one that lies deeper in its tile stays.

    Returns
    -------
    list of MaskRecord
        Whole ones tile by tile, then what is left of cut ones. A joined one has the lowest scores
        of its parts, and point and crop of the largest.
    """
    pieces = [
        _Piece(record, tile, index, float(depth))
        for index, (records, tile) in enumerate(zip(found, tiles, strict=True))
        for record, depth in zip(
            records, tile.depths([record.box for record in records], shape), strict=True
        )
    ]
    whole = [piece for piece in pieces if piece.depth > margin]
    boxes = np.array([piece.record.box for piece in whole], np.float64).reshape(-1, 4)
    depths = np.array([piece.depth for piece in whole])
    kept = np.sort(non_maximum_suppression(boxes - (0, 0, 1, 1), depths, box_nms_thresh))
    whole = [whole[index] for index in kept.tolist()]
    cut = [piece for piece in pieces if piece.depth <= margin]
    cut = [piece for piece, other in zip(cut, _shown_by(cut, whole), strict=True) if not other]
    return [piece.record for piece in whole] + _joined(cut)


@dataclass(frozen=True, eq=False)
class _Piece:
    """A record, and where it was found."""

    record: MaskRecord
    tile: Tile
    index: int
    depth: float


def _shown_by(cut: Sequence[_Piece], whole: Sequence[_Piece]) -> list[bool]:
    """Tell of each cut piece whether a whole one of another tile shows the same, or holds it."""
    shown = [False] * len(cut)
    for index, other in _neighbours(cut, whole):
        if not shown[index]:
            piece, whole_piece = cut[index], whole[other]
            shared = _shared(piece.record, whole_piece.record, piece.record.box)
            held = shared > _TAKEN * piece.record.area
            shown[index] = held or _overlap_iou(piece, whole_piece) >= SAME
    return shown


def _joined(cut: Sequence[_Piece]) -> list[MaskRecord]:
    """Join the cut pieces that are one."""
    pairs = [(a, b) for a, b in _neighbours(cut, cut) if a < b]
    ious = np.array([_overlap_iou(cut[a], cut[b]) for a, b in pairs])
    sets = DisjointSets(len(cut))
    for a, b in _best_of_tiles(cut, pairs, ious):
        sets.union(a, b)
    groups: dict[int, list[MaskRecord]] = {}
    for piece, root in zip(cut, sets.roots().tolist(), strict=True):
        groups.setdefault(root, []).append(piece.record)
    return [_union(records) for records in groups.values()]


def _best_of_tiles(
    cut: Sequence[_Piece], pairs: Sequence[tuple[int, int]], ious: NDArray[np.float64]
) -> list[tuple[int, int]]:
    """Return the pairs that are each other's best match between their two tiles."""
    between: dict[tuple[int, int], list[int]] = {}
    for number, (a, b) in enumerate(pairs):
        if ious[number] >= SAME:
            between.setdefault((cut[a].index, cut[b].index), []).append(number)
    best = []
    for numbers in between.values():
        ends = np.array([pairs[number] for number in numbers])
        mutual = mutual_best(ends[:, 0], ends[:, 1], ious[numbers])
        best += [pairs[number] for number, kept in zip(numbers, mutual, strict=True) if kept]
    return best


def _neighbours(pieces: Sequence[_Piece], others: Sequence[_Piece]) -> Iterator[tuple[int, int]]:
    """Yield the pairs of pieces of different tiles whose boxes overlap."""
    boxes = np.array([other.record.box for other in others], np.int64).reshape(-1, 4)
    tiles = np.array([other.index for other in others], np.int64)
    for index, piece in enumerate(pieces):
        top, left, bottom, right = piece.record.box
        near = (boxes[:, 0] < bottom) & (boxes[:, 2] > top)
        near &= (boxes[:, 1] < right) & (boxes[:, 3] > left) & (tiles != piece.index)
        for other in np.flatnonzero(near).tolist():
            yield index, other


def _overlap_iou(one: _Piece, other: _Piece) -> float:
    """Return the IoU of two pieces by the pixels of their tiles' overlap alone."""
    region = _intersection(one.tile.box, other.tile.box)
    shared = _shared(one.record, other.record, region)
    areas = sum(int(_part(piece.record, region).sum()) for piece in (one, other))
    return shared / max(areas - shared, 1)


def _shared(one: MaskRecord, other: MaskRecord, region: Box) -> int:
    """Count the pixels in a region that two masks share."""
    common = _intersection(_intersection(one.box, other.box), region)
    return int((_part(one, common) & _part(other, common)).sum())


def _part(record: MaskRecord, region: Box) -> NDArray[np.bool_]:
    """Return the part (h, w) of a record's mask that lies in a region."""
    top, left, bottom, right = _intersection(record.box, region)
    row, col = record.box[:2]
    return record.mask[top - row : bottom - row, left - col : right - col]


def _intersection(one: Box, other: Box) -> Box:
    """Return what two boxes share; of no height or width if they share nothing."""
    top, left = max(one[0], other[0]), max(one[1], other[1])
    return top, left, max(top, min(one[2], other[2])), max(left, min(one[3], other[3]))


def _union(records: Sequence[MaskRecord]) -> MaskRecord:
    """Return one record for the parts of an object."""
    if len(records) == 1:
        return records[0]
    boxes = np.array([record.box for record in records])
    (top, left), (bottom, right) = boxes[:, :2].min(0).tolist(), boxes[:, 2:].max(0).tolist()
    mask = np.zeros((bottom - top, right - left), bool)
    for record in records:
        row, col = record.box[0] - top, record.box[1] - left
        mask[row : row + record.mask.shape[0], col : col + record.mask.shape[1]] |= record.mask
    return replace(
        max(records, key=lambda record: record.area),
        mask=mask,
        box=(top, left, bottom, right),
        area=int(mask.sum()),
        predicted_iou=min(record.predicted_iou for record in records),
        stability_score=min(record.stability_score for record in records),
    )
