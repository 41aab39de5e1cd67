"""The training loop: resumable at any kill, the same from the same seed.

Kirillov et al. 2023, appendix A, scaled to what a processor without a GPU can do: the decoder is
trained mostly in windows of the image tokens, placed at random in the positional encoding.
"""

from __future__ import annotations

import csv
import json
import time
from collections.abc import Generator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from torch import Tensor, nn

from napari_sam.model.checkpoints import write_checkpoint
from napari_sam.model.sam import EncodedImage, PromptBatch, Sam
from napari_sam.training.batches import Batch, SampleSource, draw_batch
from napari_sam.training.losses import instance_loss, prompt_loss
from napari_sam.training.recipe import Recipe
from napari_sam.training.samples import Sample
from napari_sam.training.simulated_prompts import corrections, first_points, jittered_boxes

_CLIP = 1.0
_FARTHEST = 1024


@dataclass(frozen=True, kw_only=True)
class TrainEvent:
    """What a training step tells.

    Attributes
    ----------
    step, steps : int
        Steps done, and in all.
    losses : dict of str to float
        Losses of the step.
    seconds : float
        Of the step.
    """

    step: int
    steps: int
    losses: dict[str, float]
    seconds: float


class Trainer:
    """State of a run: network, averaged network, optimiser, step.

    Parameters
    ----------
    recipe : Recipe
        Decides everything.
    output : str or Path
        The safetensors file that the averaged weights go to; the state that a run resumes from and
        the log of losses lie beside it.
    """

    def __init__(self, recipe: Recipe, output: str | Path) -> None:
        torch.manual_seed(recipe.seed)
        self.recipe = recipe
        self.output = Path(output)
        self.step = 0
        self.model = _fresh(recipe)
        self.averaged = {k: v.detach().clone() for k, v in self.model.state_dict().items()}
        self.optimizer = torch.optim.AdamW(
            _parameter_groups(self.model, recipe.weight_decay), lr=recipe.learning_rate
        )

    @property
    def state_path(self) -> Path:
        """Where the run's state lies."""
        return self.output.with_suffix(".state.pt")

    def save(self) -> None:
        """Write state and averaged weights; a kill while writing leaves the last ones whole."""
        state = {
            "recipe": json.dumps(self.recipe.fingerprint()),
            "step": self.step,
            "model": self.model.state_dict(),
            "averaged": self.averaged,
            "optimizer": self.optimizer.state_dict(),
        }
        partial = self.state_path.with_name(self.state_path.name + ".partial")
        torch.save(state, partial)
        partial.replace(self.state_path)
        write_checkpoint(
            self.averaged_model(), self.output, half=True, metadata={"step": str(self.step)}
        )

    def resume(self) -> bool:
        """Go on from the state on disk, if there is one.

        Raises
        ------
        ValueError
            If that state belongs to another recipe.
        """
        if not self.state_path.is_file():
            return False
        state = torch.load(self.state_path, weights_only=True)
        before, now = json.loads(state["recipe"]), self.recipe.fingerprint()
        changed = [k for k in now if before.get(k) != now[k]]
        if changed:
            raise ValueError(
                f"{str(self.state_path)!r} belongs to another recipe: {', '.join(changed)} "
                "changed; use the old recipe or another output"
            )
        self.model.load_state_dict(state["model"])
        self.averaged = state["averaged"]
        self.optimizer.load_state_dict(state["optimizer"])
        self.step = state["step"]
        return True

    def averaged_model(self) -> Sam:
        """Return a copy of the network with the averaged weights, in evaluation mode."""
        model = Sam(self.recipe.sam_config())
        model.load_state_dict(self.averaged)
        return model.eval()

    def train_step(self, batch: Batch) -> dict[str, float]:
        """Take one step; returns its losses."""
        recipe = self.recipe
        progress = self.step / recipe.steps
        self._prepare(progress)
        model = self.model
        with torch.autocast("cpu", torch.bfloat16):
            pixels = model.normalise(batch.images).contiguous(memory_format=torch.channels_last)
            image = model.encode(pixels)
            maps = model.instance_maps(image)
        losses = {"instances": instance_loss(maps.float(), batch.instances)}
        total = recipe.instance_weight * losses["instances"]
        if progress >= recipe.encoder_share:
            losses |= self._prompt_losses(image, batch)
            total = total + losses["masks"] + recipe.iou_weight * losses["iou"]
        self.optimizer.zero_grad(set_to_none=True)
        total.backward()
        nn.utils.clip_grad_norm_(model.parameters(), _CLIP)
        self.optimizer.step()
        self._average()
        self.step += 1
        return {name: float(value.detach()) for name, value in losses.items()}

    def _prepare(self, progress: float) -> None:
        recipe = self.recipe
        warm = min(1.0, (self.step + 1) / recipe.warmup)
        rate = recipe.learning_rate * warm * 0.5 * (1 + np.cos(np.pi * min(progress, 1)))
        for group in self.optimizer.param_groups:
            group["lr"] = float(rate)
        self.model.train()
        if progress >= 1 - recipe.frozen_norm_share:
            for module in self.model.modules():
                if isinstance(module, nn.BatchNorm2d):
                    module.eval()

    @torch.no_grad()
    def _average(self) -> None:
        decay = min(self.recipe.ema, (1 + self.step) / (10 + self.step))
        for name, value in self.model.state_dict().items():
            if value.is_floating_point():
                self.averaged[name].lerp_(value, 1 - decay)
            else:
                self.averaged[name].copy_(value)

    def _prompt_losses(self, image: EncodedImage, batch: Batch) -> dict[str, Tensor]:
        """Decode the batch's objects over its rounds of prompts; the mean of the rounds' losses."""
        generator = torch.Generator().manual_seed(batch.seed)
        chance = torch.rand(len(batch.object_masks), generator=generator)
        boxed = chance < self.recipe.box_share
        parts = [torch.nonzero(boxed)[:, 0], torch.nonzero(~boxed)[:, 0]]
        masks, iou = [], []
        for with_box, part in zip((True, False), parts, strict=True):
            if len(part):
                rounds = self._rounds(
                    _windows(image, batch, part), batch, part, generator, with_box=with_box
                )
                masks.append(len(part) * rounds[0])
                iou.append(len(part) * rounds[1])
        count = len(batch.object_masks)
        return {
            "masks": torch.stack(masks).sum() / count,
            "iou": torch.stack(iou).sum() / count,
        }

    def _rounds(
        self,
        image: EncodedImage,
        batch: Batch,
        part: Tensor,
        generator: torch.Generator,
        *,
        with_box: bool,
    ) -> tuple[Tensor, Tensor]:
        target = batch.object_masks[part]
        scale = self.model.prompt_encoder.stride / 4
        origin = torch.rand(len(part), 2, generator=generator) * _FARTHEST
        boxes, points, labels, previous = None, None, None, None
        if with_box:
            boxes = (jittered_boxes(target, generator) + 0.5) * scale - 0.5
        else:
            points = _to_pixels(first_points(target, generator), scale)[:, None]
            labels = torch.ones(len(part), 1, dtype=torch.long)
        masks, ious = [], []
        for turn in range(batch.rounds):
            with torch.autocast("cpu", torch.bfloat16):
                prompts = PromptBatch(points, labels, boxes, previous)
                logits, predicted = self.model.decode(image, prompts, origin)
            logits = logits.float()
            losses = prompt_loss(logits, predicted.float(), target)
            masks.append(losses[0])
            ious.append(losses[1])
            if turn + 1 < batch.rounds:
                shown = logits.detach()[torch.arange(len(part)), predicted.argmax(1)]
                more, kinds = corrections(shown, target, generator)
                new = _to_pixels(more, scale)[:, None]
                points = new if points is None else torch.cat([points, new], 1)
                labels = (
                    kinds[:, None] if labels is None else torch.cat([labels, kinds[:, None]], 1)
                )
                previous = shown[:, None].clamp(-32, 32)
        return torch.stack(masks).mean(), torch.stack(ious).mean()


