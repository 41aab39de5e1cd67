"""What `import napari_sam` offers, and what it costs."""

import inspect
import json
import subprocess
import sys
import time

import pytest

import napari_sam

HEAVY = ("torch", "napari", "qtpy", "zarr", "dask", "skimage", "scipy")


def loaded_by(statement, warnings="error"):
    """Return which of the heavy packages a fresh interpreter has loaded after a statement."""
    script = f"{statement}\nimport json, sys\nprint(json.dumps(sorted(sys.modules)))"
    command = [sys.executable, "-W", warnings, "-c", script]
    output = subprocess.run(command, check=True, capture_output=True, text=True).stdout
    return set(HEAVY) & set(json.loads(output))


def test_the_check_sees_what_is_loaded():
    assert "skimage" in loaded_by("import skimage")


@pytest.mark.parametrize(
    "statement",
    [
        "import napari_sam",
        "from napari_sam.cli.main import build_parser; build_parser()",
        "import napari_sam.viewer.sample_data",
    ],
)
def test_importing_is_light(statement):
    assert loaded_by(statement) == set()


@pytest.mark.needs_qt
def test_docks_load_no_torch_before_they_are_used():
    assert "torch" not in loaded_by("import napari_sam.widgets")
    assert "torch" not in loaded_by("import napari_sam.widgets.segment", "ignore")
    assert "torch" not in loaded_by("from napari_sam.model import known_models; known_models()")


@pytest.mark.needs_layers
@pytest.mark.parametrize("name", [name for name in napari_sam.__all__ if name != "__version__"])
def test_every_public_name_loads_and_is_documented(name):
    public = getattr(napari_sam, name)
    assert public.__name__ == name
    assert inspect.getdoc(public)


def test_public_names_are_listed():
    assert set(napari_sam.__all__) <= set(dir(napari_sam))


def test_other_names_are_refused():
    with pytest.raises(AttributeError, match="no attribute 'segment_anything'"):
        napari_sam.segment_anything  # noqa: B018


def test_help_answers_at_once():
    def seconds():
        start = time.perf_counter()
        command = [sys.executable, "-c", "from napari_sam.cli import main; main(['--help'])"]
        result = subprocess.run(command, check=True, capture_output=True, text=True)
        assert "usage: napari-sam" in result.stdout
        return time.perf_counter() - start

    assert min(seconds() for _ in range(3)) < 2
