"""Models of micro-sam (Archit et al. 2025) that are on this machine.

Their files are checkpoints of Segment Anything, most with an instance decoder of their own beside
them. micro-sam downloads them under their names, without a suffix.
"""

from __future__ import annotations

import os
from collections.abc import Iterable
from pathlib import Path

import pooch

FOLDER_VARIABLE = "MICROSAM_CACHEDIR"
"""Names micro-sam's folder, as it does there."""

_NAMES = {
    "vit_b_lm": "micro-sam ViT-B: light microscopy",
    "vit_l_lm": "micro-sam ViT-L: light microscopy",
    "vit_b_em_organelles": "micro-sam ViT-B: organelles in electron microscopy",
    "vit_l_em_organelles": "micro-sam ViT-L: organelles in electron microscopy",
    "vit_b_histopathology": "micro-sam ViT-B: nuclei in histopathology",
    "vit_l_histopathology": "micro-sam ViT-L: nuclei in histopathology",
    "vit_h_histopathology": "micro-sam ViT-H: nuclei in histopathology",
    "vit_b_medical_imaging": "micro-sam ViT-B: medical images",
}
_SUFFIXES = ("", ".pt", ".pth")


def micro_sam_folder() -> Path:
    """Return the folder that micro-sam downloads models to; it may not exist."""
    return Path(os.environ.get(FOLDER_VARIABLE) or pooch.os_cache("micro_sam")) / "models"


def found_models(folders: Iterable[Path]) -> list[tuple[str, str, Path]]:
    """Return name, title and file of the models that lie in folders, the first folder first."""
    places = [folder for folder in (*folders, micro_sam_folder()) if folder.is_dir()]
    found = []
    for name, title in _NAMES.items():
        candidates = (place / (name + suffix) for place in places for suffix in _SUFFIXES)
        path = next((path for path in candidates if path.is_file()), None)
        if path is not None:
            found.append((name, title, path))
    return found
