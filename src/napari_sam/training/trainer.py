"""The training loop: resumable at any kill, the same from the same seed.

Kirillov et al. 2023, appendix A, scaled to what a processor without a GPU can do: the small
network's decoder is trained mostly in windows of the image tokens, placed at random in the
positional encoding.
"""

from __future__ import annotations

import copy
import logging
import time
from collections.abc import Generator, Sequence
from pathlib import Path

import numpy as np
import torch
from torch import Tensor, nn

from napari_sam.model.checkpoints import write_checkpoint
from napari_sam.model.configs import ConvEncoderConfig
from napari_sam.model.sam import Sam
from napari_sam.segmentation.predictor import Predictor
from napari_sam.training.batches import SampleSource
from napari_sam.training.curves import append_row, keep_rows, plot_curves
from napari_sam.training.evaluate import EvaluateConfig, evaluate
from napari_sam.training.networks import NO_NETWORK, network_of
from napari_sam.training.part_losses import LOSS_NAMES
from napari_sam.training.rating import RATERS, iter_rate
from napari_sam.training.recipe import Recipe
from napari_sam.training.run_files import RunFiles
from napari_sam.training.run_state import (
    TrainEvent,
    foreign_state,
    load_state,
    origin_of,
    save_state,
)
from napari_sam.training.samples import Sample
from napari_sam.training.tuning import Tuning, changing_names, merged, prepare, trains_heads
from napari_sam.training.workers import LocalWorker, Order, WorkerPool, Workers, process_count

logger = logging.getLogger(__name__)

_CLIP = 1.0
_LONG = 300.0
"""Seconds after which a state is written, however many steps there were."""
_QUICK_LOOK = EvaluateConfig(clicks=3, most_clicks=3, max_objects=6, max_images=6, baselines=False)


