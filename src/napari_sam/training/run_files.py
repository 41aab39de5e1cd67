"""The files of a training run: the network, and beside it state, tables and plot."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from napari_sam.training.curves import PLOT_BEGINS


@dataclass(frozen=True)
class RunFiles:
    """Where a training run writes.

    Attributes
    ----------
    network : Path
        The safetensors file; all others are called like it.
    """

    network: Path

    @classmethod
    def beside(cls, output: str | Path) -> RunFiles:
        """Check, before any work is done, that a run can write a network and its other files.

        Raises
        ------
        ValueError
            If the output does not end in ``.safetensors``, or one of the files is a folder.
        FileExistsError
            If a table or a plot that no training made would be written over.
        """
        files = cls(Path(output))
        if files.network.suffix.lower() != ".safetensors":
            raise ValueError(f"Networks are written as .safetensors, not as {files.network.name!r}")
        for path in (files.network, files.state, files.losses, files.scores, files.plot):
            if path.is_dir():
                raise ValueError(f"{str(path)!r} is a folder; choose a file to write to")
        _check_begins(files.losses, "step,", "table")
        _check_begins(files.scores, "step,", "table")
        _check_begins(files.plot, PLOT_BEGINS, "plot")
        return files

    @property
    def state(self) -> Path:
        """What the run is resumed from."""
        return self.network.with_suffix(".state.pt")

    @property
    def losses(self) -> Path:
        """The table of the losses of all steps."""
        return self.network.with_suffix(".losses.csv")

    @property
    def scores(self) -> Path:
        """The table of the scores of all evaluations."""
        return self.network.with_suffix(".scores.csv")

    @property
    def plot(self) -> Path:
        """Both tables as a picture."""
        return self.network.with_suffix(".svg")


def _check_begins(path: Path, beginning: str, kind: str) -> None:
    """Refuse a file that is there and begins otherwise than a training's."""
    if not path.is_file():
        return
    with path.open("rb") as file:
        found = file.read(len(beginning))
    if found != beginning.encode():
        raise FileExistsError(
            f"{str(path)!r} is no {kind} of a training and would be written over; "
            "move it, or choose another output"
        )
