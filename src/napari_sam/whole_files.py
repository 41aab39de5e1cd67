"""Files that take the place of earlier ones only when they are whole."""

from __future__ import annotations

import errno
import os
import shutil
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path


@contextmanager
def replacing(path: str | os.PathLike[str]) -> Iterator[Path]:
    """Give a path to write to; what is written there takes the place of `path` at the end.

    If writing fails, what was at `path` stays as it was, and nothing lies beside it. Links are
    followed, permissions kept, and pipes and devices written to as they are.

    Parameters
    ----------
    path : str or Path
        The file, there or not.

    Yields
    ------
    Path
        A file beside it, its name with ``.partial`` behind.

    Raises
    ------
    PermissionError
        If a file is there that must not be written to.
    """
    target = Path(os.path.realpath(path))
    if target.exists() and not target.is_file():
        yield target
        return
    if target.exists() and not os.access(target, os.W_OK):
        raise PermissionError(errno.EACCES, os.strerror(errno.EACCES), str(target))
    partial = target.with_name(f"{target.name}.partial")
    try:
        yield partial
        if target.exists():
            with suppress(OSError):  # file systems that know no permissions
                shutil.copymode(target, partial)
        partial.replace(target)
    finally:
        partial.unlink(missing_ok=True)


def write_text(path: str | os.PathLike[str], text: str) -> None:
    r"""Write a text in UTF-8 with its line ends as they are; see `replacing`.

    Lone surrogates, which stand for the bytes of file names that are no UTF-8, become escapes
    such as ``\udce4``, as JSON writes them.
    """
    with replacing(path) as partial:
        partial.write_bytes(text.encode("utf-8", errors="backslashreplace"))
