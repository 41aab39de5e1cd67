"""What an evaluation found: figures by source or any tag, as table and as JSON."""

from __future__ import annotations

import json
from collections import defaultdict
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from napari_sam.training.annotator import ObjectScore
from napari_sam.training.samples import Sample
from napari_sam.whole_files import write_text

Row = dict[str, float]


@dataclass(frozen=True, kw_only=True, eq=False)
class ImageScore:
    """The scores of one image.

    Attributes
    ----------
    sample : Sample
        The image.
    objects : list of ObjectScore
        Of the prompted objects.
    otsu : list of float
        IoU of the classical answer to one click on each of them; empty where it was not asked for.
    figures : dict of str to float
        Of segmenting everything.
    """

    sample: Sample
    objects: list[ObjectScore]
    otsu: list[float]
    figures: Row


class Evaluation:
    """Scores of images, and what they come to.

    Parameters
    ----------
    images : sequence of ImageScore
        All scores.
    """

    def __init__(self, images: Sequence[ImageScore]) -> None:
        self.images = list(images)

    @property
    def scores(self) -> dict[str, Row]:
        """Figures by source; the row ``"all"`` is the mean of the sources."""
        rows = self.by(None)
        names = dict.fromkeys(name for row in rows.values() for name in row)
        rows["all"] = {
            name: float(np.mean([row[name] for row in rows.values() if name in row]))
            for name in names
        }
        return rows

    @property
    def n_objects(self) -> dict[str, int]:
        """Prompted objects by source."""
        counts = {name: sum(len(i.objects) for i in group) for name, group in self._groups(None)}
        return {**counts, "all": sum(counts.values())}

    def by(self, tag: str | None) -> dict[str, Row]:
        """Break the scores down by a tag of the samples, or by source where it is None.

        Raises
        ------
        KeyError
            If no sample has this tag.
        """
        known = {name for image in self.images for name in image.sample.tags}
        if tag is not None and tag not in known:
            raise KeyError(f"No sample has a tag {tag!r}; known: {', '.join(sorted(known))}")
        return {name: _figures(group) for name, group in self._groups(tag)}

    def _groups(self, tag: str | None) -> list[tuple[str, list[ImageScore]]]:
        groups: dict[str, list[ImageScore]] = defaultdict(list)
        for image in self.images:
            key = image.sample.source if tag is None else image.sample.tags.get(tag, "")
            groups[key].append(image)
        return sorted(groups.items())

    def table(self, tag: str | None = None) -> str:
        """Return the scores as a Markdown table, one row for each source or value of a tag."""
        rows = self.scores if tag is None else self.by(tag)
        counts = {name: sum(len(i.objects) for i in group) for name, group in self._groups(tag)}
        counts.setdefault("all", sum(counts.values()))
        names = list(dict.fromkeys(name for row in rows.values() for name in row))
        lines = [
            f"| {tag or 'source'} | objects | " + " | ".join(names) + " |",
            "|---" * (len(names) + 2) + "|",
        ]
        for key, row in rows.items():
            cells = [f"{row[name]:.3f}" if name in row else "-" for name in names]
            lines.append(f"| {key or '-'} | {counts[key]} | " + " | ".join(cells) + " |")
        return "\n".join(lines)

    def write_json(self, path: str | Path, tags: Iterable[str] = ()) -> None:
        """Write the scores, by source and by each of `tags`, to a file."""
        content = {
            "scores": self.scores,
            "n_objects": self.n_objects,
            "by": {tag: self.by(tag) for tag in tags},
        }
        write_text(path, json.dumps(content, indent=1) + "\n")


def _figures(images: Sequence[ImageScore]) -> Row:
    """Return the means over the objects of images, and over the images."""
    objects = [score for image in images for score in image.objects]
    row: Row = {}
    if objects:
        for index in range(len(objects[0].clicks)):
            row[_after(index)] = float(np.mean([score.clicks[index] for score in objects]))
        row |= {
            "box": float(np.mean([score.box for score in objects])),
            "1 click, single": float(np.mean([score.single for score in objects])),
            "1 click, oracle": float(np.mean([score.oracle for score in objects])),
            "NoC@85": float(np.mean([score.clicks_to_target for score in objects])),
            "IoU error": float(np.mean([score.iou_errors[0] for score in objects])),
        }
        for index in range(1, len(objects[0].iou_errors)):
            errors = [score.iou_errors[index] for score in objects]
            row[f"IoU error, {_after(index)}"] = float(np.mean(errors))
        row["IoU error, box"] = float(np.mean([score.box_iou_error for score in objects]))
    otsu = [iou for image in images for iou in image.otsu]
    if otsu:
        row["1 click, Otsu"] = float(np.mean(otsu))
    for name in dict.fromkeys(name for image in images for name in image.figures):
        row[name] = float(np.mean([i.figures[name] for i in images if name in i.figures]))
    return row


def _after(index: int) -> str:
    return "1 click" if index == 0 else f"{index + 1} clicks"
