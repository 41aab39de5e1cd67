"""Where a network runs and in which precision: the one place that decides."""

from __future__ import annotations

import os
from collections.abc import Mapping
from functools import lru_cache, partial
from typing import Any

import torch

_CACHE = 8 * 2**20
_MODEST = 2 * 2**30
_MOST_OBJECTS = 256


def resolve_device(device: str | torch.device = "auto") -> torch.device:
    """Choose a device.

    Parameters
    ----------
    device : str or torch.device
        ``"auto"`` takes CUDA, then Apple's MPS, then the CPU; anything else is torch's name of a
        device.

    Raises
    ------
    ValueError
        If the device is unknown or not there.
    """
    if device == "auto":
        if torch.cuda.is_available():
            return torch.device("cuda")
        return torch.device("mps" if torch.backends.mps.is_available() else "cpu")
    try:
        chosen = torch.device(device)
    except RuntimeError as error:
        raise ValueError(
            f"Unknown device {device!r}; use 'auto', 'cpu', 'cuda' or 'mps'"
        ) from error
    if chosen.type != "cpu" and (chosen.index or 0) >= _count(chosen.type):
        raise ValueError(
            f"Device {device!r} is not available here; use one of {', '.join(available_devices())}"
        )
    return chosen


def _count(kind: str) -> int:
    """Return how many devices of a kind there are, as torch's module of that name tells."""
    if kind == "mps":
        return int(torch.backends.mps.is_available())
    module = getattr(torch, kind, None)  # cuda, xpu, and what others bring; none for meta
    is_available, count = (getattr(module, of, None) for of in ("is_available", "device_count"))
    return int(count()) if count and is_available and is_available() else 0


def available_devices() -> tuple[str, ...]:
    """Return what a user may choose from, ``"auto"`` first."""
    devices = ["auto", "cpu"]
    if torch.backends.mps.is_available():
        devices.append("mps")
    devices += [f"cuda:{index}" for index in range(torch.cuda.device_count())]
    return tuple(devices)


def resolve_encoder_dtype(device: torch.device, precision: str = "auto") -> torch.dtype:
    """Choose the precision of the image encoder; what it finds is kept in float32.

    Parameters
    ----------
    device : torch.device
        Where the network runs.
    precision : str
        ``"auto"`` is bfloat16 on CUDA devices that compute in it (float16 on older ones) and
        float32 elsewhere; or ``"float32"``, ``"bfloat16"``, ``"float16"``.

    Raises
    ------
    ValueError
        If the precision is unknown.
    """
    named = {"float32": torch.float32, "bfloat16": torch.bfloat16, "float16": torch.float16}
    if precision in named:
        return named[precision]
    if precision != "auto":
        raise ValueError(f"Unknown precision {precision!r}; use 'auto' or one of {sorted(named)}")
    if device.type != "cuda":
        return torch.float32
    fast_bfloat16 = torch.cuda.get_device_capability(device)[0] >= 8
    return torch.bfloat16 if fast_bfloat16 else torch.float16


def resolve_screening_dtype(device: torch.device, precision: str = "auto") -> torch.dtype:
    """Choose the precision in which the points of a grid are screened.

    Parameters
    ----------
    device, precision
        As in `resolve_encoder_dtype`; ``"auto"`` is bfloat16 also on processors that compute in it.
    """
    if precision == "auto" and device.type == "cpu" and computes_bfloat16(device):
        return torch.bfloat16
    return resolve_encoder_dtype(device, precision)


def computes_bfloat16(device: torch.device) -> bool:
    """Tell whether a device multiplies bfloat16 itself; processors that do not are slower in it.

    Where torch (before 2.8) does not tell what the processor can do, the answer is no.
    """
    if device.type != "cpu":
        return True
    capabilities: Mapping[str, Any] = getattr(torch.cpu, "get_capabilities", dict)()
    return any(capabilities.get(name, False) for name in ("avx512_bf16", "amx_bf16", "bf16"))


def mixed_precision(device: torch.device) -> torch.autocast:
    """Return the context in which training computes: bfloat16 where the device gains by it."""
    return torch.autocast(device.type, torch.bfloat16, enabled=computes_bfloat16(device))


def objects_at_once(device: torch.device, bytes_each: int) -> int:
    """Return how many objects a decoder should compute together.

    Processors are quickest while the image tokens of all stay in their cache; other devices take
    what fits into half of the free memory, with a dozen tensors of that size for each object.

    Parameters
    ----------
    device : torch.device
        Where the network runs.
    bytes_each : int
        Size of one object's image tokens.
    """
    if device.type == "cpu":
        return max(1, _CACHE // bytes_each)
    free = torch.cuda.mem_get_info(device)[0] if device.type == "cuda" else _MODEST
    return int(min(max(1, free // 2 // (12 * bytes_each)), _MOST_OBJECTS))


@lru_cache(maxsize=1)
def compute_alone_in_forks() -> None:
    """Have every process that is forked from this one compute on a single thread.

    Threads do not survive a fork, and the libraries that hold them do not notice: a child that
    shares its work among them waits for ever.
    """
    if hasattr(os, "register_at_fork"):
        os.register_at_fork(after_in_child=partial(torch.set_num_threads, 1))
