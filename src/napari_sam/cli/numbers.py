"""Numbers with commas between, as an option's value."""

from __future__ import annotations

import argparse
from dataclasses import dataclass


@dataclass(frozen=True)
class Numbers:
    """Reads so many numbers from an option.

    Attributes
    ----------
    count : int
        How many.
    """

    count: int

    def __call__(self, text: str) -> tuple[float, ...]:
        """Read ``"1,2.5"``."""
        try:
            values = tuple(float(word) for word in text.split(","))
        except ValueError:
            values = ()
        if len(values) != self.count:
            raise argparse.ArgumentTypeError(
                f"expected {self.count} numbers with commas between, got {text!r}"
            )
        return values
