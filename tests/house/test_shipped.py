"""What comes with an installed tvmopt beside its code."""

from __future__ import annotations

import configparser
from pathlib import Path

from tvmopt.shipped import shipped


def installed_files(repository: Path) -> set[Path]:
    """What setup.cfg's globs find, each in the folder that it is installed to."""
    config = configparser.ConfigParser()
    config.read(repository / "setup.cfg")
    found = set()
    for folder, globs in config["options.data_files"].items():
        for glob in globs.split():
            for path in repository.glob(glob):
                assert Path("share/tvmopt") / path.parent.relative_to(repository) == Path(folder), folder
                found.add(path)
    return found


def test_every_network_and_every_record_is_installed(repository: Path) -> None:
    records = (path for path in (repository / "tuning_logs").rglob("*") if path.suffix in {".jsonl", ".md"})
    assert installed_files(repository) == {*(repository / "models").glob("*.py"), *records}


def test_a_checkout_uses_its_own(repository: Path) -> None:
    assert shipped("models") == repository / "models"
    assert (shipped("models") / "mobilenet_v2.py").is_file()
