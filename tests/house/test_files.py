"""Rules for every file of the repository."""

from __future__ import annotations

import re
import subprocess
from pathlib import Path

import pytest

MAX_LINES = 400
MAX_SIDE_BY_SIDE = 15
UNCOUNTED = {"__init__.py", "__pycache__", "README.md"}

# Folders of one machine, and settings that name a package registry.
MACHINE_PATH = re.compile(r"(?<![\w.~)}>])/(?:home|mnt|opt|root|tmp|Users|work)/|\b[A-Z]:\\\\?Users")
REGISTRY_SETTING = re.compile(r"(?:extra-)?index-url|find-links")
ADDRESS = re.compile(r"\bhttps?://([\w-]+(?:\.[\w-]+)+)")

# The hosts to which links may point: licences, conventions, papers, specifications.
HOSTS = {"arxiv.org", "doi.org", "keepachangelog.com", "semver.org", "www.apache.org", "www.w3.org"}
HOSTS |= {"git-lfs.github.com"}  # in the first line of a Git LFS pointer


def files(repository: Path) -> list[Path]:
    """Every file that git keeps, or would keep."""
    command = ["git", "ls-files", "-z", "--cached", "--others", "--exclude-standard"]
    done = subprocess.run(command, cwd=repository, capture_output=True, text=True, check=True)
    paths = sorted({repository / name for name in done.stdout.split("\0") if name})
    return [path for path in paths if path.is_file()]


def text_lines(path: Path) -> list[str]:
    """The lines of a text file; none for other files."""
    try:
        return path.read_text(encoding="utf-8").splitlines()
    except UnicodeDecodeError:
        return []


def places(repository: Path, path: Path, pattern: re.Pattern[str]) -> list[str]:
    name = path.relative_to(repository)
    return [
        f"{name}:{number}: {line.strip()[:100]}"
        for number, line in enumerate(text_lines(path), 1)
        if pattern.search(line)
    ]


@pytest.fixture(scope="module", name="paths")
def _paths(request: pytest.FixtureRequest) -> list[Path]:
    return files(request.config.rootpath)


def test_python_files_are_short(paths: list[Path]) -> None:
    lengths = {path: len(text_lines(path)) for path in paths if path.suffix == ".py"}
    assert {str(path): length for path, length in lengths.items() if length > MAX_LINES} == {}


def test_no_file_names_a_folder_of_one_machine(paths: list[Path], repository: Path) -> None:
    assert [place for path in paths for place in places(repository, path, MACHINE_PATH)] == []


def test_no_file_says_where_packages_come_from(paths: list[Path], repository: Path) -> None:
    here = Path(__file__)
    assert [place for path in paths if path != here for place in places(repository, path, REGISTRY_SETTING)] == []


def test_links_lead_to_known_hosts(paths: list[Path]) -> None:
    found = {(host, path.name) for path in paths for line in text_lines(path) for host in ADDRESS.findall(line)}
    assert {(host, name) for host, name in found if host not in HOSTS} == set()


def test_folders_of_code_can_be_taken_in_at_a_glance(repository: Path) -> None:
    counts = {}
    for top in ("benchmarks", "pipeline", "schedules", "tvmopt", "tests"):
        for folder in (repository / top, *(path for path in (repository / top).rglob("*") if path.is_dir())):
            inside = [path.name for path in folder.iterdir() if path.name not in UNCOUNTED]
            if any(name.endswith(".py") for name in inside) and folder != repository / "tvmopt" / "cli":
                counts[str(folder.relative_to(repository))] = len(inside)
    assert {folder: count for folder, count in counts.items() if count > MAX_SIDE_BY_SIDE} == {}


def test_files_and_folders_at_the_top(paths: list[Path], repository: Path) -> None:
    folders = {".ci", "benchmarks", "models", "pipeline", "schedules", "tests", "tuning_logs", "tvmopt"}
    documents = {"CHANGELOG.md", "CONTRIBUTING.md", "LICENSE", "README.md", "SECURITY.md"}
    settings = {".gitignore", ".pre-commit-config.yaml", "noxfile.py", "pyproject.toml", "setup.cfg"}
    assert {path.relative_to(repository).parts[0] for path in paths} <= folders | documents | settings
