"""Which values the settings of a recipe may have."""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Callable, Mapping
from typing import Any, NamedTuple

from napari_sam.model.configs import ConvEncoderConfig, DecoderConfig


class _Rule(NamedTuple):
    """What a value must be, in words, and whether one is."""

    words: str
    holds: Callable[[Any], bool]


def _is_whole(value: Any, least: int) -> bool:
    return isinstance(value, int) and not isinstance(value, bool) and value >= least


def _is_number(value: Any, most: float = math.inf) -> bool:
    real = isinstance(value, (int, float)) and not isinstance(value, bool)
    return real and math.isfinite(value) and 0 <= value <= most


def _are_chances(value: Any) -> bool:
    """Tell whether a value is pairs of a count and how often it is drawn."""
    if not isinstance(value, (list, tuple)):
        return False
    pairs = all(
        isinstance(pair, (list, tuple))
        and len(pair) == 2
        and _is_whole(pair[0], 1)
        and _is_number(pair[1])
        for pair in value
    )
    return pairs and any(chance for _, chance in value)


_COUNT = _Rule("be a whole number of at least 1", lambda value: _is_whole(value, 1))
_WHOLE = _Rule("be a whole number of at least 0", lambda value: _is_whole(value, 0))
_SHARE = _Rule("lie between 0 and 1", lambda value: _is_number(value, 1))
_NUMBER = _Rule("be a number of at least 0", _is_number)
_CHANCES = _Rule("be pairs of a count and how often it is drawn", _are_chances)
_TABLE = _Rule("be a table", lambda value: isinstance(value, dict))
_SWITCH = _Rule("be true or false", lambda value: isinstance(value, bool))
_POSITIVE = _Rule("be a number above 0", lambda value: _is_number(value) and value > 0)

_RULES = {
    "network": _TABLE,
    "tune": _Rule("be text", lambda value: isinstance(value, str)),
    **dict.fromkeys(("seed", "warmup"), _WHOLE),
    **dict.fromkeys(("steps", "fits", "parts", "part_size", "crop_size"), _COUNT),
    **dict.fromkeys(("objects_per_part", "checkpoint_every", "evaluate_every"), _COUNT),
    **dict.fromkeys(("encoder_share", "frozen_norm_share", "silent_share"), _SHARE),
    **dict.fromkeys(("box_share", "hint_share", "plain_share", "wide_share"), _SHARE),
    **dict.fromkeys(("kept_share", "ema"), _SHARE),
    **dict.fromkeys(("box_jitter", "spread", "learning_rate", "weight_decay"), _NUMBER),
    **dict.fromkeys(("iou_weight", "instance_weight", "size_weight", "kind_weight"), _NUMBER),
    **dict.fromkeys(("windows", "rounds"), _CHANCES),
    "sources": _Rule(
        "be a table of how often each is drawn",
        lambda value: isinstance(value, dict) and all(map(_is_number, value.values())),
    ),
}


def check_recipe(values: Mapping[str, Any]) -> None:
    """Check each setting of a recipe by itself.

    Parameters
    ----------
    values : mapping of str to object
        All settings by name.

    Raises
    ------
    ValueError
        If one has a wrong type or lies outside its range, or `network` has unknown keys; the
        message names it.
    """
    _check(values, _RULES, "")
    network = values["network"]
    parts = {"encoder": ConvEncoderConfig, "decoder": DecoderConfig}
    _check(network, {**dict.fromkeys(parts, _TABLE), "object_diameter": _POSITIVE}, "network.")
    for name, kind in parts.items():
        rules = {field.name: _rule_like(field.default) for field in dataclasses.fields(kind)}
        _check(network.get(name, {}), rules, f"network.{name}.")


def _check(values: Mapping[str, Any], rules: Mapping[str, _Rule], prefix: str) -> None:
    unknown = sorted(values.keys() - rules.keys())
    if unknown:
        raise ValueError(f"There is no setting {prefix}{unknown[0]}; known: {sorted(rules)}")
    for name, value in values.items():
        if not rules[name].holds(value):
            raise ValueError(f"{prefix}{name} must {rules[name].words}, got {value!r}")


def _rule_like(default: Any) -> _Rule:
    """Return the rule for what a network is made of, by its default."""
    if isinstance(default, bool):
        return _SWITCH
    if not isinstance(default, tuple):
        return _COUNT
    count = len(default)
    return _Rule(
        f"be {count} whole numbers",
        lambda value: (
            isinstance(value, (list, tuple))
            and len(value) == count
            and all(_is_whole(one, 0) for one in value)
        ),
    )