def iter_train(
    recipe: Recipe, samples: Sequence[Sample], output: str | Path, *, resume: bool = True
) -> Generator[TrainEvent, None, Path]:
    """Train a network, one event a step.

    Parameters
    ----------
    recipe : Recipe
        Decides everything.
    samples : sequence of Sample
        Real images with ground truth; synthetic scenes join them as the recipe says.
    output : str or Path
        The safetensors file to write. The run's state (``.state.pt``) and its log of losses
        (``.csv``) lie beside it.
    resume : bool
        Go on from the state on disk; otherwise start over.

    Yields
    ------
    TrainEvent

    Returns
    -------
    Path
        The safetensors file.
    """
    trainer = Trainer(recipe, output)
    trainer.output.parent.mkdir(parents=True, exist_ok=True)
    if not (resume and trainer.resume()):
        trainer.state_path.unlink(missing_ok=True)
        trainer.output.with_suffix(".csv").unlink(missing_ok=True)
    source = SampleSource(samples, recipe.sources)
    with ThreadPoolExecutor(1) as ahead:
        coming = ahead.submit(draw_batch, source, recipe, trainer.step)
        while trainer.step < recipe.steps:
            started = time.perf_counter()
            batch = coming.result()
            coming = ahead.submit(draw_batch, source, recipe, trainer.step + 1)
            losses = trainer.train_step(batch)
            event = TrainEvent(
                step=trainer.step,
                steps=recipe.steps,
                losses=losses,
                seconds=time.perf_counter() - started,
            )
            _log(trainer.output.with_suffix(".csv"), event)
            if trainer.step % recipe.checkpoint_every == 0 or trainer.step == recipe.steps:
                trainer.save()
            yield event
    return trainer.output


