"""Training of the rater: what is seen in use, by images as they are, beside the truth.

A simulated person clicks on objects and draws boxes; every answer of the closer look is kept as
evidence, with its IoU. The perceptron that is fitted to these is small, so that hundreds of images
are enough, and nothing else of the network changes.
"""

from __future__ import annotations

import dataclasses
import time
from collections.abc import Generator, Iterator, Sequence
from pathlib import Path
from typing import NamedTuple

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from napari_sam.model.checkpoints import write_checkpoint
from napari_sam.model.rater import EVIDENCE
from napari_sam.model.sam import Sam
from napari_sam.segmentation.closer_look import CloserLook, answer_of
from napari_sam.segmentation.evidence import Seen
from napari_sam.segmentation.predictor import Predictor
from napari_sam.segmentation.prompts import Prompts
from napari_sam.training.annotator import ClickSession, TrueObject, side_by_side, true_objects
from napari_sam.training.batches import SampleSource
from napari_sam.training.curves import append_row, keep_rows
from napari_sam.training.metrics import mask_iou
from napari_sam.training.recipe import Recipe
from napari_sam.training.run_state import TrainEvent, load_state, save_state, state_beside
from napari_sam.training.samples import Sample

_OBJECTS = 8
"""Of an image."""
_CLICKS = 5
_JITTER = 0.05
"""Deviation of the sides of every other box, in box sides."""
_CANDIDATES = slice(1, None)
_FITS = 1200
_FIT_SIZE = 512
_LEAST_SPREAD = 1e-3


class Judged(NamedTuple):
    """Masks, what is known of them, and how good they are.

    Attributes
    ----------
    evidence : Tensor
        (M, F), as `napari_sam.model.rater.EVIDENCE` names it.
    iou : Tensor
        (M,) with the truth.
    weight : Tensor
        (M,) how much each counts: prompts count alike, however often they were looked at.
    """

    evidence: Tensor
    iou: Tensor
    weight: Tensor

    @classmethod
    def nothing(cls) -> Judged:
        """Return no masks."""
        return cls(torch.zeros(0, len(EVIDENCE)), torch.zeros(0), torch.zeros(0))

    @classmethod
    def joined(cls, pieces: Sequence[Judged]) -> Judged:
        """Return all masks of several."""
        return cls(*(torch.cat(column) for column in zip(*pieces, strict=True)))

    @property
    def error(self) -> float:
        """Mean absolute difference of the decoder's own ratings and the IoU."""
        return self.error_of(self.evidence[:, 0])

    def error_of(self, ratings: Tensor) -> float:
        """Mean absolute difference of ratings (M,) and the IoU."""
        return float(((ratings - self.iou).abs() * self.weight).sum() / self.weight.sum())


def iter_rate(
    recipe: Recipe,
    samples: Sequence[Sample],
    output: str | Path,
    *,
    start: Sam,
    resume: bool = True,
    device: torch.device | str = "cpu",
) -> Generator[TrainEvent, None, Path]:
    """Train a network's rater, one event for each of the recipe's steps, an image each.

    Parameters
    ----------
    recipe, samples, output, resume, device
        As in `iter_train`.
    start : Sam
        The network; one whose input may have any size.

    Raises
    ------
    ValueError
        If the network is one that takes no closer look, and so has no use for a rater.
    """
    if start.config.object_diameter is None:
        raise ValueError("tune = rater needs a network that takes closer looks, like nano")
    torch.manual_seed(recipe.seed)
    model, output = with_rater(start).to(device), Path(output)
    output.parent.mkdir(parents=True, exist_ok=True)
    known, log = state_beside(output), output.with_suffix(".csv")
    state = load_state(known, recipe) if resume else None
    done = state["step"] if state else 0
    found = [Judged(**state["judged"])] if state else [Judged.nothing()]
    keep_rows(log, done)
    predictor, source = Predictor(model), SampleSource(samples, recipe.sources)
    for step in range(done + 1, recipe.steps + 1):
        started = time.perf_counter()
        rng = np.random.default_rng([recipe.seed, step])
        found.append(judge(predictor, source.draw(rng), rng))
        losses, scores = {"rating": found[-1].error}, {}
        if step == recipe.steps:
            scores["IoU error"] = fit(model, Judged.joined(found), recipe)
            write_checkpoint(model, output, half=True, metadata={"step": str(step)})
        if step == recipe.steps or step % recipe.checkpoint_every == 0:
            found = [Judged.joined(found)]
            save_state(known, recipe, {"step": step, "judged": found[0]._asdict()})
        seconds = time.perf_counter() - started
        append_row(log, {"step": step, "seconds": round(seconds, 3), **losses})
        yield TrainEvent(
            step=step, steps=recipe.steps, losses=losses, seconds=seconds, scores=scores
        )
    return output


def with_rater(model: Sam) -> Sam:
    """Return a copy of a network with a rater that is not trained."""
    rated = Sam(dataclasses.replace(model.config, rater=True))
    known = {name: t for name, t in model.state_dict().items() if not name.startswith("rater.")}
    rated.load_state_dict(known, strict=False)
    return rated.requires_grad_(requires_grad=False).eval()


def judge(predictor: Predictor, sample: Sample, rng: np.random.Generator) -> Judged:
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
        return Judged.nothing()
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
    return Judged.joined(judged)


def _drawn(
    true: TrueObject, shape: tuple[int, ...], rng: np.random.Generator
) -> NDArray[np.float64]:
    """Return a box around an object, a tight one or one that a person would draw."""
    box = np.array(true.box, np.float64)
    if rng.random() < 0.5:
        box += rng.normal(0, _JITTER, 4) * np.tile(box[2:] - box[:2] + 1, 2)
    low, high = np.split(np.clip(box, 0, np.tile(np.array(shape) - 1, 2)), 2)
    return np.concatenate([np.minimum(low, high), np.maximum(low, high)])


def _judged(found: Sequence[Seen], true: TrueObject) -> Judged:
    """Compare all that is seen of an object with the truth."""
    ious = [mask_iou(found, truth) for found, truth in _compared(found, true)]
    evidence = np.concatenate([seen.evidence for seen in found])
    return Judged(
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


def fit(model: Sam, judged: Judged, recipe: Recipe) -> float:
    """Fit the network's rater by mean squared error; returns the mean absolute error."""
    rater = model.rater
    if rater is None:
        raise ValueError("This network has no rater")
    if not len(judged.iou):
        raise ValueError("No image showed an object to judge masks by; are the labels empty?")
    judged = Judged(*(column.to(model.device) for column in judged))
    rater.mean.copy_(judged.evidence.mean(0))
    rater.spread.copy_(judged.evidence.std(0).clamp(min=_LEAST_SPREAD))
    rater.requires_grad_(requires_grad=True)
    optimizer = torch.optim.AdamW(rater.parameters(), weight_decay=recipe.weight_decay)
    schedule = torch.optim.lr_scheduler.OneCycleLR(
        optimizer, recipe.learning_rate, total_steps=_FITS
    )
    generator = torch.Generator(model.device).manual_seed(recipe.seed)
    for _ in range(_FITS):
        rows = torch.multinomial(judged.weight, _FIT_SIZE, replacement=True, generator=generator)
        loss = (rater(judged.evidence[rows]) - judged.iou[rows]).square().mean()
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        schedule.step()
    rater.requires_grad_(requires_grad=False)
    return judged.error_of(rater(judged.evidence))