class Trainer:
    """State of a run: network, averaged weights, optimiser, step.

    Parameters
    ----------
    recipe : Recipe
        Decides everything.
    files : RunFiles
        Where the averaged weights, the state that a run resumes from and the tables go.
    start : Sam, optional
        Network to start from. A recipe that describes a network takes over the weights that fit
        it; one that describes none trains this network.
    samples : sequence of Sample
        What it is trained on: a run is resumed with the same alone.
    device : torch.device or str
        Where to train.
    """

    def __init__(
        self,
        recipe: Recipe,
        files: RunFiles,
        *,
        start: Sam | None = None,
        samples: Sequence[Sample] = (),
        device: torch.device | str = "cpu",
    ) -> None:
        torch.manual_seed(recipe.seed)
        self.recipe = recipe
        self._origin = origin_of(recipe, start, samples)
        self.files = files
        self.step = 0
        self._saved_step, self._saved_at = 0, time.monotonic()
        self.model = network_of(recipe, start)
        self._kept = copy.deepcopy(self.model.state_dict()) if recipe.kept_share else {}
        prepare(self.model, Tuning.parse(recipe.tune))
        self.model.to(device, memory_format=torch.channels_last)  # type: ignore[call-overload]
        self._always_prompted = not trains_heads(self.model)
        self._changing = changing_names(self.model)
        self.averaged = {name: value.clone() for name, value in self._state().items()}
        self.optimizer = torch.optim.AdamW(
            _parameter_groups(self.model, recipe.weight_decay),
            lr=recipe.learning_rate,
            fused=self.model.device.type == "cuda",
        )

    def save(self) -> None:
        """Write averaged weights and state; a kill while writing leaves the last ones whole.

        The state comes last: where there is one, its result is there, too.
        """
        half = isinstance(self.model.config.encoder, ConvEncoderConfig)
        write_checkpoint(
            self.averaged_model(), self.files.network, half=half, metadata={"step": str(self.step)}
        )
        state = {
            "step": self.step,
            "model": self._state(),
            "averaged": self.averaged,
            "optimizer": self.optimizer.state_dict(),
        }
        save_state(self.files.state, self._origin, state)
        self._saved_step, self._saved_at = self.step, time.monotonic()

    def save_if_due(self) -> None:
        """Save after the last step and every so many, and where the last save is long ago."""
        last = self.step >= self.recipe.steps
        late = time.monotonic() - self._saved_at >= _LONG
        if last or late or self.step % self.recipe.checkpoint_every == 0:
            self.save()

    def save_if_new(self) -> None:
        """Save unless nothing was trained since the last time."""
        if self.step != self._saved_step:
            self.save()

    def resume(self) -> bool:
        """Go on from the state on disk, if there is one.

        Raises
        ------
        ValueError
            If that state belongs to another recipe, or began from other weights or images.
        """
        state = load_state(self.files.state, self._origin)
        if state is None:
            return False
        if state["model"].keys() != set(self._changing):
            raise foreign_state(self.files.state, "the network")
        self.model.load_state_dict(state["model"], strict=False)
        for name, value in state["averaged"].items():
            self.averaged[name].copy_(value)
        self.optimizer.load_state_dict(state["optimizer"])
        self.step = self._saved_step = state["step"]
        for path in (self.files.losses, self.files.scores):
            keep_rows(path, self.step)
        return True

    def forget(self) -> None:
        """Remove what an earlier run left."""
        for path in (self.files.state, self.files.losses, self.files.scores):
            path.unlink(missing_ok=True)

    def averaged_model(self) -> Sam:
        """Return a copy of the network with the averaged weights, in evaluation mode."""
        model = copy.deepcopy(self.model)
        model.load_state_dict(self.averaged, strict=False)
        model = merged(model).requires_grad_(requires_grad=False).eval()
        for name, value in model.state_dict().items():
            if name in self._kept and value.is_floating_point():
                value.lerp_(self._kept[name].to(value.device), self.recipe.kept_share)
        return model

    def train_step(self, workers: Workers) -> dict[str, float]:
        """Take one step over its parts; returns the means of their losses."""
        recipe = self.recipe
        progress = self.step / recipe.steps
        self._set_rate(progress)
        order = Order(
            step=self.step,
            prompted=self._always_prompted or progress >= recipe.encoder_share,
            frozen_norms=progress >= 1 - recipe.frozen_norm_share,
        )
        seen = workers.run(order)
        nn.utils.clip_grad_norm_(self.model.parameters(), _CLIP)
        self.optimizer.step()
        self._average()
        self.step += 1
        return {name: float(np.mean([part[name] for part in seen])) for name in seen[0]}

    def score(self, samples: Sequence[Sample]) -> dict[str, float]:
        """Evaluate the averaged weights on a few samples; logs the figures and plots all curves."""
        scores = evaluate(Predictor(self.averaged_model()), samples, _QUICK_LOOK).scores["all"]
        append_row(self.files.scores, {"step": self.step, **scores})
        self.plot()
        return scores

    def plot(self) -> None:
        """Plot scores and losses so far."""
        plot_curves([self.files.scores, self.files.losses], self.files.plot)

    def _state(self) -> dict[str, Tensor]:
        state = self.model.state_dict()
        return {name: state[name].detach() for name in self._changing}

    def _set_rate(self, progress: float) -> None:
        warm = min(1.0, (self.step + 1) / max(1, self.recipe.warmup))
        rate = self.recipe.learning_rate * warm * 0.5 * (1 + np.cos(np.pi * min(progress, 1)))
        for group in self.optimizer.param_groups:
            group["lr"] = float(rate)

    @torch.no_grad()
    def _average(self) -> None:
        decay = min(self.recipe.ema, (1 + self.step) / (10 + self.step))
        state = self._state()
        real = [name for name, value in state.items() if value.is_floating_point()]
        torch._foreach_lerp_([self.averaged[k] for k in real], [state[k] for k in real], 1 - decay)
        for name in state.keys() - set(real):
            self.averaged[name].copy_(state[name])


