"""What the README and the docs show works: Python blocks are run, shell lines are parsed."""

import re
import shlex
from pathlib import Path

import pytest

from napari_sam.cli.main import build_parser

ROOT = Path(__file__).parents[1]
PAGES = [ROOT / "README.md", *sorted((ROOT / "docs").glob("*.md"))]
TEXTS = {page.name: page.read_text(encoding="utf-8") for page in PAGES}
LINK = re.compile(r"\]\((?!https?:)([^)#]+)")


def blocks(text, language):
    return re.findall(rf"^```{language}\n(.*?)^```$", text, re.DOTALL | re.MULTILINE)


COMMANDS = [
    line
    for text in TEXTS.values()
    for block in blocks(text, "bash")
    for line in block.splitlines()
    if line.startswith("napari-sam ")
]


DOCS_WITH_CODE = [
    name for name, text in TEXTS.items() if name != "README.md" and blocks(text, "python")
]


def run_page(name):
    """Run a page's Python blocks, one after another, and return the names they define."""
    names = {}
    for block in blocks(TEXTS[name], "python"):
        exec(compile(block, name, "exec"), names)
    return names


def test_the_readme_finds_coins():
    names = run_page("README.md")
    assert names["coin"].shape == names["labels"].shape == (303, 384)
    assert names["coin"][50, 155]
    assert names["labels"].max() >= 20


@pytest.mark.needs_layers
@pytest.mark.parametrize("name", DOCS_WITH_CODE)
def test_python_blocks_run(name, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    assert run_page(name)


@pytest.mark.parametrize("command", COMMANDS)
def test_commands_are_understood(command):
    assert build_parser().parse_args(shlex.split(command)[1:]).run


def test_links_lead_somewhere():
    targets = [
        (page, page.parent / link) for page in PAGES for link in LINK.findall(TEXTS[page.name])
    ]
    assert len(targets) > 10
    assert [(page.name, target.name) for page, target in targets if not target.exists()] == []
