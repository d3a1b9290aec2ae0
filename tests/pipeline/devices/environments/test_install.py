"""Environments are whole or absent, found by themselves, and end with one line where pip fails."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
import zipfile
from pathlib import Path

import pytest

from tests.conftest import RunTvmopt
from tvmopt.pipeline.devices.environments import places, registry
from tvmopt.pipeline.devices.environments.install import install, remove
from tvmopt.pipeline.devices.environments.registry import ENVIRONMENTS, Environment, find_environment
from tvmopt.pipeline.errors import CancelledError, InputFileError, RuntimeMissingError, UsageError
from tvmopt.pipeline.support.progress import Event, Listener

PACKAGE = "Metadata-Version: 2.1\nName: answer\nVersion: 1.0\nRequires-Dist: not-on-any-index\n"
WHEEL = "Wheel-Version: 1.0\nGenerator: tests\nRoot-Is-Purelib: true\nTag: py3-none-any\n"
PYTHONS = ((3, 11), (3, 99))
ANSWER = Environment("answer", "Answers.", ("answer",), ("answer_to_all",), PYTHONS, 1, alone=("answer",))


@pytest.fixture(autouse=True)
def _offline(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """An index with one package, the pins of an environment of it, and a folder of our own for environments."""
    index = tmp_path / "index"
    index.mkdir()
    with zipfile.ZipFile(index / "answer-1.0-py3-none-any.whl", "w") as wheel:
        wheel.writestr("answer_to_all.py", "value = 42\n")
        wheel.writestr("answer-1.0.dist-info/METADATA", PACKAGE)
        wheel.writestr("answer-1.0.dist-info/WHEEL", WHEEL)
        wheel.writestr("answer-1.0.dist-info/RECORD", "answer_to_all.py,,\n")
    for name, value in {"PIP_NO_INDEX": "1", "PIP_FIND_LINKS": str(index)}.items():
        monkeypatch.setenv(name, value)
    monkeypatch.setenv(places.VARIABLE, str(tmp_path / "environments"))
    monkeypatch.setattr(registry, "REQUIREMENTS", tmp_path)
    pin(tmp_path, "answer==1.0")


def pin(folder: Path, text: str) -> None:
    (folder / "answer.txt").write_text(f"# pinned\n{text}\n")


def names(folder: Path) -> list[str]:
    """What is in the folder of environments, without locks."""
    return sorted(path.name for path in (folder / "environments").iterdir() if not path.name.startswith(".lock-"))


@pytest.mark.slow
def test_it_is_made_found_and_removed(tmp_path: Path) -> None:
    assert places.missing(ANSWER) == "answer not installed: tvmopt runtimes --install answer"
    heard: list[str] = []
    python = install(ANSWER, Listener(lambda event: heard.append(str(event))))
    assert places.find_python(ANSWER) == str(python) == places.require_python(ANSWER)
    said = subprocess.run([python, "-c", "import answer_to_all as a; print(a.value)"], capture_output=True, check=True)
    assert said.stdout == b"42\n"
    assert "[2/4] answer: unpacking the packages" in heard
    before = python.stat()
    assert install(ANSWER) == python
    assert python.stat() == before
    assert remove(ANSWER)
    assert not remove(ANSWER)
    assert names(tmp_path) == []
    assert places.find_python(ANSWER) is None


@pytest.mark.slow
def test_new_pins_make_a_new_one(tmp_path: Path) -> None:
    old = install(ANSWER)
    pin(tmp_path, "answer==1.0  # again")
    assert places.find_python(ANSWER) is None
    new = install(ANSWER)
    assert new != old
    assert names(tmp_path) == [new.parents[1].name]


@pytest.mark.slow
def test_pip_fails_with_one_line_and_leaves_nothing(tmp_path: Path) -> None:
    pin(tmp_path, "answer==2.0")
    with pytest.raises(RuntimeMissingError, match=r"cannot install answer: ERROR: No matching distribution .*2\.0"):
        install(ANSWER)
    assert names(tmp_path) == []


@pytest.mark.slow
def test_a_stop_leaves_nothing(tmp_path: Path) -> None:
    class Stops(Listener):
        def tell(self, event: Event) -> None:
            if "unpacking" in str(event):
                self.cancel()

    with pytest.raises(CancelledError):
        install(ANSWER, Stops())
    assert names(tmp_path) == []


MAKE = """
import sys
from pathlib import Path
sys.path.insert(0, {root!r})
from tests.pipeline.devices.environments.test_install import ANSWER
from tvmopt.pipeline.devices.environments import registry
from tvmopt.pipeline.devices.environments.install import install
registry.REQUIREMENTS = Path({folder!r})
print(install(ANSWER), flush=True)
"""


def make(repository: Path, folder: Path) -> subprocess.Popen[str]:
    code = MAKE.format(root=str(repository), folder=str(folder))
    return subprocess.Popen([sys.executable, "-c", code], stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)


@pytest.mark.slow
@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGKILL])
def test_a_process_that_is_killed_leaves_nothing_that_is_found(number: int, tmp_path: Path, repository: Path) -> None:
    with make(repository, tmp_path) as process:
        end = time.monotonic() + 60
        while not list(tmp_path.glob("environments/.new-*/bin")) and time.monotonic() < end:
            time.sleep(0.01)
        process.send_signal(number)
        process.communicate(timeout=60)
        assert process.returncode != 0
    assert places.find_python(ANSWER) is None
    if number == signal.SIGINT:
        assert names(tmp_path) == []
    python = install(ANSWER)
    assert names(tmp_path) == [python.parents[1].name]


@pytest.mark.slow
def test_two_processes_make_one(tmp_path: Path, repository: Path) -> None:
    with make(repository, tmp_path) as first, make(repository, tmp_path) as second:
        said = {process.communicate(timeout=120)[0] for process in (first, second)}
    assert (first.returncode, second.returncode) == (0, 0)
    assert said == {f"{places.find_python(ANSWER)}\n"}
    assert len(names(tmp_path)) == 1


def test_a_variable_or_our_own_environment_comes_first(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    ours = Environment("answer", "Answers.", ("click",), ("click",), PYTHONS, 1)
    assert places.find_python(ours) == sys.executable
    python = tmp_path / "python"
    python.symlink_to(sys.executable)
    monkeypatch.setenv("TVMOPT_ANSWER_PYTHON", str(python))
    assert places.find_python(ours) == str(python)
    monkeypatch.setenv("TVMOPT_ANSWER_PYTHON", str(tmp_path / "absent"))
    assert places.missing(ours) == (
        f"TVMOPT_ANSWER_PYTHON={tmp_path}/absent is not a Python: unset it, or give one that has click"
    )
    with pytest.raises(RuntimeMissingError, match="is not a Python"):
        places.require_python(ours)


def test_where_environments_are(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    assert places.home() == tmp_path / "environments"
    monkeypatch.setenv(places.VARIABLE, "relative")
    with pytest.raises(UsageError, match="TVMOPT_ENVIRONMENTS must be an absolute path, got 'relative'"):
        places.home()
    monkeypatch.delenv(places.VARIABLE)
    assert places.home() == Path(os.environ["TVMOPT_CACHE"]) / "environments"
    monkeypatch.setenv("TVMOPT_CACHE", "off")
    monkeypatch.setenv("XDG_CACHE_HOME", "/some/cache")
    assert places.home() == Path("/some/cache/tvmopt/environments")


def test_what_cannot_be_made_ends_with_one_line(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    old = Environment("answer", "Answers.", ("answer",), ("answer_to_all",), ((2, 6), (2, 7)), 1)
    with pytest.raises(
        RuntimeMissingError, match=r"takes Python 2\.6 to 2\.7, and this is .* set TVMOPT_ANSWER_PYTHON"
    ):
        install(old)
    file = tmp_path / "file"
    file.touch()
    monkeypatch.setenv(places.VARIABLE, str(file / "environments"))
    with pytest.raises(InputFileError, match="cannot write in "):
        install(ANSWER)


def test_commands(run_tvmopt: RunTvmopt) -> None:
    listed = run_tvmopt("runtimes")
    assert listed.returncode == 0
    for environment in ENVIRONMENTS:
        assert f"\n{environment.name} " in listed.stdout
    for arguments, code, message in (
        (("--install", "tensoflow"), 2, "did you mean tensorflow?"),
        (("--install", "onnxruntime"), 2, "onnxruntime shares tvmopt's environment: pip install tvmopt"),
        (("--install",), 2, "together with the names"),
        (("litert",), 2, "together with the names"),
        (("--install", "--remove", "litert"), 2, "not both"),
    ):
        done = run_tvmopt("runtimes", *arguments)
        assert (done.returncode, len(done.stderr.splitlines())) == (code, 1)
        assert message in done.stderr
    assert run_tvmopt("runtimes", "--remove", "litert").stdout == "litert: was not installed\n"


@pytest.mark.parametrize("environment", ENVIRONMENTS, ids=lambda environment: environment.name)
def test_registered_environments_pin_what_they_are_for(
    environment: Environment, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.undo()
    assert find_environment(environment.name) is environment
    assert set(environment.packages) <= environment.pins().keys()
    lines = [line for line in environment.requirements.read_text().splitlines() if not line.startswith("#")]
    assert len(environment.pins()) == len(lines), "a line without a version"
