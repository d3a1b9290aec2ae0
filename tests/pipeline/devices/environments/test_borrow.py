"""Packages of another environment: found where they are, and one line where that environment does not run."""

from __future__ import annotations

import sys
from pathlib import Path

import pytest

from tvmopt.pipeline.devices.environments import borrow as module
from tvmopt.pipeline.devices.environments.borrow import borrow
from tvmopt.pipeline.devices.environments.registry import Environment
from tvmopt.pipeline.errors import RuntimeMissingError

ANSWER = Environment("answer", "Answers.", ("answer",), ("answer_to_all",), ((3, 11), (3, 99)), 1)


@pytest.fixture(name="python")
def _python(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A program that stands for the environment's Python; the test writes it."""
    path = tmp_path / "python"
    path.touch(mode=0o755)
    monkeypatch.setenv(ANSWER.variable, str(path))
    monkeypatch.setattr(sys, "path", list(sys.path))
    return path


def say(python: Path, text: str) -> None:
    python.write_text(f"#!/bin/sh\n{text}\n")


@pytest.mark.parametrize(("first", "place"), [(False, -1), (True, 0)])
def test_its_packages_come_first_or_last(python: Path, tmp_path: Path, first: bool, place: int) -> None:
    folder = f"{tmp_path} with a blank"
    say(python, f"echo {sys.version_info[0]} {sys.version_info[1]} '{folder}'")
    borrow(ANSWER, "Answer", first=first)
    borrow(ANSWER, "Answer", first=first)
    assert sys.path[place] == folder
    assert sys.path.count(folder) == 1


def test_another_release_of_python(python: Path) -> None:
    say(python, "echo 2 7 /packages")
    with pytest.raises(RuntimeError, match=r"Answer's environment has Python 2\.7, it must be 3\.\d+ as here"):
        borrow(ANSWER, "Answer")


@pytest.mark.parametrize(
    ("text", "reason"), [("exec sleep 60", "timed out after 0.1 seconds"), ("exit 3", "non-zero exit status 3")]
)
def test_a_python_that_hangs_or_fails(python: Path, monkeypatch: pytest.MonkeyPatch, text: str, reason: str) -> None:
    say(python, text)
    monkeypatch.setattr(module, "_TIME_S", 0.1)
    with pytest.raises(RuntimeError, match=f"the Python of Answer's environment does not run: .*{reason}"):
        borrow(ANSWER, "Answer")


def test_no_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(ANSWER.variable, "/no/such/python")
    with pytest.raises(RuntimeMissingError, match="is not a Python"):
        borrow(ANSWER, "Answer")
