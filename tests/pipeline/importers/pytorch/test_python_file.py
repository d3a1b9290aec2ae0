from __future__ import annotations

import sys
from pathlib import Path

import pytest

from tvmopt.pipeline.errors import InputFileError, TvmoptError, UnsupportedModelError
from tvmopt.pipeline.importers.pytorch.python_file import call_factory
from tvmopt.pipeline.types import ModelSource


def call(folder: Path, code: str, factory: str = "build") -> object:
    path = folder / "net.py"
    path.write_text(code)
    return call_factory(ModelSource(f"net.py:{factory}", "python", path, factory))


def test_the_factory_is_called(tmp_path: Path) -> None:
    assert call(tmp_path, "def build(size=3): return size") == 3


def test_the_file_is_a_module_that_nothing_else_imports(tmp_path: Path) -> None:
    code = "from dataclasses import dataclass\n@dataclass\nclass A:\n    x: int\ndef build(): return A(1), __name__"
    _, name = call(tmp_path, code)  # type: ignore[misc]  # whatever the factory returns
    assert name.startswith("_tvmopt_model_")
    assert "net" not in sys.modules


def test_files_beside_it_can_be_imported_but_hide_nothing(tmp_path: Path) -> None:
    (tmp_path / "net_parts.py").write_text("WIDTH = 7")
    (tmp_path / "json.py").write_text("raise RuntimeError")
    before = list(sys.path)
    assert call(tmp_path, "from net_parts import WIDTH\nimport json\ndef build(): return WIDTH") == 7
    assert sys.path == before


@pytest.mark.parametrize("first", ["", "."], ids=["interactive", "python -m"])
def test_files_beside_it_come_before_the_working_directory(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, first: str
) -> None:
    beside, working = tmp_path / "beside", tmp_path / "working"
    for folder, width in ((beside, 7), (working, 8)):
        folder.mkdir()
        (folder / "own_parts.py").write_text(f"WIDTH = {width}")
    (working / "more_parts.py").write_text("DEPTH = 9")
    monkeypatch.chdir(working)
    monkeypatch.syspath_prepend(first and str(working))
    before = list(sys.path)
    code = "from own_parts import WIDTH\nfrom more_parts import DEPTH\ndef build(): return WIDTH, DEPTH"
    try:
        assert call(beside, code) == (7, 9)
    finally:
        for name in ("own_parts", "more_parts"):
            sys.modules.pop(name, None)
    assert sys.path == before


def test_nothing_is_written_beside_the_file(tmp_path: Path) -> None:
    call(tmp_path, "def build(): return 1")
    assert [path.name for path in tmp_path.iterdir()] == ["net.py"]


@pytest.mark.parametrize(
    ("code", "error", "message"),
    [
        (
            "import nothing_of_this_name\ndef build(): pass",
            InputFileError,
            "ModuleNotFoundError at net.py:1: No module",
        ),
        ("x = 1\n1 / 0", InputFileError, "ZeroDivisionError at net.py:2"),
        ("import sys\nsys.exit(4)", InputFileError, "SystemExit at net.py:2: 4"),
        ("x = 1", InputFileError, "defined no 'build'"),
        ("build = 3", UnsupportedModelError, "'build' is a int: a function"),
        ("def build(width, depth, *, act, extra=1, **rest): pass", UnsupportedModelError, "needs width, depth, act"),
        (
            "def build():\n    raise KeyError('lost')",
            UnsupportedModelError,
            r"build\(\) raised KeyError at net.py:2: 'lost'",
        ),
        ("def build():\n    raise ValueError('a\\nb')", UnsupportedModelError, "ValueError at net.py:2: a b$"),
        ("def build():\n    exit(1)", UnsupportedModelError, "SystemExit at net.py:2"),
        ("def inner():\n    1 / 0\ndef build():\n    inner()", UnsupportedModelError, "net.py:2: division by zero"),
        ("import json\ndef build():\n    json.loads('{')", UnsupportedModelError, "JSONDecodeError at net.py:3"),
    ],
)
def test_code_that_fails(tmp_path: Path, code: str, error: type[TvmoptError], message: str) -> None:
    with pytest.raises(error, match=message):
        call(tmp_path, code)
