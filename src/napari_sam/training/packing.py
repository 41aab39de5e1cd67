"""What one process draws for another, as one piece of shared memory.

Torch hands each tensor to another process by a connection of its own, which has to wait for a busy
process once for each. In one piece, a draw of forty tensors costs one wait.
"""

from __future__ import annotations

import io
import itertools
import pickle
from typing import Any, NamedTuple

import numpy as np
import torch
from torch import Tensor


class Packed(NamedTuple):
    """A value and its tensors apart.

    Attributes
    ----------
    head : bytes
        The value without its tensors' content.
    memory : Tensor
        (n,) uint8 in shared memory.
    sizes : list of int
        Bytes of each array in the memory, one after the other.
    """

    head: bytes
    memory: Tensor
    sizes: list[int]


def pack(value: object) -> Packed:
    """Pack a value that holds tensors of the CPU; those it holds twice are packed once."""
    buffers: list[pickle.PickleBuffer] = []
    head = io.BytesIO()
    _Packer(head, protocol=5, buffer_callback=buffers.append).dump(value)
    pieces = [np.frombuffer(buffer.raw(), np.uint8) for buffer in buffers]
    sizes = [len(piece) for piece in pieces]
    memory = torch.empty(sum(sizes), dtype=torch.uint8).share_memory_()
    np.concatenate(pieces, out=memory.numpy())
    return Packed(head.getvalue(), memory, sizes)


def unpack(packed: Packed) -> Any:
    """Return what was packed by a process of our own; its tensors lie in the shared memory."""
    whole = memoryview(packed.memory.numpy())  # type: ignore[arg-type]
    ends = list(itertools.accumulate(packed.sizes, initial=0))
    buffers = [whole[first:last] for first, last in itertools.pairwise(ends)]
    return pickle.loads(packed.head, buffers=buffers)  # noqa: S301


class _Packer(pickle.Pickler):
    def reducer_override(self, value: object) -> Any:
        """Let tensors travel as arrays, whose content can be kept apart."""
        if isinstance(value, Tensor):
            return torch.from_numpy, (value.numpy(),)
        return NotImplemented
