"""Set up this checkout and run it: ``python3 dev.py demo``, ``python3 dev.py test``.

Needs nothing but Python 3.11 or later with pip and venv. Everything goes into ``.venv``. Words
after demo and test are passed on: ``dev.py demo --no-window``, ``dev.py test -k prompts``.
"""

from __future__ import annotations

import argparse
import ctypes
import hashlib
import importlib.util
import json
import os
import platform
import shutil
import subprocess
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parent
VENV = ROOT / ".venv"
BIN = VENV / ("Scripts" if os.name == "nt" else "bin")
PYTHON = BIN / ("python.exe" if os.name == "nt" else "python")
PIP = (PYTHON, "-m", "pip", "install", "--disable-pip-version-check")

TORCH = "2.13.0"
CPU_INDEX = "https://download.pytorch.org/whl/cpu"
CUDA_PARTS = ("cuda-", "nvidia-", "triton")

QT_LIBRARIES = {
    "libGL.so.1": "libgl1",
    "libEGL.so.1": "libegl1",
    "libfontconfig.so.1": "libfontconfig1",
    "libglib-2.0.so.0": "libglib2.0-0",
    "libdbus-1.so.3": "libdbus-1-3",
    "libxkbcommon.so.0": "libxkbcommon0",
}
"""Shared libraries that PyQt6's wheels take from the system, and the Debian packages with them."""
WINDOW_LIBRARIES = {
    "libxkbcommon-x11.so.0": "libxkbcommon-x11-0",
    "libxcb-cursor.so.0": "libxcb-cursor0",
    "libxcb-icccm.so.4": "libxcb-icccm4",
    "libxcb-keysyms.so.1": "libxcb-keysyms1",
    "libxcb-shape.so.0": "libxcb-shape0",
}
"""The same for a window on an X11 display."""


def main() -> int:
    """Run the command that the shell names; returns the exit status."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("command", choices=("demo", "test", "lint", "install"))
    arguments, rest = parser.parse_known_args()
    if sys.version_info < (3, 11):  # noqa: UP036 - that is what it tells
        sys.exit(f"napari-sam needs Python 3.11 or later, this is {platform.python_version()}")
    install()
    if arguments.command == "demo":
        return demo(rest)
    if arguments.command == "test":
        return test(rest)
    return lint() if arguments.command == "lint" else 0


def demo(words: list[str]) -> int:
    """Run the demo; without its window where the system cannot show one."""
    libraries = QT_LIBRARIES | (WINDOW_LIBRARIES if os.environ.get("DISPLAY") else {})
    hidden = ["--no-window"] if tell_missing(libraries) else []
    return run(BIN / "napari-sam", "demo", *hidden, *words)


def test(words: list[str]) -> int:
    """Run the linters, then the tests; returns the tests' status, or the linters' if they pass."""
    lint_status = lint()
    without_qt = ["-p", "no:napari", "-p", "no:pytest-qt"] if tell_missing(QT_LIBRARIES) else []
    side_by_side = [] if words else ["-n", str(min(os.cpu_count() or 1, 4)), "--dist", "loadfile"]
    os.environ.setdefault("OMP_NUM_THREADS", "1")  # threads of several processes hinder each other
    return run(PYTHON, "-m", "pytest", *without_qt, *side_by_side, *words) or lint_status


def lint() -> int:
    """Run every check that is no test; returns a failure's status if there is one."""
    checks: tuple[tuple[Path | str, ...], ...] = (
        (PYTHON, "-m", "ruff", "check", "."),
        (PYTHON, "-m", "ruff", "format", "--check", "."),
        (BIN / "lint-imports",),
        (PYTHON, "-m", "mypy"),
        (PYTHON, "-m", "npe2", "validate", "napari-sam"),
    )
    return max([run(*check) for check in checks])


