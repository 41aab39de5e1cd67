"""Score a predictor against ground truth, beside classical baselines, in one run."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Generator, Iterable, Sequence
from dataclasses import dataclass, field, replace

import numpy as np
from numpy.typing import NDArray

from napari_sam.segmentation.embedding import ImageEmbedding
from napari_sam.segmentation.everything import EverythingConfig, segment_embedded
from napari_sam.segmentation.predictor import Predictor
from napari_sam.segmentation.progress import Progress, run
from napari_sam.training.annotator import ObjectScore, TrueObject, annotate, true_objects
from napari_sam.training.baselines import otsu_foreground, otsu_object, otsu_watershed
from napari_sam.training.evaluation import Evaluation, ImageScore
from napari_sam.training.metrics import IOU_THRESHOLDS, average_precision, mask_iou
from napari_sam.training.samples import Sample

_PIXELS_AT_ONCE = 20_000_000
TARGET_IOU = 0.85
"""IoU at which a person would stop clicking; NoC@85 counts the clicks up to there."""


@dataclass(frozen=True, kw_only=True)
class EvaluateConfig:
    """What is measured.

    Attributes
    ----------
    clicks : int
        Simulated clicks on every object: the innermost pixel first, then corrections.
    most_clicks : int
        Clicks on objects that stay under an IoU of 0.85, for NoC@85; at least `clicks`.
    max_objects : int
        Objects prompted per image, drawn by `seed`.
    max_images : int or None
        Images per source, drawn by `seed`.
    modes : tuple of str or None
        Modes of segmenting everything to score; None for instances, where the model sees them.
    everything : EverythingConfig
        Their other settings.
    baselines : bool
        Whether Otsu and watershed run beside.
    seed : int
        Source of chance.
    """

    clicks: int = 5
    most_clicks: int = 10
    max_objects: int = 40
    max_images: int | None = None
    modes: tuple[str, ...] | None = None
    everything: EverythingConfig = field(default_factory=EverythingConfig)
    baselines: bool = True
    seed: int = 0

    def __post_init__(self) -> None:
        """Check the counts."""
        for name in ("clicks", "max_objects"):
            if getattr(self, name) < 1:
                raise ValueError(f"{name} must be at least 1, got {getattr(self, name)}")
        if self.max_images is not None and self.max_images < 1:
            raise ValueError(f"max_images must be at least 1, got {self.max_images}")
        for mode in self.modes or ():
            replace(self.everything, mode=mode)


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
    config = replace(config, modes=_modes_of(predictor, config))
    chosen = list(_choose_images(samples, config))
    scores = []
    for index, sample in enumerate(chosen):
        yield Progress(index, len(chosen), sample.name)
        scores.append(_score_image(predictor, sample, config))
    yield Progress(len(chosen), len(chosen), "done")
    return Evaluation(scores)


def _modes_of(predictor: Predictor, config: EvaluateConfig) -> tuple[str, ...]:
    """Return the modes that are scored; refuse, before the first image, those that cannot be."""
    if config.modes is None:
        return ("instances",) if predictor.has_instance_decoder else ()
    refused = {"instances", "prompts"}.intersection(config.modes)
    if refused and not predictor.has_instance_decoder:
        raise ValueError(
            f"This model has no instance decoder, so there is no mode {min(refused)!r} to score; "
            "of the modes of everything it has 'grid'"
        )
    return config.modes


def _choose_images(samples: Sequence[Sample], config: EvaluateConfig) -> Iterable[Sample]:
    if config.max_images is None:
        return samples
    by_source: dict[str, list[Sample]] = defaultdict(list)
    for sample in samples:
        by_source[sample.source].append(sample)
    rng = np.random.default_rng(config.seed)
    chosen: list[Sample] = []
    for source in sorted(by_source):
        group = by_source[source]
        picked = rng.permutation(len(group))[: config.max_images]
        chosen += [group[index] for index in sorted(picked)]
    return chosen


def _score_image(predictor: Predictor, sample: Sample, config: EvaluateConfig) -> ImageScore:
    embedding = predictor.embed(sample.image, object_diameter=config.everything.object_diameter)
    objects = _choose_objects(sample.labels, config)
    scores = list(_prompted(predictor, embedding, objects, sample, config))
    figures = _everything(predictor, embedding, sample, config)
    otsu: list[float] = []
    if config.baselines:
        foreground = otsu_foreground(sample.image)
        otsu = [_otsu_iou(foreground, true) for true in objects]
        figures |= _precisions(sample.labels, otsu_watershed(foreground), "Otsu + watershed")
    return ImageScore(sample=sample, objects=scores, otsu=otsu, figures=figures)


def _choose_objects(labels: NDArray[np.integer], config: EvaluateConfig) -> list[TrueObject]:
    objects = true_objects(labels)
    if len(objects) <= config.max_objects:
        return objects
    rng = np.random.default_rng(config.seed)
    chosen = np.sort(rng.choice(len(objects), config.max_objects, replace=False))
    return [objects[index] for index in chosen]


def _prompted(
    predictor: Predictor,
    embedding: ImageEmbedding,
    objects: list[TrueObject],
    sample: Sample,
    config: EvaluateConfig,
) -> Iterable[ObjectScore]:
    """Score the prompted objects, as many at once as memory has room for their logits."""
    chunk = max(1, _PIXELS_AT_ONCE // (3 * sample.labels.size))
    for start in range(0, len(objects), chunk):
        yield from annotate(
            predictor,
            embedding,
            objects[start : start + chunk],
            clicks=config.clicks,
            most_clicks=max(config.clicks, config.most_clicks),
            target=TARGET_IOU,
        )


def _everything(
    predictor: Predictor, embedding: ImageEmbedding, sample: Sample, config: EvaluateConfig
) -> dict[str, float]:
    figures: dict[str, float] = {}
    for mode in config.modes or ():
        settings = replace(config.everything, mode=mode, object_diameter=embedding.object_diameter)
        labels = segment_embedded(predictor, sample.image, embedding, settings)
        figures |= _precisions(sample.labels, labels, mode)
    return figures


def _otsu_iou(foreground: NDArray[np.bool_], true: TrueObject) -> float:
    truth = np.zeros(foreground.shape, bool)
    row, col = true.corner
    truth[row : row + true.mask.shape[0], col : col + true.mask.shape[1]] = true.mask
    return mask_iou(otsu_object(foreground, true.click), truth)


def _precisions(
    truth: NDArray[np.integer], labels: NDArray[np.integer], name: str
) -> dict[str, float]:
    precision = average_precision(truth, labels)
    return {
        f"AP50, {name}": precision[0.5],
        f"mean AP, {name}": float(np.mean([precision[t] for t in IOU_THRESHOLDS])),
    }
