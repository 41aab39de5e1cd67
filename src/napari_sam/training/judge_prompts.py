"""What is seen in use of objects that a simulated person clicks on and boxes, beside the truth."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

import numpy as np
import torch
from numpy.typing import NDArray

from napari_sam.model.rater import EVIDENCE
from napari_sam.segmentation.closer_look import CloserLook, answer_of
from napari_sam.segmentation.evidence import Seen
from napari_sam.segmentation.predictor import Predictor
from napari_sam.segmentation.prompts import Prompts
from napari_sam.training.annotator import ClickSession, TrueObject, side_by_side, true_objects
from napari_sam.training.metrics import mask_iou
from napari_sam.training.rater_examples import RaterExamples
from napari_sam.training.samples import Sample

_OBJECTS = 8
"""Of an image."""
_CLICKS = 5
_JITTER = 0.05
"""Deviation of the sides of every other box, in box sides."""
_CANDIDATES = slice(1, None)


def judge_prompts(predictor: Predictor, sample: Sample, rng: np.random.Generator) -> RaterExamples:
    """Box some objects of an image and click on them, and judge all that is seen.

    Parameters
    ----------
    predictor : Predictor
        Of the network.
    sample : Sample
        The image and the truth.
    rng : Generator
        Chooses the objects, and moves the sides of boxes.
    """
    objects = true_objects(sample.labels)
    chosen = [objects[i] for i in rng.permutation(len(objects))[:_OBJECTS]]
    if not chosen:
        return RaterExamples.nothing(len(EVIDENCE))
    embedding = predictor.embed(sample.image)
    look = CloserLook(predictor)

    def ask(prompts: Sequence[Prompts]) -> list[list[Seen]]:
        answers = predictor.predict(embedding, prompts)
        return look.see(embedding, prompts, answers, _CANDIDATES)

    boxes = [Prompts(box=_drawn(true, sample.labels.shape, rng)) for true in chosen]
    judged = [_judged(*one) for one in zip(ask(boxes), chosen, strict=True)]
    sessions = [ClickSession(true) for true in chosen]
    for _ in range(_CLICKS):
        prompts = [session.prompts() for session in sessions]
        for seen, prompt, session in zip(ask(prompts), prompts, sessions, strict=True):
            judged.append(_judged(seen, session.true))
            session.see(answer_of(seen, prompt))
    return RaterExamples.joined(judged)


def _drawn(
    true: TrueObject, shape: tuple[int, ...], rng: np.random.Generator
) -> NDArray[np.float64]:
    """Return a box around an object, a tight one or one that a person would draw."""
    box = np.array(true.box, np.float64)
    if rng.random() < 0.5:
        box += rng.normal(0, _JITTER, 4) * np.tile(box[2:] - box[:2] + 1, 2)
    low, high = np.split(np.clip(box, 0, np.tile(np.array(shape) - 1, 2)), 2)
    return np.concatenate([np.minimum(low, high), np.maximum(low, high)])


def _judged(found: Sequence[Seen], true: TrueObject) -> RaterExamples:
    """Compare all that is seen of an object with the truth."""
    ious = [mask_iou(found, truth) for found, truth in _compared(found, true)]
    evidence = np.concatenate([seen.evidence for seen in found])
    return RaterExamples(
        torch.from_numpy(evidence),
        torch.tensor(ious, dtype=torch.float32),
        torch.full((len(ious),), 1 / len(ious)),
    )


def _compared(
    found: Sequence[Seen], true: TrueObject
) -> Iterator[tuple[NDArray[np.bool_], NDArray[np.bool_]]]:
    for seen in found:
        for index in range(len(seen.answer)):
            mask, truth, _ = side_by_side(seen.answer, index, true)
            yield mask, truth
