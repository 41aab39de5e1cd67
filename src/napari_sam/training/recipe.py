"""Everything that decides a training run, as one value and one file."""

from __future__ import annotations

import dataclasses
import json
import tomllib
from dataclasses import dataclass, field
from importlib import resources
from pathlib import Path
from typing import Any

from napari_sam.model.configs import ConvEncoderConfig, DecoderConfig, SamConfig
from napari_sam.training.recipe_checks import check_recipe
from napari_sam.training.tuning import Tuning

_CHANNEL_STEP = 16
"""PyTorch 2.13's strided 1x1 convolution of 8 bfloat16 channels corrupts memory on CPUs."""


@dataclass(frozen=True, kw_only=True)
class Recipe:
    """How a network is trained.

    Attributes
    ----------
    network : dict
        `encoder` and `decoder` keywords of a convolutional network, and `object_diameter`. Empty
        where the network of given weights is trained.
    tune : str
        What is trained: ``"all"``, ``"decoder"``, ``"heads"``, ``"rater"``,
        ``"instance_rater"``, ``"blocks:N"`` or ``"lora:N"``.
    seed, steps : int
        Source of chance; optimiser steps.
    encoder_share : float
        First part of the steps that trains only encoder and heads without prompts; left out where
        no such head is trained.
    frozen_norm_share : float
        Last part of the steps in which batch norms keep their statistics.
    parts, part_size, crop_size : int
        Parts of a step, whose gradients are averaged and which may be computed side by side; views
        per part; and their side in pixels (a multiple of 32).
    objects_per_part : int
        Objects decoded per part in windows of 16 x 16 tokens; fewer in larger windows.
    windows : tuple of (int, float)
        Side of the decoded window in tokens, and how often it is drawn.
    rounds : tuple of (int, float)
        Prompt rounds of a step (the first prompt included), and how often that many are drawn.
    silent_share : float
        Rounds that bring no new point but only the previous logits.
    box_share : float
        Objects whose first prompt is a box.
    box_jitter : float
        Standard deviation of a move of a box's sides, over its length.
    hint_share : float
        Objects whose first answer begins from what the instance decoder sees under the prompt.
    spread : float
        Standard deviation of the logarithm of the views' scale.
    plain_share : float
        Views that look as their samples do: colours, light and noise are left as they are.
    wide_share : float
        Views whose objects are up to five times larger or smaller, for judging sizes.
    sources : dict of str to float
        How often a source is drawn; `synthetic` are generated scenes. For those that are not
        listed see `napari_sam.training.batches.SampleSource`.
    learning_rate, weight_decay : float
        Of AdamW; the rate warms up over `warmup` steps and falls to zero as a cosine.
    warmup : int
        Steps; 0 begins at the full rate.
    ema : float
        Decay of the averaged weights, which are the result.
    fits : int
        Optimiser steps that fit a rater to all that was seen, at the end; of few, what a rater
        prefers depends on chance.
    kept_share : float
        Share of the weights that training began from in the result, beside the averaged ones: what
        was known is forgotten less ("robust fine-tuning", Wortsman et al. 2022).
    iou_weight, instance_weight, size_weight, kind_weight : float
        Weights of these losses beside the mask loss.
    checkpoint_every, evaluate_every : int
        Steps between states on disk, and between evaluations (where there are samples for them).
    """

    network: dict[str, Any] = field(default_factory=dict)
    tune: str = "all"
    seed: int = 0
    steps: int = 4000
    encoder_share: float = 0.15
    frozen_norm_share: float = 0.15
    parts: int = 1
    part_size: int = 4
    crop_size: int = 256
    objects_per_part: int = 32
    windows: tuple[tuple[int, float], ...] = ((16, 0.65), (24, 0.15), (32, 0.2))
    rounds: tuple[tuple[int, float], ...] = ((1, 0.3), (2, 0.4), (3, 0.3))
    silent_share: float = 0.15
    box_share: float = 0.35
    box_jitter: float = 0.1
    hint_share: float = 0.0
    spread: float = 0.45
    plain_share: float = 0.0
    wide_share: float = 0.2
    sources: dict[str, float] = field(default_factory=dict)
    learning_rate: float = 1e-3
    weight_decay: float = 0.02
    warmup: int = 150
    ema: float = 0.998
    fits: int = 1200
    kept_share: float = 0.0
    iou_weight: float = 3.0
    instance_weight: float = 3.0
    size_weight: float = 0.1
    kind_weight: float = 0.2
    checkpoint_every: int = 100
    evaluate_every: int = 500

    def __post_init__(self) -> None:
        """Check what would only fail hours later."""
        check_recipe(vars(self))
        Tuning.parse(self.tune)
        if self.crop_size % 32:
            raise ValueError(f"crop_size must be a multiple of 32, got {self.crop_size}")
        tokens = self.crop_size // 8
        too_large = [side for side, _ in self.windows if side > tokens]
        if too_large:
            raise ValueError(f"windows {too_large} exceed the {tokens} tokens of a crop's side")
        channels = self.encoder_config().channels
        if any(width % _CHANNEL_STEP for width in channels):
            raise ValueError(
                f"channels must be multiples of {_CHANNEL_STEP} for training in bfloat16 on "
                f"processors, got {list(channels)}"
            )

    @property
    def diameter(self) -> float:
        """Typical diameter of an object in a view, pixels."""
        return float(self.network.get("object_diameter") or 36.0)

    def encoder_config(self) -> ConvEncoderConfig:
        """Return the encoder's shape."""
        encoder = self.network.get("encoder", {})
        return ConvEncoderConfig(**{key: _tuples(value) for key, value in encoder.items()})

    def sam_config(self) -> SamConfig:
        """Return the network's shape."""
        network = {k: v for k, v in self.network.items() if k not in ("encoder", "decoder")}
        decoder = {
            "local_prompts": True,
            "mask_scorer": True,
            **self.network.get("decoder", {}),
        }
        return SamConfig(
            encoder=self.encoder_config(),
            decoder=DecoderConfig(**decoder),
            instances=True,
            instance_stride=1,
            sizes=True,
            kinds=True,
            **network,
        )

    def fingerprint(self) -> dict[str, Any]:
        """Return what must be equal for a run to be resumed: all but its length and pace."""
        values: dict[str, Any] = json.loads(json.dumps(dataclasses.asdict(self)))
        for name in ("steps", "fits", "checkpoint_every", "evaluate_every"):
            del values[name]
        return values


