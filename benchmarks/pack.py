"""What benchmarks on real images share: the data pack, and the arguments that choose from it."""

from __future__ import annotations

import argparse
import os
from collections.abc import Sequence
from pathlib import Path

from napari_sam.cli.learning import DATA_VARIABLE


def data_pack(holding: str) -> Path:
    """Return the data pack that NAPARI_SAM_DATA names; end, and say what it must hold, without."""
    if DATA_VARIABLE not in os.environ:
        raise SystemExit(f"Set {DATA_VARIABLE} to a data pack with {holding}")
    return Path(os.environ[DATA_VARIABLE])


def image_parser(
    description: str | None, *, sources: Sequence[str], images: int
) -> argparse.ArgumentParser:
    """Return a parser of which images a model is measured on, with these defaults."""
    parser = argparse.ArgumentParser(description=description)
    parser.add_argument("--sources", nargs="+", default=list(sources))
    parser.add_argument("--images", type=int, default=images)
    parser.add_argument("--split", default="val")
    parser.add_argument("--model", default="nano")
    parser.add_argument("--threads", type=int, default=1)
    return parser
