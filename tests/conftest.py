"""What all tests share: the command line in a process of its own, and the same random numbers every time."""

from __future__ import annotations

import os
import random
import subprocess
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Protocol

import numpy as np
import pytest

ROOT = Path(__file__).resolve().parents[1]
MANY_PROCESSES = (
    "benchmarks/test_compare.py",
    "benchmarks/test_supervisor.py",
    "cli/test_bad_input.py",
    "cli/test_compare.py",
    "cli/test_compile.py",
    "cli/test_inspect.py",
    "cli/test_profile.py",
    "cli/test_report.py",
    "cli/test_verify.py",
    "deploy/test_run_model.py",
    "models/test_models.py",
    "pipeline/importers/test_pt2_archive.py",
    "pipeline/importers/test_pytorch.py",
    "pipeline/test_journal.py",
    "pipeline/test_verify.py",
    "benchmarks/test_profile.py",
    "benchmarks/profilers/test_profilers.py",
    "schedules/llvm/test_sweep.py",
)
"""Files of tests that take a second or two each, and there are many of them: slow as a whole."""


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Leaves the files of `MANY_PROCESSES` out of the quick set."""
    for item in items:
        if item.path.is_relative_to(ROOT / "tests") and str(item.path.relative_to(ROOT / "tests")) in MANY_PROCESSES:
            item.add_marker("slow")


class RunTvmopt(Protocol):
    """Run ``tvmopt`` with `arguments`, in the test's temporary folder unless `cwd` says otherwise."""

    def __call__(
        self,
        *arguments: str | os.PathLike[str],
        timeout_s: float = 120.0,
        cwd: Path | None = None,
        environment: Mapping[str, str] | None = None,
    ) -> subprocess.CompletedProcess[str]: ...


@pytest.fixture
def run_tvmopt(tmp_path: Path) -> RunTvmopt:
    """Run the command line as a user does: a new process, its output captured, ended when it takes too long."""

    def run(
        *arguments: str | os.PathLike[str],
        timeout_s: float = 120.0,
        cwd: Path | None = None,
        environment: Mapping[str, str] | None = None,
    ) -> subprocess.CompletedProcess[str]:
        return subprocess.run(
            [sys.executable, "-m", "tvmopt", *map(os.fspath, arguments)],
            cwd=cwd or tmp_path,
            env={**os.environ, "PYTHONPATH": str(ROOT), "COLUMNS": "120", **(environment or {})},
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            timeout=timeout_s,
            check=False,
        )

    return run


@pytest.fixture(scope="session")
def repository() -> Path:
    """The repository's root."""
    return ROOT


@pytest.fixture(autouse=True)
def _seed() -> None:
    random.seed(0)
    np.random.seed(0)  # noqa: NPY002  # libraries that tests call draw from the global generator
    if "torch" in sys.modules:
        sys.modules["torch"].manual_seed(0)
