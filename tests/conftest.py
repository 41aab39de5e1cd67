"""What every test needs: Qt without a screen, OpenGL answers without a GPU, and no user files."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

os.environ.setdefault("QT_QPA_PLATFORM", "offscreen")
os.environ["NAPARI_ENSURE_PLUGIN_MAIN_THREAD"] = "1"
os.environ.pop("NAPARI_SAM_MODELS", None)

_GL_EXTENSIONS = "GL_ARB_texture_float"
_GL_MAX_3D_TEXTURE_SIZE = 32883


def _has_qt() -> bool:
    try:
        from qtpy import QtWidgets  # noqa: F401
    except Exception:  # noqa: BLE001  (qtpy raises its own errors; a missing library raises ImportError)
        return False
    return True


HAS_QT = _has_qt()
collect_ignore = [] if HAS_QT else ["widgets", "viewer"]


def pytest_report_header() -> str:
    return "" if HAS_QT else "Qt cannot be loaded: tests of viewer and docks are left out"


@pytest.fixture(scope="session", autouse=True)
def _no_user_files(tmp_path_factory: pytest.TempPathFactory) -> None:
    """Keep the user's cache and settings out of the tests."""
    home = tmp_path_factory.mktemp("home")
    for name in ("XDG_CACHE_HOME", "XDG_CONFIG_HOME", "XDG_DATA_HOME", "LOCALAPPDATA"):
        os.environ[name] = str(home / name.lower())


@pytest.fixture(scope="session", autouse=True)
def _opengl_answers() -> None:
    """Answer vispy's questions about OpenGL where no driver does, so that layers can be added."""
    if not HAS_QT:
        return
    import napari._vispy.utils.gl  # noqa: F401
    from vispy.gloo import gl

    ask = gl.glGetParameter
    answers = {
        gl.GL_EXTENSIONS: _GL_EXTENSIONS,
        gl.GL_MAX_TEXTURE_SIZE: 16384,
        _GL_MAX_3D_TEXTURE_SIZE: 2048,
    }

    def answer(name: int) -> object:
        try:
            value = ask(name)
        except Exception:  # noqa: BLE001  (vispy fails in many ways without a driver)
            value = None
        return value or answers.get(name, value)

    gl.glGetParameter = answer


@pytest.fixture
def models_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder that NAPARI_SAM_MODELS names."""
    monkeypatch.setenv("NAPARI_SAM_MODELS", str(tmp_path))
    return tmp_path
