"""A bar in the shell for any job that yields `Progress`."""

from __future__ import annotations

from collections.abc import Generator
from typing import Any, TypeVar

from tqdm import tqdm

from napari_sam.segmentation.progress import Progress, run

Result = TypeVar("Result")


def with_bar(job: Generator[Progress, Any, Result]) -> Result:
    """Run a job to its end under a bar; each stage with a new total starts the bar anew."""
    with tqdm(leave=False) as bar:

        def show(event: Progress) -> None:
            if bar.desc.rstrip(": ") != event.stage and event.done <= 1:
                bar.reset(event.total)
            bar.total = event.total
            bar.set_description(event.stage, refresh=False)
            bar.n = event.done
            bar.refresh()

        return run(job, show)
