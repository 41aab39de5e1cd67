"""How a volume job is run: settings that decide nothing of its result."""

from __future__ import annotations

import re
from dataclasses import dataclass, field
from typing import Literal

from napari_sam.volume.executors import Executor, LocalExecutor

_SHARD = re.compile(r"(\d+)/(\d+)")


@dataclass(frozen=True, kw_only=True)
class Shard:
    """A share of a job's blocks, for one of several independent calls.

    Attributes
    ----------
    index, count : int
        Which share, from 1, of how many.
    """

    index: int
    count: int

    def __post_init__(self) -> None:
        """Check the range."""
        if not 1 <= self.index <= self.count:
            raise ValueError(f"shard must be i/n with i from 1 to n, got {self.index}/{self.count}")

    @classmethod
    def parse(cls, text: str) -> Shard:
        """Read ``"3/16"``.

        Raises
        ------
        ValueError
            If the text is something else.
        """
        match = _SHARD.fullmatch(text.strip())
        if match is None:
            raise ValueError(f"shard must be i/n, such as 3/16, got {text!r}")
        return cls(index=int(match[1]), count=int(match[2]))

    @property
    def name(self) -> str:
        """Name of what the share keeps for itself."""
        return f"shard-{self.index}-of-{self.count}"

    def blocks(self, n_blocks: int) -> range:
        """Return the numbers of its blocks: neighbours, so that chunks are read once."""
        start, stop = (n_blocks * part // self.count for part in (self.index - 1, self.index))
        return range(start, stop)


@dataclass(frozen=True, kw_only=True)
class RunConfig:
    """How a job is run; it may differ from one resumption to the next.

    Attributes
    ----------
    executor : Executor
        Who does the blocks; by default this process.
    on_error : str
        What follows where a block cannot be segmented: ``"stop"``, or ``"skip"``, which leaves it
        empty, goes on and lists it in the report.
    retry_failed : bool
        Try the blocks again that a finished job has left empty.
    take_lock : bool
        Take over a job that someone else seems to work on.
    shard : Shard, optional
        Segment only this share of the blocks; another call links and writes them.
    only_finish : bool
        Link and write what shares have segmented; refuse if blocks are missing.
    """

    executor: Executor = field(default_factory=LocalExecutor)
    on_error: Literal["stop", "skip"] = "stop"
    retry_failed: bool = False
    take_lock: bool = False
    shard: Shard | None = None
    only_finish: bool = False

    def __post_init__(self) -> None:
        """Check values that exclude each other."""
        if self.on_error not in ("stop", "skip"):
            raise ValueError(f"on_error must be 'stop' or 'skip', got {self.on_error!r}")
        if self.shard is not None and self.only_finish:
            raise ValueError("A shard segments, and only_finish does not: give one of them")
