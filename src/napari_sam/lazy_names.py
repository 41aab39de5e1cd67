"""Names of a package that are loaded on first use (PEP 562), so that importing it is light."""

from __future__ import annotations

import importlib
from collections.abc import Callable, Iterable, Mapping


def lazily(
    package: str, homes: Mapping[str, str], public: Iterable[str]
) -> tuple[Callable[[str], object], Callable[[], list[str]]]:
    """Return a package's ``__getattr__`` and ``__dir__``.

    Parameters
    ----------
    package : str
        Its ``__name__``.
    homes : mapping of str to str
        The module, as seen from the package, that each lazy name is in.
    public : iterable of str
        All public names.
    """

    def load(name: str) -> object:
        if name not in homes:
            raise AttributeError(f"module {package!r} has no attribute {name!r}")
        return getattr(importlib.import_module(f"{package}.{homes[name]}"), name)

    def names() -> list[str]:
        return sorted(public)

    return load, names
