"""Training of raters: what is seen in use, by images as they are, beside the truth.

A rater is a small perceptron that is fitted to evidence of masks and their IoU, so that hundreds of
images are enough, and nothing else of the network changes. `tune = "rater"` judges answers to a
simulated person's clicks and boxes; ``"instance_rater"`` all that may be an object in the instance
decoder's maps.
"""

from __future__ import annotations

import dataclasses
import time
from collections.abc import Callable, Generator, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import torch

from napari_sam.model.checkpoints import write_checkpoint
from napari_sam.model.rater import EVIDENCE, INSTANCE_EVIDENCE, Rater
from napari_sam.model.sam import Sam
from napari_sam.segmentation.predictor import Predictor
from napari_sam.training.batches import SampleSource
from napari_sam.training.curves import append_row, keep_rows, plot_curves
from napari_sam.training.judge_instances import judge_instances
from napari_sam.training.judge_prompts import judge_prompts
from napari_sam.training.rater_examples import RaterExamples
from napari_sam.training.recipe import Recipe
from napari_sam.training.run_files import RunFiles
from napari_sam.training.run_state import Origin, TrainEvent, load_state, origin_of, save_state
from napari_sam.training.samples import Sample

_FIT_SIZE = 512
_LEAST_SPREAD = 1e-3


class Kind(NamedTuple):
    """A kind of rater.

    Attributes
    ----------
    evidence : tuple of str
        What is known of its masks.
    judge : callable
        Judges the masks of an image, from the predictor, the sample and a source of chance.
    """

    evidence: tuple[str, ...]
    judge: Callable[[Predictor, Sample, np.random.Generator], RaterExamples]


RATERS = {
    "rater": Kind(EVIDENCE, judge_prompts),
    "instance_rater": Kind(INSTANCE_EVIDENCE, judge_instances),
}
"""By their name in the network, which is also what a recipe's `tune` says."""


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

    A run that was finished is only fitted again, as the recipe says now. Closed after an image, it
    saves what was judged.

    Parameters
    ----------
    recipe, samples, output, resume, device
        As in `iter_train`.
    start : Sam
        The network; one whose input may have any size.

    Raises
    ------
    ValueError
        If the network has no use for such a rater: it takes no closer look, or sees no instances;
        or if the output is no safetensors file.
    """
    files = RunFiles.beside(output)
    _check_use(start, recipe.tune)
    torch.manual_seed(recipe.seed)
    kind = RATERS[recipe.tune]
    source = SampleSource(samples, recipe.sources)
    model = with_rater(start, recipe.tune).to(device)
    files.network.parent.mkdir(parents=True, exist_ok=True)
    record = _Record(files.state, origin_of(recipe, start, samples), kind, resume=resume)
    keep_rows(files.losses, record.step)
    if record.step >= recipe.steps:
        _finish(model, record.found, recipe, files.network)
        return files.network
    predictor = Predictor(model)
    for step in range(record.step + 1, recipe.steps + 1):
        started = time.perf_counter()
        rng = np.random.default_rng([recipe.seed, step])
        judged = kind.judge(predictor, source.draw(rng), rng)
        record.add(judged)
        losses, scores, last = {"rating": judged.error}, {}, step == recipe.steps
        if last:
            scores["IoU error"] = _finish(model, record.found, recipe, files.network)
        if last or step % recipe.checkpoint_every == 0:
            record.keep()
        seconds = time.perf_counter() - started
        append_row(files.losses, {"step": step, "seconds": round(seconds, 3), **losses})
        if last:
            plot_curves([files.losses], files.plot)
        try:
            yield TrainEvent(
                step=step, steps=recipe.steps, losses=losses, seconds=seconds, scores=scores
            )
        except GeneratorExit:
            record.keep()
            raise
    return files.network


class _Record:
    """All that was judged, in this process and before.

    Parameters
    ----------
    path : Path
        Where it is kept.
    origin : mapping
        What must be equal to go on from what is there.
    kind : Kind
        Of the rater.
    resume : bool
        Whether to go on from what is there; otherwise it is removed.
    """

    def __init__(self, path: Path, origin: Origin, kind: Kind, *, resume: bool) -> None:
        self._path, self._origin = path, origin
        state = load_state(path, origin) if resume else None
        self.step = self._kept = state["step"] if state else 0
        nothing = RaterExamples.nothing(len(kind.evidence))
        self.found = [RaterExamples(**state["judged"]) if state else nothing]
        if not resume:
            path.unlink(missing_ok=True)

    def add(self, judged: RaterExamples) -> None:
        """Add what was judged in one more image."""
        self.found.append(judged)
        self.step += 1

    def keep(self) -> None:
        """Write all, unless that was done."""
        if self.step == self._kept:
            return
        self.found = [RaterExamples.joined(self.found)]
        save_state(self._path, self._origin, {"step": self.step, "judged": self.found[0]._asdict()})
        self._kept = self.step


def _finish(model: Sam, found: Sequence[RaterExamples], recipe: Recipe, output: Path) -> float:
    """Fit the rater to all that was judged and write the network; returns the IoU error."""
    error = fit(getattr(model, recipe.tune), RaterExamples.joined(found), recipe)
    write_checkpoint(model, output, half=True, metadata={"step": str(recipe.steps)})
    return error


def _check_use(model: Sam, tune: str) -> None:
    if model.config.object_diameter is None:
        raise ValueError(f"tune = {tune} needs a network that takes closer looks, like nano")
    if tune == "instance_rater" and model.instance_decoder is None:
        raise ValueError("tune = instance_rater needs a network that has an instance decoder")


def with_rater(model: Sam, name: str = "rater") -> Sam:
    """Return a copy of a network with a rater (one of `RATERS`) that is not trained."""
    there: dict[str, Any] = {name: True}
    rated = Sam(dataclasses.replace(model.config, **there))
    weights = model.state_dict().items()
    known = {key: value for key, value in weights if not key.startswith(f"{name}.")}
    rated.load_state_dict(known, strict=False)
    return rated.requires_grad_(requires_grad=False).eval()


def fit(rater: Rater, judged: RaterExamples, recipe: Recipe) -> float:
    """Fit a rater by mean squared error; returns the mean absolute error."""
    if not len(judged.iou):
        raise ValueError("No image showed an object to judge masks by; are the labels empty?")
    device = rater.mean.device
    judged = RaterExamples(*(column.to(device) for column in judged))
    rater.mean.copy_(judged.evidence.mean(0))
    rater.spread.copy_(judged.evidence.std(0).clamp(min=_LEAST_SPREAD))
    rater.requires_grad_(requires_grad=True)
    optimizer = torch.optim.AdamW(rater.parameters(), weight_decay=recipe.weight_decay)
    schedule = torch.optim.lr_scheduler.OneCycleLR(
        optimizer, recipe.learning_rate, total_steps=recipe.fits
    )
    generator = torch.Generator(device).manual_seed(recipe.seed)
    for _ in range(recipe.fits):
        rows = torch.multinomial(judged.weight, _FIT_SIZE, replacement=True, generator=generator)
        loss = (rater(judged.evidence[rows]) - judged.iou[rows]).square().mean()
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        schedule.step()
    rater.requires_grad_(requires_grad=False)
    return judged.error_of(rater(judged.evidence))
