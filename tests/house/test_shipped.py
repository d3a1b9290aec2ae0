"""An installed tvmopt contains every package, and the data files beside its code."""

from __future__ import annotations

import configparser
from pathlib import Path

import pytest

from tvmopt.pipeline.support.shipped import shipped

TOPS = ("benchmarks", "pipeline", "schedules")
DATA = ("models", "tuning_logs")


@pytest.fixture(scope="module", name="config")
def _config(repository: Path) -> configparser.ConfigParser:
    config = configparser.ConfigParser()
    config.read(repository / "setup.cfg")
    return config


def test_every_package_is_installed(config: configparser.ConfigParser, repository: Path) -> None:
    folders = [path.parent.relative_to(repository) for top in TOPS for path in (repository / top).rglob("__init__.py")]
    expected = {f"tvmopt.{'.'.join(path.parts)}" for path in folders}
    own = [path.parent.relative_to(repository) for path in (repository / "tvmopt").rglob("__init__.py")]
    expected |= {".".join(path.parts) for path in own}
    expected |= {f"tvmopt.{name}" for name in DATA}
    listed = config["options"]["packages"].split()
    assert listed == sorted(set(listed))
    assert set(listed) == expected


def test_every_file_that_is_no_code_is_installed(config: configparser.ConfigParser, repository: Path) -> None:
    """A file that no glob matches would be missing from installations only."""
    found = set()
    for package, globs in config["options.package_data"].items():
        parts = package.split(".")[1:]
        folder = (
            repository.joinpath(*parts)
            if parts and parts[0] in (*TOPS, *DATA)
            else repository.joinpath("tvmopt", *parts)
        )
        for glob in globs.replace(",", " ").split():
            found |= {path for path in folder.glob(glob) if path.is_file()}
    there = {path for name in (*TOPS, *DATA, "tvmopt") for path in (repository / name).rglob("*") if path.is_file()}
    left = {path.relative_to(repository) for path in there - found if path.suffix not in {".py", ".pyc"}}
    assert [path for path in left if not stays_in_the_repository(path)] == []


def stays_in_the_repository(path: Path) -> bool:
    """Whether it documents the repository, or is one of the project's own measurements."""
    return len(path.parts) == 2 or path.parts[:2] == ("benchmarks", "results")


def test_a_checkout_uses_its_own(repository: Path) -> None:
    assert shipped("models") == repository / "models"
    assert (shipped("models") / "mobilenet_v2.py").is_file()
