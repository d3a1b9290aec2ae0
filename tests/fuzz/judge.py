"""Compiles a model as a user does, runs it, and compares it with onnxruntime: what fails, and where."""

from __future__ import annotations

import os
import re
import tempfile
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import onnx

from tvmopt.pipeline.artifact.loaded import LoadedArtifact, load_artifact
from tvmopt.pipeline.compiler.compile import compile_model
from tvmopt.pipeline.compiler.kernels.forge import Forge
from tvmopt.pipeline.importers import example_inputs, load_model
from tvmopt.pipeline.support.numeric_error import numeric_error
from tvmopt.pipeline.support.onnxruntime import open_session, run_session
from tvmopt.pipeline.support.tolerances import COMPILED
from tvmopt.pipeline.types import ImportedModel
from tvmopt.pipeline.verification.verify import verify
from tvmopt.schedules.target import Target, parse_target

Arrays = dict[str, np.ndarray]

UNSTEADY = 0.05
"""A model whose outputs move by this share of the tolerance when inputs move by a rounding has no right outputs."""

UNDECIDED = {"ArgMax", "ArgMin", "Cast", "GlobalMaxPool", "MaxPool", "Max", "Min", "ReduceMax", "ReduceMin", "Resize"}
"""Operators for which onnxruntime's answer to NaN depends on its place, or that have no defined one. Resize multiplies
neighbours by zero, those of another channel too."""


@dataclass(frozen=True, slots=True)
class Failure:
    """What went wrong with a model.

    Attributes:
        stage: ``import``, ``compile``, ``load``, ``run``, ``values`` or ``verify``.
        message: one line.
    """

    stage: str
    message: str

    @property
    def kind(self) -> tuple[str, str]:
        """The same for models that fail alike: the stage, and the message without names and numbers."""
        words = re.sub(r"'[^']*'|\"[^\"]*\"|[\w/.+-]*\d[\w/.+-]*|\binf\b", "_", self.message)
        return self.stage, re.sub(r"[^A-Za-z ]+", "", words)[:80]


@dataclass(frozen=True, slots=True)
class Setting:
    """How a model is compiled and tried.

    Attributes:
        threads: of the kernels.
        seed: of the inputs.
        hurt: whether numbers that are not finite are given and compared.
        strict_nan: whether algorithms that spread these are left out.
    """

    threads: int
    seed: int = 0
    hurt: bool = True
    strict_nan: bool = False

    @property
    def target(self) -> Target:
        """What to compile for: this machine."""
        return replace(parse_target("llvm", self.threads), strict_nan=self.strict_nan)


def judge(model: onnx.ModelProto, setting: Setting, forge: Forge) -> Failure | None:
    """Compiles and runs `model`, on random inputs and on inputs that hurt, and verifies it.

    Args:
        model: what to compile.
        setting: how.
        forge: makes the kernels.

    Returns:
        The first failure; None when all is right.
    """
    os.environ["TVM_NUM_THREADS"] = str(setting.threads)
    stage = "import"
    try:
        with tempfile.TemporaryDirectory(prefix="fuzz-") as folder:
            path, out = Path(folder) / "model.onnx", Path(folder) / "model.tar"
            onnx.save(model, path)
            imported = load_model(str(path))
            stage = "compile"
            compile_model(imported, setting.target, None, out, forge=forge)
            stage = "load"
            loaded = load_artifact(out)
            stage = "run"
            wrong = _wrong_values(imported, loaded, setting)
            if wrong is not None:
                return Failure("values", wrong)
            stage = "verify"
            return _condemned(imported, loaded, setting.seed)
    except Exception as error:  # noqa: BLE001  # whatever it is, a seed has failed
        return Failure(stage, f"{type(error).__name__}: {' '.join(str(error).split())[:300]}")


def _wrong_values(model: ImportedModel, loaded: LoadedArtifact, setting: Setting) -> str | None:
    session = open_session(model.original)
    for name, inputs in _all_inputs(model, setting.seed, setting.hurt):
        wanted = run_session(session, inputs)
        moved = run_session(session, _moved(inputs))
        for output, array in loaded.run(inputs).items():
            tolerance = COMPILED.of(array.dtype)
            reference = wanted[output]
            if tolerance and not np.isfinite(reference).all() and (name == "large" or not setting.hurt):
                continue  # what is infinite here may be a large number there, and zero a number below all normal ones
            if tolerance and numeric_error(reference, moved[output]).relative > UNSTEADY * tolerance:
                continue
            error = numeric_error(reference, array)
            if not COMPILED.allows(error, array.dtype):
                return f"{output} is off by {error.relative:.2g} on {name} inputs"
    return None


def _all_inputs(model: ImportedModel, seed: int, hurt: bool) -> Iterator[tuple[str, Arrays]]:
    """Random inputs, and what becomes of them when they hurt: only floats change, integers may be indices."""
    inputs = example_inputs(model, seed)
    yield "random", inputs
    yield "zero", _floats(inputs, np.zeros_like)
    yield "tied", _floats(inputs, lambda array: np.round(array) + 0.0)  # onnxruntime's Where loses the sign of zero
    yield "large", _floats(inputs, lambda array: array * 100)
    yield "negative", _floats(inputs, lambda array: -np.abs(array))
    if hurt and UNDECIDED.isdisjoint(node.op_type for node in model.original.graph.node):
        for name, value in (("infinite", np.inf), ("NaN", np.nan)):
            yield name, _floats(inputs, lambda array, value=value: _with_first(array, value))


def _floats(inputs: Arrays, change: Callable[[np.ndarray], object]) -> Arrays:
    return {
        name: np.asarray(change(array), array.dtype) if array.dtype.kind == "f" else array
        for name, array in inputs.items()
    }


def _with_first(array: np.ndarray, value: float) -> np.ndarray:
    changed = array.copy()
    changed.flat[array.size // 3] = value
    return changed


def _moved(inputs: Arrays) -> Arrays:
    """`inputs`, every other number larger by one rounding; zeros too, which a norm without variance enlarges."""
    random = np.random.default_rng(1)

    def moved(array: np.ndarray) -> np.ndarray:
        size = np.abs(array, where=np.isfinite(array), out=np.zeros_like(array)) + 0.5
        return np.asarray(array + 2.0**-23 * random.choice([0, 1], array.shape) * size)

    return _floats(inputs, moved)


def _condemned(model: ImportedModel, loaded: LoadedArtifact, seed: int) -> Failure | None:
    """What `verify` says against an artifact whose outputs are right."""
    wrong = verify(model, loaded, example_inputs(model, seed)).first_wrong
    if wrong is None:
        return None
    alone = wrong.alone.relative if wrong.alone else 0.0
    errors = ", ".join(f"{name} {error.relative:.2g}" for name, error in wrong.errors.items())
    return Failure(
        "verify", f"condemns the {wrong.operator or 'output'} of {wrong.value!r}: {errors}; alone {alone:.2g}"
    )