def read_recipe(path: str | Path) -> Recipe:
    """Read a recipe.

    Parameters
    ----------
    path : str or Path
        A TOML file, or the name of a recipe of the package: ``"nano"``, ``"nano_cpu"``,
        ``"nano_rater"``, ``"nano_instances"``, ``"finetune"``.

    Raises
    ------
    FileNotFoundError
        If there is neither.
    ValueError
        If the file is no TOML, or names settings or values that do not exist.
    """
    shipped = Path(str(resources.files("napari_sam.training") / "recipes" / f"{path}.toml"))
    file = shipped if shipped.is_file() else Path(path)
    if not file.is_file():
        raise FileNotFoundError(f"No recipe {str(path)!r}: neither a file nor a shipped recipe")
    try:
        values = tomllib.loads(file.read_text(encoding="utf-8"))
    except ValueError as error:
        raise ValueError(f"{file.name} is no TOML file: {error}") from error
    known = {field.name for field in dataclasses.fields(Recipe)}
    unknown = sorted(values.keys() - known)
    if unknown:
        raise ValueError(f"{file.name} has unknown settings {unknown}; known: {sorted(known)}")
    return Recipe(**{name: _tuples(value) for name, value in values.items()})


def _tuples(value: Any) -> Any:
    return tuple(_tuples(item) for item in value) if isinstance(value, list) else value
