"""Makes and removes environments: each appears whole or not at all, whatever ends the process that makes it."""

from __future__ import annotations

import contextlib
import fcntl
import os
import re
import shutil
import signal
import subprocess
import sys
import tempfile
from collections import deque
from collections.abc import Callable, Collection, Iterator
from pathlib import Path

from tvmopt.pipeline.devices.environments.places import folder_of, home, is_installed, python_in
from tvmopt.pipeline.devices.environments.registry import Environment
from tvmopt.pipeline.errors import InputFileError, RuntimeMissingError
from tvmopt.pipeline.support.interrupts import ctrl_c_later
from tvmopt.pipeline.support.messages import cut
from tvmopt.pipeline.support.progress import Listener, StepBegan, Steps

_UNFINISHED, _LOCK = ".new-", ".lock-"
_QUIETLY = ("--no-input", "--disable-pip-version-check", "--progress-bar", "off")
_FETCHES = re.compile(r"^Collecting ([^ ;=]+)")
_KEPT_LINES = 200
"""Of pip's output, the last lines are searched for its error."""


def install(environment: Environment, listener: Listener | None = None) -> Path:
    """Makes the environment, unless it is there.

    It is built in a folder beside its place, and renamed when it is whole. A second process that makes the same one
    waits for the first. Environments of the same name with other pins, and what killed processes left, are removed once
    the new one is whole.

    Args:
        environment: which.
        listener: hears of each package; a stop that it asks for, like Ctrl-C, removes what was made so far.

    Returns:
        Its Python.

    Raises:
        RuntimeMissingError: this Python is too old or too new for it, cannot make environments, or pip fails.
        InputFileError: its folder cannot be written.
        CancelledError: `listener` asked for a stop.
    """
    _check_python(environment)
    with Steps(listener, of=len(environment.pins()) + 3) as steps, _locked(environment, steps.listener):
        place = folder_of(environment)
        if not is_installed(environment):
            with _new_folder(environment) as folder:
                steps.begin(f"{environment.name}: making the environment")
                _run(environment, [sys.executable, "-m", "venv", str(folder)], lambda line: None)
                _install_packages(environment, folder, steps)
                _remove_all(environment, folder)
                folder.rename(place)
    return python_in(place)


def remove(environment: Environment) -> bool:
    """Removes the environment, whatever its pins; returns whether there was one.

    Raises:
        InputFileError: its folder cannot be written.
    """
    if not home().is_dir():
        return False
    with _locked(environment, Listener()):
        return _remove_all(environment)


def _check_python(environment: Environment) -> None:
    first, last = environment.pythons
    if not first <= sys.version_info[:2] <= last:
        raise RuntimeMissingError(
            f"the environment {environment.name} takes Python {_dotted(first)} to {_dotted(last)}, and this is "
            f"{_dotted(sys.version_info[:2])}: make one by hand, and set {environment.variable} to its Python"
        )


def _dotted(version: tuple[int, int]) -> str:
    return ".".join(map(str, version))


def _install_packages(environment: Environment, folder: Path, steps: Steps) -> None:
    """Installs what is pinned, and what that still asks for."""
    pins = environment.pins()
    together = [f"{name}=={version}" for name, version in pins.items() if name not in environment.alone]
    alone = [f"{name}=={pins[name]}" for name in environment.alone]
    unpacks = f"{environment.name}: unpacking the packages"

    def take(line: str) -> None:
        found = _FETCHES.match(line)
        if found and found[1] in pins:
            steps.begin(f"{environment.name}: fetching {found[1]}")
        elif line.startswith("Installing collected packages"):
            steps.begin(unpacks)
        steps.listener.check()

    for packages, options in ((together, ()), (alone, ("--no-deps",))):
        if packages:
            command = [str(python_in(folder)), "-m", "pip", "install", *_QUIETLY, *options, *packages]
            _run(environment, command, take)


def _run(environment: Environment, command: list[str], take: Callable[[str], None]) -> None:
    """Runs `command` and gives each line of its output to `take`; neither it nor its children outlive this.

    Raises:
        RuntimeMissingError: it failed; with the error that it printed.
    """
    variables = {name: value for name, value in os.environ.items() if not name.startswith("PYTHON")}
    lines: deque[str] = deque(maxlen=_KEPT_LINES)
    with subprocess.Popen(
        command,
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        errors="replace",
        env=variables,
        start_new_session=True,  # Ctrl-C is ours to handle
    ) as process:
        try:
            assert process.stdout is not None
            for line in process.stdout:
                lines.append(line.strip())
                take(line)
        except BaseException:
            with contextlib.suppress(ProcessLookupError):
                os.killpg(process.pid, signal.SIGKILL)
            raise
    if process.returncode:
        raise RuntimeMissingError(f"cannot install {environment.name}: {_error_in(lines)}")


def _error_in(lines: Collection[str]) -> str:
    """What pip, or the module venv, says last of its errors; its last line where it marks none."""
    marked = [line for line in lines if line.lower().startswith("error")]
    said = [line for line in lines if line]
    return cut((marked or said or ["no message"])[-1])


@contextlib.contextmanager
def _new_folder(environment: Environment) -> Iterator[Path]:
    """A folder beside the environments that is gone afterwards, unless it was renamed."""
    folder = Path(tempfile.mkdtemp(prefix=f"{_UNFINISHED}{environment.name}-", dir=home()))
    try:
        yield folder
    finally:
        with ctrl_c_later():
            shutil.rmtree(folder, ignore_errors=True)


def _remove_all(environment: Environment, kept: Path | None = None) -> bool:
    """Removes every environment of this name, and unfinished ones but `kept`; returns whether there was a whole one."""
    whole = [path for path in home().glob(f"{environment.name}-*") if path.is_dir()]
    for number, path in enumerate(whole):
        path.rename(path.with_name(f"{_UNFINISHED}{environment.name}-{os.getpid()}-{number}"))  # gone at once
    for path in set(home().glob(f"{_UNFINISHED}{environment.name}-*")) - {kept}:
        shutil.rmtree(path, ignore_errors=True)
    return bool(whole)


@contextlib.contextmanager
def _locked(environment: Environment, listener: Listener) -> Iterator[None]:
    """Keeps other processes from making or removing the same environment; waits for one that does."""
    try:
        home().mkdir(mode=0o700, parents=True, exist_ok=True)
        file = (home() / f"{_LOCK}{environment.name}").open("w")
    except OSError as error:
        raise InputFileError(f"cannot write in {home()}: {error.strerror}") from error
    with file:
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            listener.tell(StepBegan(f"{environment.name}: waiting for another process that makes it", 1))
            fcntl.flock(file, fcntl.LOCK_EX)
        yield
