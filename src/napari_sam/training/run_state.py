"""What a training run tells, and what it leaves on disk to go on from."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import torch

from napari_sam.training.recipe import Recipe


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
    scores : dict of str to float
        Figures of an evaluation, means over the sources, where one was made after this step.
    """

    step: int
    steps: int
    losses: dict[str, float]
    seconds: float
    scores: dict[str, float] = field(default_factory=dict)


def state_beside(output: Path) -> Path:
    """Return where the state of a run that writes `output` lies."""
    return output.with_suffix(".state.pt")


def save_state(path: Path, recipe: Recipe, values: Mapping[str, Any]) -> None:
    """Write a run's state; a kill while writing leaves the last one whole."""
    partial = path.with_name(path.name + ".partial")
    torch.save({"recipe": json.dumps(recipe.fingerprint()), **values}, partial)
    partial.replace(path)


def load_state(path: Path, recipe: Recipe) -> dict[str, Any] | None:
    """Read a run's state; None where there is none.

    Raises
    ------
    ValueError
        If it belongs to another recipe.
    """
    if not path.is_file():
        return None
    state: dict[str, Any] = torch.load(path, weights_only=True, map_location="cpu")
    before, now = json.loads(state["recipe"]), recipe.fingerprint()
    changed = [name for name in now if before.get(name) != now[name]]
    if changed:
        raise foreign_state(path, ", ".join(changed))
    return state


def foreign_state(path: Path, changed: str) -> ValueError:
    """Return the error for a state that this run cannot go on from."""
    return ValueError(
        f"{str(path)!r} belongs to another recipe or network: {changed} changed; use what it was "
        "begun with, or another output"
    )