def install() -> None:
    """Make the environment and install into it, unless that was done for this pyproject.toml."""
    pyproject = (ROOT / "pyproject.toml").read_bytes()
    wanted = hashlib.sha256(pyproject + bytes(ROOT)).hexdigest()
    stamp = VENV / "installed.sha256"
    if PYTHON.exists() and stamp.is_file() and stamp.read_text(encoding="ascii") == wanted:
        return
    if not PYTHON.exists():
        make_environment()
    if run(PYTHON, "-c", "import torch", quiet=True) != 0:
        install_torch()
    must(*PIP, "--editable", f"{ROOT}[all]")
    stamp.write_text(wanted, encoding="ascii")


def make_environment() -> None:
    """Make .venv; say what to install where Python lacks the means."""
    if importlib.util.find_spec("ensurepip") is None:
        sys.exit(
            "This Python cannot make virtual environments. On Debian and Ubuntu:\n\n"
            "    sudo apt-get install python3-venv\n"
        )
    must(sys.executable, "-m", "venv", VENV)


def install_torch() -> None:
    """Install a build of torch for the CPU where nothing but pip's choice is for GPUs.

    On Linux, pip's choice brings gigabytes of CUDA libraries. Without an NVIDIA GPU they are of no
    use, so they are never fetched unasked. Elsewhere, pip's choice is left to the ordinary install.
    """
    if sys.platform != "linux" or shutil.which("nvidia-smi"):
        return
    print("There is no NVIDIA GPU here (no nvidia-smi): taking the build of PyTorch for CPUs.")
    index = ("--retries", "0", "--extra-index-url", CPU_INDEX)
    if run(*PIP, *index, "--no-deps", f"torch=={TORCH}+cpu") == 0:
        return
    print("It is not to be had there; looking whether another build for CPUs is.")
    if is_for_cpu(f"torch=={TORCH}") and run(*PIP, f"torch=={TORCH}") == 0:
        return
    sys.exit(
        f"\nNo build of PyTorch for CPUs could be reached, neither at {CPU_INDEX}\n"
        "nor among pip's own sources. Run this again with a connection; or install any PyTorch\n"
        "from 2.5 on into the environment and run this again. The one for GPUs, about 3 GB:\n\n"
        f"    {PYTHON} -m pip install torch\n"
    )


def is_for_cpu(requirement: str) -> bool:
    """Tell whether pip could install this build of torch without a part of CUDA."""
    command = [str(word) for word in (*PIP, "--dry-run", "--quiet", "--report", "-", requirement)]
    answer = subprocess.run(command, cwd=ROOT, check=False, stdout=subprocess.PIPE)
    return answer.returncode == 0 and not cuda_parts(json.loads(answer.stdout))


def cuda_parts(report: Mapping[str, Any]) -> list[str]:
    """Return the names of CUDA's packages in an installation report of pip."""
    names = [item["metadata"]["name"] for item in report["install"]]
    return [name for name in names if name.startswith(CUDA_PARTS)]


def tell_missing(libraries: Mapping[str, str]) -> bool:
    """Print how to get the system libraries that are missing; returns whether any is."""
    missing = missing_packages(libraries) if sys.platform == "linux" else []
    if missing:
        print(
            "\nQt needs system libraries that are not here. On Debian and Ubuntu:\n\n"
            f"    sudo apt-get install --no-install-recommends {' '.join(missing)}\n\n"
            "Going on without Qt.\n"
        )
    return bool(missing)


def missing_packages(libraries: Mapping[str, str]) -> list[str]:
    """Return the Debian packages of those shared libraries that cannot be loaded."""
    missing = []
    for library, package in libraries.items():
        try:
            ctypes.CDLL(library)
        except OSError:
            missing.append(package)
    return missing


def run(*words: Path | str, quiet: bool = False) -> int:
    """Run a program in the checkout; returns its exit status."""
    if not quiet:
        print("$", *words, flush=True)
    output = subprocess.DEVNULL if quiet else None
    command = [str(word) for word in words]
    return subprocess.run(command, cwd=ROOT, check=False, stdout=output, stderr=output).returncode


def must(*words: Path | str) -> None:
    """Run a program; end here with its exit status where it fails."""
    status = run(*words)
    if status:
        sys.exit(status)


if __name__ == "__main__":
    try:
        sys.exit(main())
    except KeyboardInterrupt:
        sys.exit(130)
