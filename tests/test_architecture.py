"""The house is cut as docs/design.md says: imports, and the sizes of files and functions."""

import ast
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
FILES = sorted((ROOT / "src").rglob("*.py")) + sorted((ROOT / "tests").rglob("*.py"))
LONGEST_FILE = 400
LONGEST_FUNCTION = 60
VAGUE = {"base", "common", "core", "helper", "helpers", "manager", "misc", "util", "utils"}


def name(path):
    return path.relative_to(ROOT).as_posix()


def read(path):
    return path.read_text(encoding="utf-8")


def long_functions(source):
    """Yield name and length of every function that is too long; a docstring does not count."""
    for node in ast.walk(ast.parse(source)):
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef):
            first = node.body[0]
            has_docstring = ast.get_docstring(node, clean=False) is not None
            docstring = first.end_lineno - first.lineno + 1 if has_docstring else 0
            length = node.end_lineno - node.lineno + 1 - docstring
            if length > LONGEST_FUNCTION:
                yield node.name, length


def test_the_measure_finds_a_long_function():
    body = "    x = 1\n" * LONGEST_FUNCTION
    assert list(long_functions(f'def f():\n    """Doc."""\n{body}')) == [("f", 61)]
    assert not list(long_functions(f'def f():\n    """Doc.\n\n    More.\n    """\n{body[10:]}'))


def test_files_are_short():
    lengths = {name(path): len(read(path).splitlines()) for path in FILES}
    assert {path: length for path, length in lengths.items() if length > LONGEST_FILE} == {}


def test_functions_are_short():
    assert [(name(path), *found) for path in FILES for found in long_functions(read(path))] == []


def test_no_file_has_a_vague_name():
    assert [name(path) for path in FILES if path.stem.strip("_") in VAGUE] == []


def test_imports_keep_to_the_layers():
    pytest.importorskip("importlinter")
    script = "import sys; from importlinter.cli import lint_imports; sys.exit(lint_imports())"
    result = subprocess.run(
        [sys.executable, "-c", script], cwd=ROOT, capture_output=True, text=True, check=False
    )
    assert result.returncode == 0, result.stdout + result.stderr
