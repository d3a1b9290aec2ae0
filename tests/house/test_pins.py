"""The environment that tests run in is the one that setup.cfg describes."""

from __future__ import annotations

import configparser
from importlib import metadata
from pathlib import Path

import pytest
from packaging.requirements import Requirement


def requirements(repository: Path, section: str, option: str) -> list[Requirement]:
    config = configparser.ConfigParser()
    config.read(repository / "setup.cfg")
    lines = (line.strip() for line in config[section][option].splitlines())
    return [Requirement(line) for line in lines if line and not line.startswith("#")]


def wrong(needed: list[Requirement]) -> dict[str, str]:
    """Installed versions that are not what was asked for."""
    versions = {str(requirement): metadata.version(requirement.name) for requirement in needed}
    return {text: version for text, version in versions.items() if not Requirement(text).specifier.contains(version)}


def test_core(repository: Path) -> None:
    assert wrong(requirements(repository, "options", "install_requires")) == {}


@pytest.mark.parametrize("extra", ["torch", "openvino", "compare", "data"])
def test_extra(extra: str, repository: Path) -> None:
    needed = requirements(repository, "options.extras_require", extra)
    try:
        assert wrong(needed) == {}
    except metadata.PackageNotFoundError as error:
        pytest.skip(f"the extra {extra} is not installed: no {error.name}")
