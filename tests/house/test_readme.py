"""What the README tells a reader to type exists."""

from __future__ import annotations

import ast
import importlib
import os
import re
import shlex
from pathlib import Path

import click
import pytest

from tvmopt.cli import COMMANDS, tvmopt

SHELL = re.compile(r"^```(?:sh|bash|console)\n(.*?)^```", re.MULTILINE | re.DOTALL)
LINK = re.compile(r"\]\((?!https?:|#)([^)#]+)")


def commands(text: str) -> list[list[str]]:
    """The words of each command in the shell blocks of `text`, prompts and comments left out."""
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


def test_modules_exist(readme: str) -> None:
    for words in commands(readme):
        if words[:2] == ["python", "-m"]:
            assert importlib.util.find_spec(words[2]) is not None, words
