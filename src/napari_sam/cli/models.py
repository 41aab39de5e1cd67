"""``napari-sam models``."""

from __future__ import annotations

import argparse

from napari_sam.model.registry import MODELS_FOLDER_VARIABLE, cache_folder, known_models


def models(arguments: argparse.Namespace) -> None:
    """List the known models, or download one."""
    if arguments.download is not None:
        _download(arguments.download)
        return
    entries = known_models()
    width = max(8, *(len(entry.name) for entry in entries))
    for entry in entries:
        state = "here" if entry.is_available else "to download"
        size = f"{entry.size / 1e6:.0f} MB" if entry.size else ""
        print(f"{entry.name:{width}} {state:12} {size:>8}  {entry.licence:13} {entry.title}")
    print(f"\nFiles are kept in {cache_folder()}, or in the folder {MODELS_FOLDER_VARIABLE} names.")


def _download(name: str) -> None:
    from tqdm import tqdm

    from napari_sam.model.registry import find_checkpoint

    with tqdm(unit="B", unit_scale=True, desc=name) as bar:

        def show(done: int, total: int) -> None:
            bar.total = total
            bar.update(done - bar.n)

        path = find_checkpoint(name, on_progress=show)
    print(path)
