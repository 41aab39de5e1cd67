"""napari finds the plugin. It drops a manifest that it cannot read with no more than a warning."""

import importlib
import subprocess
import sys
from pathlib import Path

import npe2
import pytest
import yaml

import napari_sam

MANIFEST = Path(napari_sam.__file__).with_name("napari.yaml")
COMMANDS = yaml.safe_load(MANIFEST.read_text(encoding="utf-8"))["contributions"]["commands"]


@pytest.fixture(scope="module")
def manifest():
    manager = npe2.PluginManager()
    manager.discover()
    return manager.get_manifest("napari-sam")


def test_it_is_installed_as_a_plugin(manifest):
    assert manifest.package_metadata.name == "napari-sam"
    assert manifest.package_version == napari_sam.__version__


def test_it_offers_two_docks_and_two_samples(manifest):
    offers = manifest.contributions
    assert {dock.display_name for dock in offers.widgets} == {"Segment", "Everything"}
    assert {sample.key for sample in offers.sample_data} == {"coins", "nuclei"}
    in_menu = {item.command for item in offers.menus["napari/layers/segment"]}
    assert in_menu == {dock.command for dock in offers.widgets}


@pytest.mark.needs_qt
@pytest.mark.parametrize("command", COMMANDS, ids=lambda command: command["id"])
def test_every_command_leads_somewhere(command):
    module, name = command["python_name"].split(":")
    assert callable(getattr(importlib.import_module(module), name))


def test_npe2_calls_it_valid():
    validate = [sys.executable, "-m", "npe2", "validate", "napari-sam"]
    result = subprocess.run(validate, capture_output=True, text=True, check=False)
    assert result.returncode == 0, result.stdout + result.stderr


def test_the_link_at_the_top_shows_the_manifest():
    link = Path(__file__).parents[1] / "napari.yaml"
    if not link.is_symlink():
        pytest.skip("a checkout without links")
    assert link.resolve() == MANIFEST.resolve()
