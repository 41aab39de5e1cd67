"""Contact sheets: pictures with the truth, and what was found, drawn over them."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Sequence
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageDraw
from scipy import ndimage
from skimage.segmentation import find_boundaries

from napari_sam.segmentation.images import to_display_range
from napari_sam.training.annotator import ObjectScore
from napari_sam.training.evaluation import Evaluation
from napari_sam.training.samples import Sample
from napari_sam.whole_files import replacing

_TILE = 160
_CAPTION = 14
_CONTEXT = 1.8
_TRUTH, _FOUND, _CLICK = (60, 220, 90), (255, 70, 70), (255, 230, 0)


def check_picture(path: str | Path) -> None:
    """Check, before any work is done, that a picture can be written to a path.

    Raises
    ------
    ValueError
        If its suffix is that of no picture.
    """
    _format(path)


def _format(path: str | Path) -> str:
    """Return the format that a path's suffix stands for, as Pillow calls it."""
    Image.init()
    kind = Image.registered_extensions().get(Path(path).suffix.lower(), "")
    if kind not in Image.SAVE:
        raise ValueError(f"No picture can be written as {Path(path).name!r}; use .png")
    return kind


def draw_cases(evaluation: Evaluation, path: str | Path, *, per_row: int = 8) -> None:
    """Write a sheet of objects after one click: two rows for each source, the worst and a sample.

    Parameters
    ----------
    evaluation : Evaluation
        With the scores of objects.
    path : str or Path
        A picture file. Truth is drawn green, the best-scored mask red, the click yellow; captions
        give the IoU. The second row runs evenly from the worst to the best object.
    per_row : int
        Objects in a row.
    """
    by_source: dict[str, list[tuple[ObjectScore, Sample]]] = defaultdict(list)
    for image in evaluation.images:
        by_source[image.sample.source] += [(score, image.sample) for score in image.objects]
    rows = []
    for source in sorted(by_source):
        ranked = sorted(by_source[source], key=lambda pair: pair[0].clicks[0])
        evenly = np.linspace(0, len(ranked) - 1, min(per_row, len(ranked))).round().astype(int)
        rows += [
            [(_view(*pair), f"{source} {pair[0].clicks[0]:.2f}") for pair in chosen]
            for chosen in (ranked[:per_row], [ranked[index] for index in evenly])
        ]
    with replacing(path) as partial:
        sheet(rows).save(partial, format=_format(path))


def overlay(
    image: NDArray[np.generic], labels: NDArray[np.integer], side: int = 320
) -> NDArray[np.uint8]:
    """Draw the outlines of labels (H, W) over an image, at most `side` pixels high and wide."""
    picture = _colour(image)
    scale = side / max(labels.shape)
    height, width = (max(1, round(length * scale)) for length in labels.shape)
    shown = np.array(Image.fromarray(picture).resize((width, height)))
    rows = (np.arange(height) / scale).astype(int).clip(max=labels.shape[0] - 1)
    cols = (np.arange(width) / scale).astype(int).clip(max=labels.shape[1] - 1)
    shown[find_boundaries(labels[np.ix_(rows, cols)], mode="inner")] = _FOUND
    return shown


def _view(score: ObjectScore, sample: Sample) -> NDArray[np.uint8]:
    """Cut an object with its surroundings out of its image and draw outlines."""
    row, col = score.truth.corner
    height, width = score.truth.mask.shape
    side = int(max(height, width, 24) * _CONTEXT)
    top, left = row + height // 2 - side // 2, col + width // 2 - side // 2
    picture = _colour(sample.image)
    cut = _cut(picture, top, left, side)
    tile = np.asarray(Image.fromarray(cut).resize((_TILE, _TILE)))
    shown = tile.copy()
    pieces = ((score.truth.mask, score.truth.corner, _TRUTH), (score.found, score.corner, _FOUND))
    for mask, corner, colour in pieces:
        placed = _place(mask, corner[0] - top, corner[1] - left, side)
        large = np.asarray(Image.fromarray(placed).resize((_TILE, _TILE), Image.Resampling.NEAREST))
        shown[large & ~ndimage.binary_erosion(large)] = colour
    y, x = ((np.subtract(score.truth.click, (top, left)) + 0.5) / side * _TILE).astype(int)
    shown[max(0, y - 2) : y + 3, max(0, x - 2) : x + 3] = _CLICK
    return shown


def _colour(image: NDArray[np.generic]) -> NDArray[np.uint8]:
    """Return (H, W, 3) uint8 as the network is shown it."""
    shown = to_display_range(image)
    return np.repeat(shown, 3 // shown.shape[-1], axis=-1).clip(0, 255).astype(np.uint8)


def _cut(picture: NDArray[np.uint8], top: int, left: int, side: int) -> NDArray[np.uint8]:
    cut = np.zeros((side, side, 3), np.uint8)
    first = max(0, top), max(0, left)
    part = picture[first[0] : max(0, top + side), first[1] : max(0, left + side)]
    row, col = first[0] - top, first[1] - left
    cut[row : row + part.shape[0], col : col + part.shape[1]] = part
    return cut


def _place(mask: NDArray[np.bool_], row: int, col: int, side: int) -> NDArray[np.bool_]:
    """Put a mask into an empty square, as far as it fits."""
    placed = np.zeros((side, side), bool)
    low = max(0, row), max(0, col)
    part = mask[low[0] - row :, low[1] - col :][: max(0, side - low[0]), : max(0, side - low[1])]
    placed[low[0] : low[0] + part.shape[0], low[1] : low[1] + part.shape[1]] = part
    return placed


def sheet(rows: Sequence[Sequence[tuple[NDArray[np.uint8], str]]]) -> Image.Image:
    """Arrange captioned tiles, each row as high as its highest and each column as its widest."""
    heights = [max(tile.shape[0] for tile, _ in row) + _CAPTION for row in rows if row]
    width = max((sum(tile.shape[1] for tile, _ in row) for row in rows), default=1)
    page = Image.new("RGB", (max(1, width), max(1, sum(heights))), "white")
    draw = ImageDraw.Draw(page)
    top = 0
    for row, height in zip([row for row in rows if row], heights, strict=True):
        left = 0
        for tile, caption in row:
            page.paste(Image.fromarray(tile), (left, top))
            draw.text((left + 2, top + tile.shape[0] + 1), caption, fill="black")
            left += tile.shape[1]
        top += height
    return page
