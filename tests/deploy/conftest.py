"""The C++ sample, and its files for a model."""

from __future__ import annotations

import io
import tarfile
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pytest

from tests import tiny
from tvmopt.pipeline.support.numeric_error import numeric_error


@dataclass(frozen=True, slots=True)
class Unpacked:
    """An artifact's files in a folder, in the form that the sample needs."""

    folder: Path
    inputs: dict[str, np.ndarray]
    outputs: dict[str, np.ndarray]

    @property
    def arguments(self) -> list[str]:
        """Arguments of ``run_model`` that give it all inputs and outputs."""
        words = ["."]
        for name, array in self.inputs.items():
            words += ["--input", f"{','.join(map(str, array.shape))}:{name}.in"]
        for name in self.outputs:
            words += ["--output", f"{name}.out"]
        return words

    def check_outputs(self) -> None:
        """Compares what the sample wrote with the golden outputs."""
        for name, expected in self.outputs.items():
            made = np.fromfile(self.folder / f"{name}.out", np.float32).reshape(expected.shape)
            assert numeric_error(expected, made).relative < 1e-5


def unpack(artifact: bytes, folder: Path) -> Unpacked:
    """Unpacks an artifact with its golden inputs as raw files."""
    with tarfile.open(fileobj=io.BytesIO(artifact)) as tar:
        tar.extractall(folder, filter="data")
    with np.load(folder / "golden.npz") as golden:
        arrays = dict(golden)
    inputs = {name.removeprefix("input:"): array for name, array in arrays.items() if name.startswith("input:")}
    outputs = {name.removeprefix("output:"): array for name, array in arrays.items() if name.startswith("output:")}
    for name, array in inputs.items():
        array.tofile(folder / f"{name}.in")
    return Unpacked(folder, inputs, outputs)


@pytest.fixture(scope="session")
def sample(repository: Path) -> Path:
    """The folder of the sample."""
    return repository / "tvmopt" / "deploy"


@pytest.fixture(scope="session")
def header(repository: Path) -> Path:
    """The folder of ``model.h``."""
    return repository / "pipeline" / "compiler" / "native"


@pytest.fixture
def two_outputs() -> bytes:
    """An artifact of a model with two inputs and two outputs, for this machine."""
    return tiny.artifact(graph=tiny.TWO_OUTPUTS)
