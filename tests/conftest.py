"""What every test stands on: no display, no user's files, a fixed seed."""

import atexit
import ctypes
import os
import random
import shutil
import sys
import tempfile
from pathlib import Path

import hypothesis
import numpy as np
import pytest

hypothesis.settings.register_profile("steady", deadline=None)  # machines are busy at times
hypothesis.settings.load_profile("steady")

HOME = Path(tempfile.mkdtemp(prefix="napari-sam-tests-"))
atexit.register(shutil.rmtree, HOME, ignore_errors=True)

# Before napari, Qt and pooch are imported: they read these once, and subprocesses inherit them.
os.environ.setdefault("QT_QPA_PLATFORM", "offscreen")
os.environ["NAPARI_CONFIG"] = str(HOME / "settings.yaml")
os.environ["NAPARI_ENSURE_PLUGIN_MAIN_THREAD"] = "1"
for variable in ("XDG_CACHE_HOME", "XDG_CONFIG_HOME", "XDG_DATA_HOME", "LOCALAPPDATA"):
    os.environ[variable] = str(HOME / variable.lower())
for variable in ("NAPARI_SAM_MODELS", "NAPARI_SAM_DATA", "MICROSAM_CACHEDIR"):
    os.environ.pop(variable, None)


def can_load(*libraries):
    """Tell whether Linux's shared libraries are here; elsewhere they come with the wheels."""
    try:
        for library in libraries if sys.platform == "linux" else ():
            ctypes.CDLL(library)
    except OSError:
        return False
    return True


def has_qt():
    """Tell whether a Qt binding is installed and finds its libraries."""
    try:
        import qtpy.QtWidgets  # noqa: F401
    except (ImportError, RuntimeError):
        return False
    return True


HAS_LAYERS = can_load("libfontconfig.so.1", "libGL.so.1")
HAS_QT = HAS_LAYERS and has_qt()
SHOWS_WINDOWS = HAS_QT and os.environ["QT_QPA_PLATFORM"] not in ("offscreen", "minimal")

collect_ignore = []
if not HAS_QT:
    collect_ignore.append("widgets")
if not HAS_LAYERS:
    collect_ignore.append("viewer")


def pytest_addoption(parser, pluginmanager):
    """Leave pytest-qt out where there is no Qt: it would end the run when it is configured."""
    plugin = pluginmanager.get_plugin("pytest-qt")
    if plugin is not None and not HAS_QT:
        pluginmanager.unregister(plugin)


def pytest_report_header():
    """Say which tests are not even collected."""
    return [f"napari-sam: Qt lacks a library: without tests/{name}" for name in collect_ignore]


def pytest_collection_modifyitems(items):
    """Skip what this machine lacks the means for."""
    window = "needs a window: run with QT_QPA_PLATFORM=xcb on a display, xvfb-run's for instance"
    needs = {
        "needs_gl": (SHOWS_WINDOWS, window),
        "needs_qt": (HAS_QT, "needs Qt: pip install 'napari-sam[all]'"),
        "needs_layers": (HAS_LAYERS, "needs libGL and fontconfig"),
    }
    for item in items:
        for marker, (is_met, reason) in needs.items():
            if marker in item.keywords and not is_met:
                item.add_marker(pytest.mark.skip(reason=reason))


@pytest.fixture(autouse=True)
def seed():
    """Start every test from the same state of chance."""
    random.seed(0)
    np.random.seed(0)  # noqa: NPY002 - libraries draw from it
    if "torch" in sys.modules:
        sys.modules["torch"].manual_seed(0)


@pytest.fixture(autouse=True)
def journals_folder(tmp_path_factory, monkeypatch):
    """A folder of its own for each test's journals, so that no session goes on from another's."""
    folder = tmp_path_factory.mktemp("journals")
    monkeypatch.setenv("NAPARI_SAM_JOURNALS", str(folder))
    return folder


@pytest.fixture
def models_folder(tmp_path, monkeypatch):
    """A folder that NAPARI_SAM_MODELS names."""
    monkeypatch.setenv("NAPARI_SAM_MODELS", str(tmp_path))
    return tmp_path


@pytest.fixture(scope="session")
def answers_without_gl():
    """Let napari build its layers where Qt has no OpenGL, as on the offscreen platform.

    napari asks OpenGL for its limits when a layer is added. Where the question fails, it gets the
    answers of an ordinary card; where OpenGL is there, OpenGL's own.
    """
    import napari._vispy.utils.gl  # noqa: F401 - it configures vispy, so it must be imported first
    from vispy.gloo import gl

    ordinary = {
        gl.GL_EXTENSIONS: "GL_ARB_texture_float",
        gl.GL_MAX_TEXTURE_SIZE: 16384,
        0x8073: 2048,  # GL_MAX_3D_TEXTURE_SIZE
    }
    ask = gl.glGetParameter

    def answer(parameter):
        try:
            value = ask(parameter)
        except (AttributeError, RuntimeError, OSError):
            if parameter not in ordinary:
                raise
            value = None
        return value or ordinary.get(parameter, value)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(gl, "glGetParameter", answer)
        yield


if HAS_QT:

    @pytest.fixture
    def make_napari_viewer(answers_without_gl, make_napari_viewer):
        """napari's fixture, also where there is no OpenGL."""
        return make_napari_viewer
