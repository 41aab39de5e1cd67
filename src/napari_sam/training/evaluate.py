"""Score a predictor against ground truth, beside classical baselines, in one run."""

from __future__ import annotations

import json
from collections import defaultdict
from collections.abc import Generator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy import ndimage

from napari_sam.segmentation.everything import EverythingConfig, segment_everything
from napari_sam.segmentation.predictor import ImageEmbedding, Predictor
from napari_sam.segmentation.progress import Progress, run
from napari_sam.segmentation.prompts import Prompts
from napari_sam.training.baselines import otsu_foreground, otsu_object, otsu_watershed
from napari_sam.training.metrics import (
    IOU_THRESHOLDS,
    average_precision,
    correcting_click,
    innermost_pixel,
    mask_iou,
)
from napari_sam.training.samples import Sample

_SMALLEST_OBJECT = 10
_PIXELS_AT_ONCE = 12_000_000


@dataclass(frozen=True, kw_only=True)
class EvaluateConfig:
    """What is measured.

    Attributes
    ----------
    clicks : int
        Simulated clicks: the innermost pixel first, then corrections.
    max_objects : int
        Objects prompted per image, drawn by `seed`.
    modes : tuple of str
        Modes of segmenting everything to score.
    everything : EverythingConfig
        Their other settings.
    baselines : bool
        Whether Otsu and watershed run beside.
    seed : int
        Source of chance.
    """

    clicks: int = 3
    max_objects: int = 40
    modes: tuple[str, ...] = ("instances",)
    everything: EverythingConfig = field(default_factory=EverythingConfig)
    baselines: bool = True
    seed: int = 0


@dataclass(frozen=True, kw_only=True)
class Evaluation:
    """Scores by source.

    Attributes
    ----------
    scores : dict of str to dict of str to float
        By source, then by figure; the source ``"all"`` is the mean of the sources.
    n_objects : dict of str to int
        Prompted objects by source.
    """

    scores: dict[str, dict[str, float]]
    n_objects: dict[str, int]

    def table(self) -> str:
        """Return the scores as a Markdown table, sources as rows."""
        figures = list(dict.fromkeys(name for row in self.scores.values() for name in row))
        lines = [
            "| source | objects | " + " | ".join(figures) + " |",
            "|---" * (len(figures) + 2) + "|",
        ]
        for source, row in self.scores.items():
            cells = [f"{row[name]:.3f}" if name in row else "-" for name in figures]
            lines.append(f"| {source} | {self.n_objects[source]} | " + " | ".join(cells) + " |")
        return "\n".join(lines)

    def write_json(self, path: str | Path) -> None:
        """Write the scores to a file."""
        content = {"scores": self.scores, "n_objects": self.n_objects}
        Path(path).write_text(json.dumps(content, indent=1) + "\n", encoding="utf-8")


def evaluate(
    predictor: Predictor, samples: Sequence[Sample], config: EvaluateConfig | None = None
) -> Evaluation:
    """Score a predictor.

    Parameters
    ----------
    predictor : Predictor
        The model.
    samples : sequence of Sample
        Images with ground truth that the model has not seen.
    config : EvaluateConfig, optional
        What is measured.

    Returns
    -------
    Evaluation
    """
    return run(iter_evaluate(predictor, samples, config))


def iter_evaluate(
    predictor: Predictor, samples: Sequence[Sample], config: EvaluateConfig | None = None
) -> Generator[Progress, None, Evaluation]:
    """Score a predictor image by image: yields `Progress`, returns what `evaluate` does."""
    config = config or EvaluateConfig()
    if not samples:
        raise ValueError("There are no samples to evaluate on")
    per_object: dict[str, dict[str, list[float]]] = defaultdict(lambda: defaultdict(list))
    per_image: dict[str, dict[str, list[float]]] = defaultdict(lambda: defaultdict(list))
    for index, sample in enumerate(samples):
        yield Progress(index, len(samples), sample.name)
        embedding = predictor.embed(sample.image, object_diameter=config.everything.object_diameter)
        for name, values in _prompted(predictor, embedding, sample, config).items():
            per_object[sample.source][name] += values
        for name, value in _everything(
            predictor, sample, config, embedding.object_diameter
        ).items():
            per_image[sample.source][name].append(value)
    yield Progress(len(samples), len(samples), "done")
    scores = {
        source: {
            name: float(np.mean(values))
            for name, values in {**per_object[source], **per_image[source]}.items()
        }
        for source in sorted(per_image)
    }
    counts = {source: len(per_object[source]["1 click"]) for source in scores}
    names = list(dict.fromkeys(name for row in scores.values() for name in row))
    scores["all"] = {
        name: float(np.mean([row[name] for row in scores.values() if name in row]))
        for name in names
    }
    counts["all"] = sum(counts.values())
    return Evaluation(scores=scores, n_objects=counts)


