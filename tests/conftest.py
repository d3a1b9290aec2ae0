"""Fixtures for all tests: the command line in a separate process, and the same random numbers every time."""

from __future__ import annotations

import os
import random
import signal
import subprocess
import sys
from collections import Counter
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Protocol

import numpy as np
import pytest

if TYPE_CHECKING:
    from tests.onnx_models import OnnxModel

ROOT = Path(__file__).resolve().parents[1]


class RunTvmopt(Protocol):
    """Run ``tvmopt`` with `arguments`, in the test's temporary folder unless `cwd` says otherwise."""

    def __call__(
        self,
        *arguments: str | os.PathLike[str],
        timeout_s: float = 120.0,
        cwd: Path | None = None,
        environment: Mapping[str, str] | None = None,
    ) -> subprocess.CompletedProcess[str]: ...


QUICK_EVERY = 7
"""Of a numeric sweep, the quick tests take every seventh parameter set; the rest are slow.

A prime: with a step of four, a parameter of four values would always have the same one.
"""


def pytest_configure() -> None:
    """Ctrl-C must reach the programs that tests start, also where a shell started pytest in its background."""
    if signal.getsignal(signal.SIGINT) is signal.SIG_IGN:
        signal.signal(signal.SIGINT, signal.default_int_handler)


@pytest.hookimpl(tryfirst=True)
def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Leave most of each sweep to the slow tests, before pytest chooses by markers."""
    seen: Counter[str] = Counter()
    for item in items:
        if item.get_closest_marker("sweep"):
            function = item.nodeid.partition("[")[0]
            if seen[function] % QUICK_EVERY:
                item.add_marker("slow")
            seen[function] += 1


@pytest.fixture(scope="session", autouse=True)
def cache(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    """A cache of our own, so that no test depends on what the user's holds; test processes side by side share it."""
    root = tmp_path_factory.getbasetemp()
    folder = (root.parent if "PYTEST_XDIST_WORKER" in os.environ else root) / "shared_cache"
    folder.mkdir(exist_ok=True)
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("TVMOPT_ENVIRONMENTS", str(environments()))  # those that are installed serve tests, too
        patch.setenv("TVMOPT_CACHE", str(folder))
        yield folder


def environments() -> Path:
    """The user's folder of environments."""
    from tvmopt.pipeline.devices.environments.places import home

    return home()


@pytest.fixture
def run_tvmopt(tmp_path: Path) -> RunTvmopt:
    """Run the command line as a user does: in a new process with captured output and a time limit.

    Each table row is on one line, unless ``COLUMNS`` says otherwise.
    """

    def run(
        *arguments: str | os.PathLike[str],
        timeout_s: float = 120.0,
        cwd: Path | None = None,
        environment: Mapping[str, str] | None = None,
    ) -> subprocess.CompletedProcess[str]:
        return subprocess.run(
            [sys.executable, "-m", "tvmopt", *map(os.fspath, arguments)],
            cwd=cwd or tmp_path,
            env={**os.environ, "COLUMNS": "1000", **(environment or {})},
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


@pytest.fixture
def onnx_model() -> OnnxModel:
    """`make_model`."""
    from tests.onnx_models import make_model

    return make_model


@pytest.fixture
def weights() -> Callable[..., np.ndarray]:
    """Random float32 arrays of a shape, the same in every run."""
    random = np.random.default_rng(0)
    return lambda *shape: random.standard_normal(shape, dtype=np.float32)
