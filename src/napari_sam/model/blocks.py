"""Image tokens a block at a time, so that what is computed of them stays in a processor's cache.

Most of what a decoder does to an image token needs no other image token. Done for all of them in
turn, each step of a chain reads and writes memory; done for a few hundred at a time, the whole
chain runs in the cache, and no large tensor is allocated on the way (touching fresh memory takes
longer than many a step).
"""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch import Tensor

_CACHE = 2**20
"""Bytes of image tokens in a block: smaller ones cost more calls than they save memory traffic."""


def in_blocks(
    compute: Callable[[slice], Tensor], image: Tensor, count: int, axis: int = 1
) -> Tensor:
    """Compute something of image tokens block by block, and join it.

    Parameters
    ----------
    compute : callable
        Gives for a slice of the N tokens a tensor whose `axis` is these tokens.
    image : Tensor
        (B or 1, N, C) the tokens.
    count : int
        Objects B that `compute` works on together.
    axis : int
        See `compute`.

    Returns
    -------
    Tensor
        As ``compute(slice(None))``, which is what is called where gradients are kept, and on
        devices other than processors.
    """
    n_tokens, dim = image.shape[1:]
    step = max(1, _CACHE // (max(1, count) * dim * image.element_size()))
    if step >= n_tokens or image.device.type != "cpu" or torch.is_grad_enabled():
        return compute(slice(None))
    first = compute(slice(step))
    joined = first.new_empty((*first.shape[:axis], n_tokens, *first.shape[axis + 1 :]))
    joined.narrow(axis, 0, step).copy_(first)
    for start in range(step, n_tokens, step):
        part = compute(slice(start, start + step))
        joined.narrow(axis, start, part.shape[axis]).copy_(part)
    return joined
