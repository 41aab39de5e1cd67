"""Set up this checkout and run it: ``python3 dev.py demo``, ``python3 dev.py test``.

Needs nothing but Python 3.11 or later with pip and venv. Everything goes into ``.venv``.
"""

from __future__ import annotations

import argparse
import ctypes
import hashlib
import os
import platform
import shutil
import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parent
VENV = ROOT / ".venv"
BIN = VENV / ("Scripts" if os.name == "nt" else "bin")
PYTHON = BIN / ("python.exe" if os.name == "nt" else "python")
CPU_TORCH = "2.13.0"
CPU_INDEX = "https://download.pytorch.org/whl/cpu"
LIBRARIES = {
    "libGL.so.1": "libgl1",
    "libEGL.so.1": "libegl1",
    "libfontconfig.so.1": "libfontconfig1",
    "libglib-2.0.so.0": "libglib2.0-0",
    "libdbus-1.so.3": "libdbus-1-3",
    "libxkbcommon.so.0": "libxkbcommon0",
}


def main() -> int:
    """Run the command that the shell names."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("command", choices=("demo", "test", "lint", "install"))
    command, rest = parser.parse_known_args()
    if sys.version_info < (3, 11):
        print(f"napari-sam needs Python 3.11 or later, this is {platform.python_version()}")
        return 1
    install()
    missing = missing_libraries()
    if missing:
        print("\nQt needs system libraries that are missing here; install them with\n")
        print("    sudo apt-get install --no-install-recommends " + " ".join(missing) + "\n")
    if command.command == "demo":
        return run(BIN / "napari-sam", "demo", *rest, check=False)
    if command.command == "install":
        return 0
    status = lint()
    if command.command == "test":
        plugins = ["-p", "no:napari", "-p", "no:pytest-qt"] if missing else []
        status = run(PYTHON, "-m", "pytest", *plugins, *rest, check=False) or status
    return status


def install() -> None:
    """Make the environment and install into it, unless pyproject.toml is as it was."""
    wanted = hashlib.sha256((ROOT / "pyproject.toml").read_bytes()).hexdigest()
    stamp = VENV / "installed"
    if stamp.is_file() and stamp.read_text(encoding="utf-8") == wanted:
        return
    if not PYTHON.exists():
        make_environment()
    pip = (PYTHON, "-m", "pip", "install", "--disable-pip-version-check")
    if not has_torch():
        install_torch(pip)
    run(*pip, "--editable", f"{ROOT}[all]")
    stamp.write_text(wanted, encoding="utf-8")


def make_environment() -> None:
    """Make .venv; say what to install where Python lacks the means."""
    try:
        import ensurepip  # noqa: F401, PLC0415
    except ImportError:
        sys.exit("This Python cannot make environments; run: sudo apt-get install python3-venv")
    print(f"Making {VENV}")
    run(sys.executable, "-m", "venv", VENV)


def has_torch() -> bool:
    """Tell whether torch is in the environment."""
    return run(PYTHON, "-c", "import torch", check=False, quiet=True) == 0


def install_torch(pip: tuple[Path | str, ...]) -> None:
    """Install the CPU build of torch where there is no NVIDIA GPU, and pip's own choice elsewhere.

    The default build for Linux brings gigabytes of CUDA libraries. A CPU build sorts above it where
    one can be had: in a local folder of wheels that pip is set up with, or in PyTorch's own index.
    """
    if sys.platform != "linux" or shutil.which("nvidia-smi"):
        return
    if platform.machine() != "x86_64":
        return
    if run(*pip, "--no-index", f"torch=={CPU_TORCH}", "--no-deps", check=False, quiet=True) == 0:
        run(*pip, f"torch=={CPU_TORCH}")
        return
    found = run(
        *pip,
        "--retries",
        "0",
        "--extra-index-url",
        CPU_INDEX,
        f"torch=={CPU_TORCH}+cpu",
        check=False,
    )
    if found != 0:
        sys.exit(
            f"\nThe CPU build of torch could not be had from {CPU_INDEX}. With a connection, run this "
            f"again; or install any torch by hand and run this again:\n\n    {PYTHON} -m pip install "
            "torch      (about 3 GB: the build for GPUs)\n"
        )


def missing_libraries() -> list[str]:
    """Return the Debian packages of system libraries that Qt needs and that are not there."""
    if sys.platform != "linux":
        return []
    missing = []
    for library, package in LIBRARIES.items():
        try:
            ctypes.CDLL(library)
        except OSError:
            missing.append(package)
    return missing


def lint() -> int:
    """Run every check that needs no test; returns the first failure."""
    checks = (
        (PYTHON, "-m", "ruff", "check", "."),
        (BIN / "lint-imports",),
        (PYTHON, "-m", "mypy"),
        (BIN / "npe2", "validate", "napari.yaml"),
    )
    return max([run(*check, check=False) for check in checks])


def run(*words: Path | str, check: bool = True, quiet: bool = False) -> int:
    """Run a program in the checkout; with `check`, stop here where it fails."""
    if not quiet:
        print("$", *words, flush=True)
    output = subprocess.DEVNULL if quiet else None
    command = [str(word) for word in words]
    status = subprocess.run(command, cwd=ROOT, check=False, stdout=output, stderr=output).returncode
    if check and status:
        sys.exit(status)
    return status


if __name__ == "__main__":
    sys.exit(main())
