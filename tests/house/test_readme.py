"""The README's commands exist, its Python runs, and each folder's README shows the folder."""

from __future__ import annotations

import ast
import importlib
import os
import re
import shlex
import subprocess
import sys
from pathlib import Path

import click
import pytest

from tests.conftest import RunTvmopt
from tvmopt.cli import COMMANDS, tvmopt

SHELL = re.compile(r"^```(?:sh|bash|console)\n(.*?)^```", re.MULTILINE | re.DOTALL)
PYTHON = re.compile(r"^```python\n(.*?)^```", re.MULTILINE | re.DOTALL)
ARTIFACT = re.compile(r"load_artifact\(Path\(\"([^\"]+\.tar)\"\)")
TREE = re.compile(r"^```\n(.*?)^```", re.MULTILINE | re.DOTALL)
LINK = re.compile(r"\]\((?!https?:|#)([^)#]+)")


def commands(text: str) -> list[list[str]]:
    """The words of each command in the shell blocks of `text`, without prompts and comments."""
    blocks = "".join(SHELL.findall(text)).replace("\\\n", " ")
    lines = (shlex.split(line.removeprefix("$ "), comments=True) for line in blocks.splitlines())
    return [words for line in lines if line for words in split_at_operators(line)]


def split_at_operators(words: list[str]) -> list[list[str]]:
    parts: list[list[str]] = [[]]
    for word in words:
        if word in {"&&", ";", "|"}:
            parts.append([])
        else:
            parts[-1].append(word)
    return parts


@pytest.fixture(scope="module", name="readme")
def _readme(request: pytest.FixtureRequest) -> str:
    return (request.config.rootpath / "README.md").read_text()


def test_tvmopt_commands_and_their_options_exist(readme: str) -> None:
    used = [words[1:] for words in commands(readme) if Path(words[0]).name == "tvmopt"]
    assert used
    for name, *rest in used:
        if name.startswith("-"):
            continue
        assert name in COMMANDS
        context = click.Context(tvmopt)
        command: click.Command | None = tvmopt.get_command(context, name)
        if isinstance(command, click.Group):
            command = command.get_command(context, rest[0])
        assert command is not None, (name, rest)
        known = {option for parameter in command.params for option in parameter.opts} | {"--help", "-h"}
        assert {word.split("=")[0] for word in rest if word.startswith("-")} <= known


def test_nox_sessions_exist(readme: str, repository: Path) -> None:
    tree = ast.parse((repository / "noxfile.py").read_text())
    sessions = {node.name for node in tree.body if isinstance(node, ast.FunctionDef) and node.decorator_list}
    for words in commands(readme):
        if Path(words[0]).name == "nox":
            assert {word for word in words[1:] if not word.startswith("-")} <= sessions
        elif words[0] == ".ci/run":
            assert set(words[1:]) <= sessions


def test_scripts_and_links_lead_somewhere(readme: str, repository: Path) -> None:
    for link in LINK.findall(readme):
        assert (repository / link).exists(), link
    assert os.access(repository / ".ci" / "run", os.X_OK)


@pytest.mark.slow
def test_python_runs(readme: str, repository: Path, tmp_path: Path, run_tvmopt: RunTvmopt) -> None:
    """Each snippet runs unchanged, after the README's own command has compiled the artifact that it loads."""
    snippets = PYTHON.findall(readme)
    assert snippets
    (tmp_path / "models").symlink_to(repository / "models")
    for artifact in {name for snippet in snippets for name in ARTIFACT.findall(snippet)}:
        (words,) = (words for words in commands(readme) if words[:2] == ["tvmopt", "compile"] and artifact in words)
        built = run_tvmopt(*words[1:], timeout_s=270.0)
        assert built.returncode == 0, built.stderr
    for snippet in snippets:
        command = [sys.executable, "-c", snippet]
        done = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, timeout=200.0, check=False)
        assert done.returncode == 0, (snippet, done.stderr)


@pytest.mark.parametrize("top", ["benchmarks", "pipeline", "schedules", "tvmopt"])
def test_a_folders_readme_shows_every_room(top: str, repository: Path) -> None:
    folder = repository / top
    (tree,) = TREE.findall((folder / "README.md").read_text())
    shown = {line.split()[0].rstrip("/") for line in tree.splitlines()[1:]}
    assert {name for name in shown if not (folder / name).exists()} == set()
    assert {path.parent.name for path in folder.glob("*/__init__.py")} <= shown


@pytest.mark.parametrize("name", ["CONTRIBUTING.md", "SECURITY.md", "models/README.md"])
def test_links_of_other_documents_lead_somewhere(name: str, repository: Path) -> None:
    path = repository / name
    for link in LINK.findall(path.read_text()):
        assert (path.parent / link).exists(), link


def test_modules_exist(readme: str) -> None:
    for words in commands(readme):
        if words[:2] == ["python", "-m"]:
            assert importlib.util.find_spec(words[2]) is not None, words
