"""The models one can name, where their files come from, and how a name becomes a network.

A file is looked for in the folder that the environment variable ``NAPARI_SAM_MODELS`` names, then
in the user's cache; only then is it downloaded. Its sha256 is checked. ``nano`` is in the package.
Models of micro-sam are known where their files are.

What models there are is known without torch: docks offer them before anything is run.
"""

from __future__ import annotations

import hashlib
import os
from collections.abc import Callable
from dataclasses import dataclass
from importlib import resources
from pathlib import Path
from typing import TYPE_CHECKING

import pooch

from napari_sam.model.micro_sam import found_models

if TYPE_CHECKING:
    import torch

    from napari_sam.model.sam import Sam

MODELS_FOLDER_VARIABLE = "NAPARI_SAM_MODELS"
_OFFICIAL = "https://dl.fbaipublicfiles.com/segment_anything/"


@dataclass(frozen=True, kw_only=True)
class ModelEntry:
    """A model that can be asked for by name.

    Attributes
    ----------
    name, title : str
        Short name, and what it is.
    file_name : str
        Name of its file in the cache or in the user's folder.
    source : str or None
        Where it is downloaded from; None for a model in the package.
    sha256 : str or None
        Digest of the file; None for a model in the package.
    size : int or None
        Of the file, bytes; None where it is not published.
    licence : str
        SPDX name; empty where it is not known.
    path : Path or None
        Where the file is, of a model that somebody else has put there.
    """

    name: str
    title: str
    file_name: str
    source: str | None = None
    sha256: str | None = None
    size: int | None = None
    licence: str = "Apache-2.0"
    path: Path | None = None

    def local_path(self) -> Path | None:
        """Return the model's file if it is on this machine."""
        if self.path is not None:
            return self.path
        if self.source is None:
            return Path(str(resources.files("napari_sam.model") / "bundled" / self.file_name))
        candidates = [folder / self.file_name for folder in _model_folders()]
        return next((path for path in candidates if path.is_file()), None)

    @property
    def is_available(self) -> bool:
        """Whether the model loads without a download."""
        path = self.local_path()
        return path is not None and path.is_file()


_MODELS = (
    ModelEntry(
        name="nano",
        title="nano: small and quick, for microscopy; comes with the package",
        file_name="nano.safetensors",
        licence="BSD-3-Clause",
    ),
    ModelEntry(
        name="vit_b",
        title="SAM ViT-B (Kirillov et al. 2023)",
        file_name="sam_vit_b_01ec64.pth",
        source=_OFFICIAL + "sam_vit_b_01ec64.pth",
        sha256="ec2df62732614e57411cdcf32a23ffdf28910380d03139ee0f4fcbe91eb8c912",
        size=375042383,
    ),
    ModelEntry(
        name="vit_l",
        title="SAM ViT-L (Kirillov et al. 2023)",
        file_name="sam_vit_l_0b3195.pth",
        source=_OFFICIAL + "sam_vit_l_0b3195.pth",
        sha256="3adcc4315b642a4d2101128f611684e8734c41232a17c648ed1693702a49a622",
    ),
    ModelEntry(
        name="vit_h",
        title="SAM ViT-H (Kirillov et al. 2023)",
        file_name="sam_vit_h_4b8939.pth",
        source=_OFFICIAL + "sam_vit_h_4b8939.pth",
        sha256="a7bf3b02f3ebf1267aba913ff637d9a2d5c33d3173bb679e46d9f338c26f262e",
        size=2564550879,
    ),
)


def known_models() -> tuple[ModelEntry, ...]:
    """Return every model that can be asked for by name; of micro-sam's those that are here."""
    found = (
        ModelEntry(name=name, title=title, file_name=path.name, licence="", path=path)
        for name, title, path in found_models(_model_folders())
    )
    return (*_MODELS, *found)


def cache_folder() -> Path:
    """Return the folder of downloaded models; it may not exist yet."""
    return Path(pooch.os_cache("napari-sam")) / "models"


