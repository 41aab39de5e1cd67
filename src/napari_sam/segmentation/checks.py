"""What is easily mistaken in a call, and would fail far from it."""

from __future__ import annotations


def check_arguments(predictor: object, config: object, kind: type) -> None:
    """Check that a predictor is one, and no model's name, and that a config is of a kind.

    Raises
    ------
    TypeError
        If not.
    """
    if not hasattr(predictor, "embed"):
        raise TypeError(
            f"predictor must be a Predictor, as Predictor('nano') makes it, got {predictor!r}"
        )
    if not isinstance(config, kind):
        name = kind.__name__
        given = f"{config!r}" if isinstance(config, dict) else type(config).__name__
        raise TypeError(
            f"config must be of type {name}, as {name}(name=value) makes it, got {given}"
        )
