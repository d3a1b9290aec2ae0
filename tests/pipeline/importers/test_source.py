from __future__ import annotations

import os
from pathlib import Path

import pytest

from tvmopt.pipeline.errors import InputFileError, TvmoptError, UsageError
from tvmopt.pipeline.importers.registry import listed_forms
from tvmopt.pipeline.importers.source import model_name, parse_source


@pytest.fixture(autouse=True)
def _folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    Path("net.onnx").write_bytes(b"x")
    Path("net.pt2").write_bytes(b"x")
    Path("net.py").write_text("def build(): pass\ndef other(): pass\ndef _hidden(): pass\nmade = lambda: 1\n")
    Path("folder.onnx").mkdir()


@pytest.mark.parametrize(
    ("spec", "kind", "factory", "name"),
    [
        ("net.onnx", "onnx", None, "net"),
        ("./net.pt2", "pt2", None, "net"),
        ("net.py:build", "python", "build", "net"),
        ("net.py:other", "python", "other", "net_other"),
        ("net.py:made", "python", "made", "net_made"),
    ],
)
def test_accepted_specs(spec: str, kind: str, factory: str | None, name: str) -> None:
    source = parse_source(spec)
    assert (source.spec, source.kind, source.factory, model_name(source)) == (spec, kind, factory, name)
    assert source.path.is_file()


@pytest.mark.parametrize(
    ("spec", "error", "parts"),
    [
        ("", UsageError, ["no model given", "file.onnx"]),
        ("net\0.onnx", UsageError, ["zero byte"]),
        ("nut.onnx", InputFileError, ["nut.onnx", "does not exist", "did you mean net.onnx?"]),
        ("nowhere/net.onnx", InputFileError, ["does not exist", "no folder 'nowhere'"]),
        ("folder.onnx", InputFileError, ["is a folder", "file.onnx"]),
        (".", InputFileError, ["is a folder"]),
        ("net.mat", InputFileError, [".mat file", listed_forms()]),
        ("net", InputFileError, ["without suffix"]),
        ("net.pt", InputFileError, ["pickle (.pt)", "torch.export.save", ".pt2"]),
        ("net.pth", InputFileError, ["pickle (.pth)", "file.py:factory"]),
        ("net.safetensors", InputFileError, ["weights but no model"]),
        ("net.onnx:build", UsageError, ["takes no factory", "'build'"]),
        ("net.py", UsageError, ["net.py:build", "its functions are build, other"]),
        ("net.py:", UsageError, ["its functions are build, other"]),
        ("net.py:biuld", InputFileError, ["'biuld'", "did you mean build?", "build, other"]),
        ("net.py:_hiden", InputFileError, ["'_hiden'"]),
    ],
)
def test_refused_specs(spec: str, error: type[TvmoptError], parts: list[str]) -> None:
    with pytest.raises(error) as raised:
        parse_source(spec)
    message = str(raised.value)
    assert "\n" not in message
    assert [part for part in parts if part not in message] == []


@pytest.mark.parametrize(
    ("code", "spec", "message"),
    [
        ("def build(:\n", "bad.py:build", "line 1: not Python"),
        ("x = 1\n", "bad.py", "defines no function"),
        ("x = 1\n", "bad.py:build", "defines no function"),
        ("x = '\0'\n", "bad.py:build", "not Python"),
    ],
)
def test_bad_python_files(code: str, spec: str, message: str) -> None:
    Path("bad.py").write_text(code)
    with pytest.raises(TvmoptError, match=message):
        parse_source(spec)


def test_the_file_is_not_run() -> None:
    Path("loud.py").write_text("raise SystemExit(1)\ndef build(): pass\n")
    assert parse_source("loud.py:build").factory == "build"


def test_a_factory_may_come_from_a_star_import() -> None:
    Path("star.py").write_text("from other import *\n")
    assert parse_source("star.py:anything").factory == "anything"


@pytest.mark.skipif(not hasattr(os, "mkfifo"), reason="named pipes are POSIX")
def test_a_pipe_is_refused_and_not_waited_for() -> None:
    os.mkfifo("pipe.onnx")
    with pytest.raises(InputFileError, match="not a regular file"):
        parse_source("pipe.onnx")