def iter_train(
    recipe: Recipe,
    samples: Sequence[Sample],
    output: str | Path,
    *,
    resume: bool = True,
    start: Sam | None = None,
    device: torch.device | str = "cpu",
    workers: int = 1,
    validation: Sequence[Sample] = (),
) -> Generator[TrainEvent, None, Path]:
    """Train a network, one event a step; a recipe for a rater goes to `iter_rate`.

    Closed after a step, it saves first: a run that is started again goes on from there.

    Parameters
    ----------
    recipe : Recipe
        Decides everything.
    samples : sequence of Sample
        Real images with ground truth; synthetic scenes join them as the recipe says.
    output : str or Path
        The ``.safetensors`` file to write. The run's state (``.state.pt``), its losses
        (``.losses.csv``), scores (``.scores.csv``) and their plot (``.svg``) lie beside it.
    resume : bool
        Go on from the state on disk; otherwise start over.
    start, device
        As in `Trainer`.
    workers : int
        On a processor, processes that compute the parts of a step side by side; the losses are the
        same within float noise. With one, and on a GPU, all is done in this process. They share
        torch's threads.
    validation : sequence of Sample
        Images that the network is scored on every so often; nothing is chosen by them.

    Yields
    ------
    TrainEvent

    Returns
    -------
    Path
        The safetensors file.

    Raises
    ------
    ValueError
        If the output is no safetensors file, or belongs to another run; if there is nothing to
        train on, or no worker.
    FileExistsError
        If there is a table or a plot of that name which no training made.
    """
    files = RunFiles.beside(output)
    count = process_count(recipe, torch.device(device), workers)
    _tell_of_idle(recipe, torch.device(device), workers)
    if recipe.tune in RATERS:
        if start is None:
            raise ValueError(NO_NETWORK)
        return (
            yield from iter_rate(recipe, samples, output, start=start, resume=resume, device=device)
        )
    source = SampleSource(samples, recipe.sources)
    trainer = Trainer(recipe, files, start=start, samples=samples, device=device)
    files.network.parent.mkdir(parents=True, exist_ok=True)
    if not (resume and trainer.resume()):
        trainer.forget()
    elif not files.network.is_file():
        trainer.save()
    team = _team(trainer.model, recipe, source, count)
    try:
        yield from _steps(trainer, team, validation)
    finally:
        team.close()
    return files.network


def _steps(
    trainer: Trainer, team: Workers, validation: Sequence[Sample]
) -> Generator[TrainEvent, None, None]:
    """Take all steps that are left; where no more are asked for, those taken are saved."""
    recipe = trainer.recipe
    while trainer.step < recipe.steps:
        started = time.perf_counter()
        losses = trainer.train_step(team)
        seconds = time.perf_counter() - started
        row = {name: round(losses.get(name, float("nan")), 5) for name in LOSS_NAMES}
        step = {"step": trainer.step, "seconds": round(seconds, 3)}
        append_row(trainer.files.losses, {**step, **row})
        trainer.save_if_due()
        last = trainer.step == recipe.steps
        scores = {}
        if validation and (last or trainer.step % recipe.evaluate_every == 0):
            scores = trainer.score(validation)
        elif last:
            trainer.plot()
        try:
            yield TrainEvent(
                step=trainer.step,
                steps=recipe.steps,
                losses=losses,
                seconds=seconds,
                scores=scores,
            )
        except GeneratorExit:
            trainer.save_if_new()
            raise


def _tell_of_idle(recipe: Recipe, device: torch.device, workers: int) -> None:
    if device.type == "cpu" and workers > recipe.parts:
        logger.warning(
            "%d workers were asked for, but a step of this recipe has parts for %d alone",
            workers,
            recipe.parts,
        )


def _team(model: Sam, recipe: Recipe, source: SampleSource, count: int) -> Workers:
    return (
        LocalWorker(model, recipe, source)
        if count == 1
        else WorkerPool(model, recipe, source, count)
    )


def _parameter_groups(model: Sam, weight_decay: float) -> list[dict[str, object]]:
    """Leave norms, biases and single embeddings without weight decay; frozen ones out."""
    trained = [p for p in model.parameters() if p.requires_grad]
    kernels = [p for p in trained if p.ndim > 1 and p.shape[0] > 4]
    others = [p for p in trained if not (p.ndim > 1 and p.shape[0] > 4)]
    return [
        {"params": kernels, "weight_decay": weight_decay},
        {"params": others, "weight_decay": 0.0},
    ]