def load_model(
    name_or_path: str | Path = "nano",
    device: str | torch.device = "auto",
    *,
    on_progress: Callable[[int, int], None] | None = None,
) -> Sam:
    """Load a network.

    Parameters
    ----------
    name_or_path : str or Path
        A known model's name, or the path of a checkpoint (safetensors, or a ``torch.save`` of a
        state dict). The architecture is read off the tensors.
    device : str or torch.device
        ``"auto"`` takes CUDA, then MPS, then the CPU.
    on_progress : callable, optional
        Called with bytes done and in all while a file is downloaded.

    Returns
    -------
    Sam
        In evaluation mode, on the device.

    Raises
    ------
    ValueError
        If the name is unknown (and no file), or the device is not there.
    CheckpointError
        If the file is damaged or holds another network.
    """
    from napari_sam.model.checkpoints import read_checkpoint
    from napari_sam.model.devices import resolve_device

    target = resolve_device(device)
    path = find_checkpoint(name_or_path, on_progress=on_progress)
    return read_checkpoint(path).to(target)


def lasting_name(name_or_path: str | Path) -> str | Path:
    """Return the path of a checkpoint as one that holds in every folder, and names as they are."""
    known = any(model.name == str(name_or_path) for model in known_models())
    path = Path(name_or_path)
    return path.absolute() if not known and path.is_file() else name_or_path


def find_checkpoint(
    name_or_path: str | Path, *, on_progress: Callable[[int, int], None] | None = None
) -> Path:
    """Return the path of a model's file, downloading it where it is not on this machine."""
    entry = next((model for model in known_models() if model.name == str(name_or_path)), None)
    if entry is None:
        path = Path(name_or_path)
        if path.is_file():
            return path
        names = ", ".join(model.name for model in known_models())
        raise ValueError(
            f"Unknown model {str(name_or_path)!r}; known models: {names}; or pass the path of a "
            "checkpoint"
        )
    return _verified(entry, entry.local_path() or _downloaded(entry, on_progress))


def _model_folders() -> list[Path]:
    folder = os.environ.get(MODELS_FOLDER_VARIABLE)
    return ([Path(folder)] if folder else []) + [cache_folder()]


def _verified(entry: ModelEntry, path: Path) -> Path:
    """Check a file's digest where one is known, each time: a file may be damaged later, too."""
    if entry.sha256 is None:
        return path
    found = sha256_of(path)
    if found != entry.sha256:
        from napari_sam.model.checkpoints import CheckpointError

        raise CheckpointError(
            f"{path.name} is damaged: sha256 is {found[:8]}..., expected {entry.sha256[:8]}...; "
            f"delete {str(path)!r} and load again"
        )
    return path


def sha256_of(path: Path) -> str:
    """Return a file's sha256 in hexadecimal."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


class _ProgressBar:
    """What pooch reports to: it sets `total` and calls `update` with the bytes of each piece."""

    def __init__(self, on_progress: Callable[[int, int], None]) -> None:
        self.total = 0
        self._done = 0
        self._on_progress = on_progress

    def update(self, count: int) -> None:
        self._done = min(self._done + count, self.total) if self.total else self._done + count
        self._on_progress(self._done, self.total)

    def reset(self) -> None:
        self._done = 0

    def close(self) -> None:
        self._on_progress(self.total, self.total)


def _downloaded(entry: ModelEntry, on_progress: Callable[[int, int], None] | None) -> Path:
    """Fetch a model into the cache; pooch writes to a temporary file and checks the digest."""
    progressbar = _ProgressBar(on_progress) if on_progress else False
    downloader = pooch.HTTPDownloader(progressbar=progressbar, timeout=30)
    try:
        path = pooch.retrieve(
            entry.source,
            known_hash=f"sha256:{entry.sha256}",
            fname=entry.file_name,
            path=cache_folder(),
            downloader=downloader,
        )
    except (OSError, ValueError) as error:
        raise ConnectionError(
            f"Model {entry.name!r} could not be downloaded from {entry.source}: {error}. Fetch the "
            f"file by other means and put it into {str(cache_folder())!r}, or into a folder that "
            f"{MODELS_FOLDER_VARIABLE} names"
        ) from error
    return Path(path)