def _prompted(
    predictor: Predictor, embedding: ImageEmbedding, sample: Sample, config: EvaluateConfig
) -> dict[str, list[float]]:
    """Click on and box the objects of a sample; IoUs by figure."""
    truths = _objects(sample.labels, config)
    results: dict[str, list[float]] = defaultdict(list)
    chunk = max(1, _PIXELS_AT_ONCE // (3 * sample.labels.size))
    for start in range(0, len(truths), chunk):
        part = truths[start : start + chunk]
        for name, values in _clicked(predictor, embedding, part, config.clicks).items():
            results[name] += values
        boxes = [Prompts(box=_box(truth)) for truth in part]
        for truth, answer in zip(part, predictor.predict(embedding, boxes), strict=True):
            results["box"].append(mask_iou(answer.masks[answer.best], truth))
    if config.baselines and truths:
        foreground = otsu_foreground(sample.image)
        for truth in truths:
            found = otsu_object(foreground, innermost_pixel(truth))
            results["1 click, Otsu"].append(mask_iou(found, truth))
    return results


def _clicked(
    predictor: Predictor, embedding: ImageEmbedding, truths: list[NDArray[np.bool_]], clicks: int
) -> dict[str, list[float]]:
    results: dict[str, list[float]] = defaultdict(list)
    points = [[innermost_pixel(truth)] for truth in truths]
    labels = [[1] for _ in truths]
    shown: list[NDArray[np.float32] | None] = [None] * len(truths)
    singles = predictor.predict(
        embedding, [Prompts(points=p) for p in points], multimask_output=False
    )
    for turn in range(1, clicks + 1):
        prompts = [
            Prompts(points=p, point_labels=k, mask_input=m)
            for p, k, m in zip(points, labels, shown, strict=True)
        ]
        answers = predictor.predict(embedding, prompts)
        for index, (answer, truth) in enumerate(zip(answers, truths, strict=True)):
            mask = answer.masks[answer.best]
            iou = mask_iou(mask, truth)
            results["1 click" if turn == 1 else f"{turn} clicks"].append(iou)
            if turn == 1:
                results["1 click, single"].append(mask_iou(singles[index].masks[0], truth))
                results["1 click, oracle"].append(max(mask_iou(m, truth) for m in answer.masks))
                results["IoU error"].append(abs(float(answer.predicted_iou[answer.best]) - iou))
            shown[index] = answer.low_res_logits[answer.best]
            correction = correcting_click(mask, truth)
            if correction is not None:
                points[index].append(correction[0])
                labels[index].append(correction[1])
    return results


def _everything(
    predictor: Predictor, sample: Sample, config: EvaluateConfig, diameter: float | None
) -> dict[str, float]:
    scores: dict[str, float] = {}
    for mode in config.modes:
        settings: dict[str, Any] = {**vars(config.everything), "mode": mode}
        settings["object_diameter"] = diameter
        labels = segment_everything(predictor, sample.image, EverythingConfig(**settings))
        scores |= _precisions(sample.labels, labels, mode)
    if config.baselines:
        classical = otsu_watershed(otsu_foreground(sample.image))
        scores |= _precisions(sample.labels, classical, "Otsu + watershed")
    return scores


def _precisions(
    truth: NDArray[np.integer], labels: NDArray[np.integer], name: str
) -> dict[str, float]:
    precision = average_precision(truth, labels)
    return {
        f"AP50, {name}": precision[0.5],
        f"mean AP, {name}": float(np.mean([precision[t] for t in IOU_THRESHOLDS])),
    }


def _objects(labels: NDArray[np.integer], config: EvaluateConfig) -> list[NDArray[np.bool_]]:
    """Choose objects to prompt, as masks (H, W)."""
    areas = np.bincount(labels.ravel())
    areas[0] = 0
    chosen = np.flatnonzero(areas >= _SMALLEST_OBJECT)
    if len(chosen) > config.max_objects:
        rng = np.random.default_rng(config.seed)
        chosen = np.sort(rng.choice(chosen, config.max_objects, replace=False))
    return [labels == label for label in chosen]


def _box(mask: NDArray[np.bool_]) -> tuple[int, int, int, int]:
    rows, cols = ndimage.find_objects(mask.astype(np.uint8))[0]
    return rows.start, cols.start, rows.stop - 1, cols.stop - 1
