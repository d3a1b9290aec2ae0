"""The tests run in the environment that setup.cfg describes."""

from __future__ import annotations

import ast
import configparser
import sys
from importlib import metadata
from pathlib import Path

import pytest
from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

from tests.conftest import ROOT

FOLDERS = ("benchmarks", "pipeline", "schedules", "tvmopt")


def extras() -> set[str]:
    config = configparser.ConfigParser()
    config.read(ROOT / "setup.cfg")
    return set(config["options.extras_require"])


def requirements(repository: Path, section: str, option: str) -> list[Requirement]:
    config = configparser.ConfigParser()
    config.read(repository / "setup.cfg")
    lines = (line.strip() for line in config[section][option].splitlines())
    return [Requirement(line) for line in lines if line and not line.startswith("#")]


def wrong(needed: list[Requirement]) -> dict[str, str]:
    """Installed versions that do not match the requirements."""
    versions = {str(requirement): metadata.version(requirement.name) for requirement in needed}
    return {text: version for text, version in versions.items() if not Requirement(text).specifier.contains(version)}


def test_core(repository: Path) -> None:
    assert wrong(requirements(repository, "options", "install_requires")) == {}


@pytest.mark.parametrize("extra", sorted(extras()))
def test_extra(extra: str, repository: Path) -> None:
    needed = requirements(repository, "options.extras_require", extra)
    try:
        assert wrong(needed) == {}
    except metadata.PackageNotFoundError as error:
        pytest.skip(f"the extra {extra} is not installed: no {error.name}")


def test_every_import_is_declared(repository: Path) -> None:
    """A package that only another package installs would vanish if that package dropped it."""
    declared = {canonicalize_name(r.name) for r in requirements(repository, "options", "install_requires")}
    for extra in extras():
        declared |= {canonicalize_name(r.name) for r in requirements(repository, "options.extras_require", extra)}
    homes = metadata.packages_distributions()
    undeclared = {}
    for folder in FOLDERS:
        for path in (repository / folder).rglob("*.py"):
            for name in imported(path) - set(sys.stdlib_module_names) - {"tvmopt"}:
                if name in homes and not declared & {canonicalize_name(home) for home in homes[name]}:
                    undeclared[name] = str(path.relative_to(repository))
    assert undeclared == {}


def imported(path: Path) -> set[str]:
    """Top-level names of what the file at `path` imports, at its top or inside functions."""
    names: set[str] = set()
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.Import):
            names |= {alias.name.partition(".")[0] for alias in node.names}
        elif isinstance(node, ast.ImportFrom) and node.module:
            names.add(node.module.partition(".")[0])
    return names
