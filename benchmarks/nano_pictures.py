"""Draw what `nano` finds, for the model card: pictures that it was not trained on.

Run: python benchmarks/nano_pictures.py FOLDER

Writes `skimage_everything.jpg` and `skimage_clicks.jpg` (pictures bundled with scikit-image) and,
where NAPARI_SAM_DATA names a data pack, `val_everything.jpg`.
"""

from __future__ import annotations

import os
import sys
from collections import defaultdict
from pathlib import Path

import numpy as np
import skimage.data
from numpy.typing import NDArray
from skimage.io import imread

from napari_sam.cli.learning import read_labelled_volume
from napari_sam.segmentation.everything import segment_everything
from napari_sam.segmentation.predictor import Predictor
from napari_sam.segmentation.prompts import Prompts
from napari_sam.training.figures import overlay, sheet
from napari_sam.training.samples import Sample, read_pack

PICTURES = {
    "coins.png": [(60, 50), (180, 110), (280, 330)],
    "ihc.png": [(105, 160), (330, 250), (440, 420)],
    "cell.png": [(330, 280), (120, 450)],
    "retina.jpg": [(700, 1100), (600, 500)],
    "microaneurysms.png": [(55, 50)],
    "hubble_deep_field.jpg": [(300, 540), (575, 130)],
    "camera.png": [(200, 200), (300, 330)],
    "astronaut.png": [(120, 220), (400, 200)],
    "chelsea.png": [(150, 220), (140, 130)],
    "coffee.png": [(150, 300), (330, 500)],
    "horse.png": [(160, 200)],
    "moon.png": [(100, 100), (260, 430)],
    "rocket.jpg": [(200, 320)],
    "page.png": [(60, 180)],
    "text.png": [(90, 100)],
    "brick.png": [(250, 250)],
    "gravel.png": [(250, 250)],
}
"""Bundled files, and clicks (row, col) on objects in them."""
COLUMNS = 6
SHOWN = 6


Tile = tuple[NDArray[np.uint8], str]


def rows_of(tiles: list[Tile]) -> list[list[Tile]]:
    """Break a list of tiles into rows."""
    return [tiles[start : start + COLUMNS] for start in range(0, len(tiles), COLUMNS)]


def draw_bundled(predictor: Predictor, folder: Path) -> None:
    """Draw everything, and the answers to single clicks, in scikit-image's pictures."""
    everything, clicked = [], []
    for name, clicks in PICTURES.items():
        image = imread(Path(skimage.data.__file__).parent / name)
        image = image * np.uint8(255) if image.dtype == bool else image
        labels = segment_everything(predictor, image)
        everything.append((overlay(image, labels, 240), f"{name}: {labels.max()}"))
        embedding = predictor.embed(image)
        prompts = [Prompts(points=[click]) for click in clicks]
        answers = predictor.predict(embedding, prompts, closer_look=True)
        found = np.zeros(image.shape[:2], int)
        for number, (answer, (row, col)) in enumerate(zip(answers, clicks, strict=True), start=1):
            found[answer.masks[answer.best]] = number
            found[row - 1 : row + 2, col - 1 : col + 2] = len(clicks) + number
        clicked.append((overlay(image, found, 240), name))
    sheet(rows_of(everything)).save(folder / "skimage_everything.jpg", quality=85)
    sheet(rows_of(clicked)).save(folder / "skimage_clicks.jpg", quality=85)


def draw_validation(predictor: Predictor, pack: Path, folder: Path) -> None:
    """Draw everything in some validation images of each source, the truth in the row above."""
    by_look: dict[str, list[Sample]] = defaultdict(list)
    for sample in read_pack(pack, split="val", read_volume=read_labelled_volume):
        by_look[f"{sample.source} {sample.tags.get('cluster', '')}"].append(sample)
    rows = []
    for look in sorted(by_look):
        group = by_look[look]
        chosen = [group[i] for i in np.linspace(0, len(group) - 1, SHOWN).round().astype(int)]
        chosen = list({sample.name: sample for sample in chosen}.values())
        rows.append([(overlay(s.image, s.labels, 200), f"{look}: truth") for s in chosen])
        found = [(s, segment_everything(predictor, s.image)) for s in chosen]
        rows.append([(overlay(s.image, labels, 200), str(labels.max())) for s, labels in found])
    sheet(rows).save(folder / "val_everything.jpg", quality=80)


def main() -> None:
    folder = Path(sys.argv[1])
    folder.mkdir(parents=True, exist_ok=True)
    predictor = Predictor(sys.argv[2] if len(sys.argv) > 2 else "nano")
    draw_bundled(predictor, folder)
    if "NAPARI_SAM_DATA" in os.environ:
        draw_validation(predictor, Path(os.environ["NAPARI_SAM_DATA"]), folder)


if __name__ == "__main__":
    main()
