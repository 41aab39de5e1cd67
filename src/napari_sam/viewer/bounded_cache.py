"""Values that were asked for last: embeddings, and ranges of contrast, of planes."""

from __future__ import annotations

import threading
from collections import OrderedDict
from collections.abc import Callable, Hashable
from typing import Generic, TypeVar

Kept = TypeVar("Kept")


class BoundedCache(Generic[Kept]):
    """A bounded store, least recently used out first; safe to use from any thread.

    What one thread is making, others wait for, so that nothing is made twice.

    Parameters
    ----------
    capacity : int
        Values kept.
    """

    def __init__(self, capacity: int = 8) -> None:
        self._capacity = capacity
        self._kept: OrderedDict[Hashable, Kept] = OrderedDict()
        self._making: dict[Hashable, threading.Lock] = {}
        self._lock = threading.Lock()
        self._generation = 0

    def __len__(self) -> int:
        """Return how many values are kept."""
        return len(self._kept)

    def __contains__(self, key: Hashable) -> bool:
        """Tell whether a value is kept."""
        return key in self._kept

    def peek(self, key: Hashable) -> Kept | None:
        """Return what is kept under a key, or None; does not make it, and waits for nobody."""
        return self._kept.get(key)

    def get(self, key: Hashable, make: Callable[[], Kept]) -> Kept:
        """Return the value of a key, making it where it is not kept."""
        with self._lock:
            making = self._making.setdefault(key, threading.Lock())
        with making:
            kept = self._found(key)
            if kept is not None:
                return kept
            generation = self._generation
            value = make()
            self._keep(key, value, generation)
            return value

    def clear(self) -> None:
        """Forget everything: the image changed."""
        with self._lock:
            self._kept.clear()
            self._generation += 1

    def _found(self, key: Hashable) -> Kept | None:
        with self._lock:
            if key in self._kept:
                self._kept.move_to_end(key)
            return self._kept.get(key)

    def _keep(self, key: Hashable, value: Kept, generation: int) -> None:
        """Keep a value unless everything was forgotten since it was begun."""
        with self._lock:
            self._making.pop(key, None)
            if generation != self._generation:
                return
            self._kept[key] = value
            while len(self._kept) > self._capacity:
                self._kept.popitem(last=False)
