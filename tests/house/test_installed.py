"""An installed tvmopt works beside a user's own files of any name: from a wheel, in three places, and editable."""

from __future__ import annotations

import itertools
import json
import os
import shutil
import subprocess
import sys
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path

import pytest

from tests.house.test_files import files

pytestmark = pytest.mark.slow

# The user's modules have the names of our folders. The model file imports one of them and must not get ours.
OWN_FILES = {
    "pipeline.py": "width = 24\n",
    "schedules.py": "raise RuntimeError('tvmopt imported the schedules of the user')\n",
    "benchmarks/__init__.py": "raise RuntimeError('tvmopt imported the benchmarks of the user')\n",
    "models/README.md": "The user's own networks.\n",
    "my_model.py": """
import torch
from torch import nn

from pipeline import width


def build():
    torch.manual_seed(0)
    return nn.Sequential(nn.Linear(8, width), nn.ReLU(), nn.Linear(width, 4)).eval(), (torch.randn(1, 8),)
""",
}

FOUND = """
import json
from pathlib import Path

import tvmopt.pipeline
from tvmopt.pipeline.records.store import RecordStore
from tvmopt.pipeline.support.shipped import shipped

network = shipped("models") / "mobilenet_v2.py"
print(json.dumps({
    "package": str(Path(tvmopt.__file__).parent),
    "pipeline": str(Path(tvmopt.pipeline.__file__).parent),
    "network": str(network) if network.is_file() else None,
    "records": len(RecordStore(shipped("tuning_logs")).records()),
}))
"""


@dataclass(frozen=True, slots=True)
class Installation:
    """One way to have tvmopt installed.

    Attributes:
        python: the interpreter that finds it.
        script: the console script.
        package: the folder from which ``tvmopt`` must be imported.
        pipeline: the folder from which ``tvmopt.pipeline`` must be imported.
        variables: further environment variables that it needs.
    """

    python: Path
    script: Path
    package: Path
    pipeline: Path
    variables: dict[str, str] = field(default_factory=dict)

    @property
    def environment(self) -> dict[str, str]:
        """The environment of a user with this installation; nothing in it refers to the checkout."""
        own = {name: value for name, value in os.environ.items() if not name.startswith("PYTHON")}
        return {**own, "COLUMNS": "120", **self.variables}

    def run(self, command: Sequence[str | Path], folder: Path) -> str:
        """The command's output; the command must succeed."""
        done = subprocess.run(
            [*map(str, command)],
            cwd=folder,
            env=self.environment,
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            timeout=200.0,
            check=False,
        )
        assert done.returncode == 0, (command, done.stdout, done.stderr)
        return done.stdout


def fresh_environment(folder: Path, *options: str) -> Path:
    """The interpreter of a new virtual environment that sees this one's packages, except tvmopt.

    A ``.pth`` file adds the packages. Python does not follow the ``.pth`` files among them, which include that of an
    editable tvmopt.
    """
    subprocess.run([sys.executable, "-m", "venv", "--without-pip", *options, folder], check=True)
    (packages,) = folder.glob("lib/python*/site-packages")
    (packages / "packages_of_the_tests.pth").write_text("\n".join(path for path in sys.path if "-packages" in path))
    return folder / "bin" / "python"


@pytest.fixture(scope="module", name="wheel")
def _wheel(tmp_path_factory: pytest.TempPathFactory, request: pytest.FixtureRequest) -> Path:
    """A wheel of the files in git, so that leftovers of older builds in the checkout are not included."""
    checkout, source = request.config.rootpath, tmp_path_factory.mktemp("source")
    for path in files(checkout):
        copy = source / path.relative_to(checkout)
        copy.parent.mkdir(parents=True, exist_ok=True)
        shutil.copyfile(path, copy)
    wheels = tmp_path_factory.mktemp("wheels")
    options = ["--quiet", "--no-deps", "--no-build-isolation", "--wheel-dir", wheels]
    subprocess.run([sys.executable, "-m", "pip", "wheel", *options, source], check=True)
    (wheel,) = wheels.glob("tvmopt-*.whl")
    return wheel