def _fresh(recipe: Recipe) -> Sam:
    """Build a network whose positional encoding tells near and far apart at several scales."""
    model = Sam(recipe.sam_config())
    model.to(memory_format=torch.channels_last)  # type: ignore[call-overload]
    matrix = model.prompt_encoder.pe_layer.positional_encoding_gaussian_matrix
    scales = torch.tensor([0.5, 1.0, 2.0, 4.0]).repeat(matrix.shape[1] // 4 + 1)
    matrix.mul_(scales[: matrix.shape[1]])
    return model


def _parameter_groups(model: Sam, weight_decay: float) -> list[dict[str, object]]:
    """Leave norms, biases and single embeddings without weight decay."""
    kernels = [p for p in model.parameters() if p.ndim > 1 and p.shape[0] > 4]
    others = [p for p in model.parameters() if not (p.ndim > 1 and p.shape[0] > 4)]
    return [
        {"params": kernels, "weight_decay": weight_decay},
        {"params": others, "weight_decay": 0.0},
    ]


def _windows(image: EncodedImage, batch: Batch, part: Tensor) -> EncodedImage:
    """Cut each object's window out of the image features."""

    def cut(level: Tensor, finer: int) -> Tensor:
        side = batch.window * finer
        pieces = []
        for index in part.tolist():
            top, left = (batch.object_windows[index] * finer).tolist()
            view = level[batch.object_images[index]]
            pieces.append(view[:, top : top + side, left : left + side])
        return torch.stack(pieces)

    skips = tuple(cut(skip, finer) for skip, finer in zip(image.skips, (2, 4), strict=True))
    return EncodedImage(cut(image.features, 1), skips)


def _to_pixels(points: Tensor, scale: float) -> Tensor:
    """Map pixels of the low-resolution mask to pixels of the image, centre to centre."""
    return (points.float() + 0.5) * scale - 0.5


def _log(path: Path, event: TrainEvent) -> None:
    row = {"step": event.step, "seconds": round(event.seconds, 3)}
    row |= {name: round(event.losses.get(name, float("nan")), 5) for name in _LOGGED}
    new = not path.exists()
    with path.open("a", newline="", encoding="utf-8") as file:
        writer = csv.DictWriter(file, row)
        if new:
            writer.writeheader()
        writer.writerow(row)


_LOGGED = ("instances", "masks", "iou")
