"""Models that TensorFlow wrote; tests that need them skip where no environment has it."""

from __future__ import annotations

import functools
import os
import shutil
import subprocess
import tempfile
from pathlib import Path

import pytest

from tvmopt.pipeline.devices.environments.places import find_python, missing
from tvmopt.pipeline.devices.environments.registry import find_environment

TENSORFLOW = find_environment("tensorflow")


def made() -> Path:
    """The folder with what `make_models` writes; tests must not change it."""
    if find_python(TENSORFLOW) is None:
        pytest.skip(str(missing(TENSORFLOW)))
    return _made()


def hostile() -> Path:
    """The folder with what `make_hostile` makes of them."""
    made()
    return _hostile()


@functools.cache
def _hostile() -> Path:
    folder = made() / "hostile"
    folder.mkdir()
    _run("make_hostile.py", made(), folder)
    return folder


@functools.cache
def _made() -> Path:
    import atexit

    folder = Path(tempfile.mkdtemp(prefix="tvmopt-tests-"))
    atexit.register(shutil.rmtree, folder, ignore_errors=True)
    _run("make_models.py", folder)
    return folder


def _run(script: str, *arguments: Path) -> None:
    quiet = {"TF_CPP_MIN_LOG_LEVEL": "3", "CUDA_VISIBLE_DEVICES": ""}
    command = [str(find_python(TENSORFLOW)), "-I", str(Path(__file__).with_name(script)), *map(str, arguments)]
    done = subprocess.run(command, env={**os.environ, **quiet}, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr[-3000:]


def save_tensorflow(folder: Path) -> str:
    """A frozen graph."""
    return str(shutil.copy(made() / "frozen.pb", folder / "net.pb"))


def save_keras(folder: Path) -> str:
    """The same network as Keras 3 saves it."""
    return str(shutil.copy(made() / "net.keras", folder / "net.keras"))


def save_tflite(folder: Path) -> str:
    """The same network in TFLite, in float."""
    return str(shutil.copy(made() / "float.tflite", folder / "net.tflite"))


def real_model(name: str) -> Path:
    """A model that others trained; skips where it is not there."""
    path = Path(os.environ.get("TVMOPT_REAL_MODELS", "nowhere")) / name
    if not path.exists():
        pytest.skip(f"TVMOPT_REAL_MODELS names no folder with {name}")
    if find_python(TENSORFLOW) is None:
        pytest.skip(str(missing(TENSORFLOW)))
    return path