@pytest.fixture(
    scope="module", name="installation", params=["environment", "--target", "--user", "editable"], ids=lambda how: how
)
def _installation(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Installation:
    how, folder = request.param, tmp_path_factory.mktemp("installed")
    if how == "editable":
        checkout = request.config.rootpath
        python = Path(sys.executable)
        return Installation(python, python.with_name("tvmopt"), checkout / "tvmopt", checkout / "pipeline")
    # pip refuses --user where an environment does not see the user's packages.
    python = fresh_environment(folder / "venv", *(["--system-site-packages"] if how == "--user" else []))
    base, options, variables = folder / "venv", [], {}
    if how == "--target":
        base = folder / "target"
        options, variables = ["--target", str(base)], {"PYTHONPATH": str(base)}
    elif how == "--user":
        base = folder / "user"
        options, variables = ["--user"], {"PYTHONUSERBASE": str(base)}
    wheel: Path = request.getfixturevalue("wheel")
    # Without --ignore-installed, pip would accept the tvmopt that it finds through the .pth file.
    command = ["install", "--quiet", "--no-deps", "--no-warn-script-location", "--ignore-installed", *options, wheel]
    pip = [sys.executable, "-m", "pip", "--python", python]
    subprocess.run([*pip, *command], env={**os.environ, **variables}, check=True)
    package = min((path.parent for path in base.rglob("tvmopt/__init__.py")), key=lambda path: len(path.parts))
    return Installation(python, base / "bin" / "tvmopt", package, package / "pipeline", variables)


@pytest.fixture(name="folder")
def _folder(tmp_path: Path) -> Path:
    for name, text in OWN_FILES.items():
        path = tmp_path / name
        path.parent.mkdir(exist_ok=True)
        path.write_text(text)
    return tmp_path


def test_code_networks_and_records_are_found(installation: Installation, folder: Path) -> None:
    (folder / "found.py").write_text(FOUND)
    found = json.loads(installation.run([installation.python, "found.py"], folder))
    assert Path(found["package"]) == installation.package
    assert Path(found["pipeline"]) == installation.pipeline
    assert Path(found["network"]).parent == installation.pipeline.with_name("models")
    assert found["records"] > 1000


def test_a_model_beside_files_of_our_names_is_tuned_and_compiled(installation: Installation, folder: Path) -> None:
    module, model, options = [installation.python, "-m", "tvmopt"], "my_model.py:build", ["--threads", "1"]
    installation.run([*module, "tune", model, *options, "--trials", "1", "--logs", "logs"], folder)
    built = installation.run([installation.script, "compile", model, *options, "--logs", "logs", "-o", "m.tar"], folder)
    assert "1 of 2 kernels from records" in built
    assert "golden outputs match" in installation.run([*module, "run", "m.tar", "--check"], folder)


@pytest.mark.parametrize("installation", ["--target"], indirect=True)
def test_the_first_step_of_the_demo_tunes_the_network_that_came_along(installation: Installation, folder: Path) -> None:
    with subprocess.Popen(
        [installation.script, "demo", "--trials", "1", "--time-limit", "1s"],
        cwd=folder,
        env=installation.environment,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
    ) as demo:
        assert demo.stdout is not None
        try:
            lines = list(itertools.takewhile(lambda line: not line.startswith("2. "), demo.stdout))
        finally:
            demo.kill()
    network = installation.pipeline.with_name("models") / "mobilenet_v2.py"
    assert f"   $ tvmopt tune {network}:build --trials 1 --time-limit 1s --logs tvmopt-demo/tuning_logs\n" in lines
    assert any(line.startswith("records: tvmopt-demo/tuning_logs/") for line in lines), lines
