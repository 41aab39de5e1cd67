"""What a training run tells, and what it leaves on disk to go on from."""

from __future__ import annotations

import hashlib
import json
import pickle
import zlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from napari_sam.model.sam import Sam
from napari_sam.training.recipe import Recipe
from napari_sam.training.samples import Sample
from napari_sam.whole_files import replacing

_UNREADABLE = (
    OSError,
    pickle.UnpicklingError,
    RuntimeError,
    EOFError,
    ValueError,
    LookupError,
    TypeError,
)
"""What reading a file raises that holds anything else than a state."""

Origin = Mapping[str, Any]
"""All that must be equal for a run to be resumed."""


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


def origin_of(recipe: Recipe, start: Sam | None, samples: Sequence[Sample]) -> dict[str, Any]:
    """Return what decides a run but for its length and pace.

    Parameters
    ----------
    recipe : Recipe
        Its settings.
    start : Sam or None
        The network that training begins from, of which a digest is taken.
    samples : sequence of Sample
        The images, likewise.
    """
    weights = hashlib.sha256()
    for name, value in () if start is None else sorted(start.state_dict().items()):
        weights.update(name.encode())
        weights.update(value.detach().cpu().flatten().view(torch.uint8).numpy())
    images = [
        (sample.source, sample.name, *(zlib.crc32(layer.tobytes()) for layer in _layers(sample)))
        for sample in samples
    ]
    return {
        **recipe.fingerprint(),
        "weights": weights.hexdigest()[:16],
        "data": hashlib.sha256(repr(images).encode()).hexdigest()[:16],
    }


def _layers(sample: Sample) -> list[NDArray[np.generic]]:
    layers = (sample.image, sample.labels, sample.nested, sample.kinds)
    return [layer for layer in layers if layer is not None]


def save_state(path: Path, origin: Origin, values: Mapping[str, Any]) -> None:
    """Write a run's state; a kill while writing leaves the last one whole."""
    with replacing(path) as partial:
        torch.save({"recipe": json.dumps(origin), **values}, partial)


def load_state(path: Path, origin: Origin) -> dict[str, Any] | None:
    """Read a run's state; None where there is none.

    Raises
    ------
    ValueError
        If it cannot be read, belongs to another recipe, or began from other weights or images.
    """
    if not path.is_file():
        return None
    try:
        state: dict[str, Any] = torch.load(path, weights_only=True, map_location="cpu")
        before: dict[str, Any] = dict(json.loads(state["recipe"]))
    except _UNREADABLE as error:
        raise ValueError(
            f"{str(path)!r} is damaged or no state of a training ({type(error).__name__}); start "
            "over (resume=False; --restart in the shell), or write to another output"
        ) from error
    changed = [name for name in origin if before.get(name) != origin[name]]
    if changed:
        raise foreign_state(path, ", ".join(changed))
    return state


def foreign_state(path: Path, changed: str) -> ValueError:
    """Return the error for a state that this run cannot go on from."""
    return ValueError(
        f"{str(path)!r} belongs to another run: {changed} changed; use what it was begun with, "
        "start over (resume=False; --restart in the shell), or write to another output"
    )
