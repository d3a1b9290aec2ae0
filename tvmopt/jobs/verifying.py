"""Verifying a compiled model against onnxruntime and its framework, layer by layer."""

from __future__ import annotations

import platform
import tempfile
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

from tvmopt.jobs.settings import LOGS, open_records, resolve_target
from tvmopt.pipeline.artifact.loaded import LoadedArtifact, load_artifact
from tvmopt.pipeline.compiler.build import threads_environment
from tvmopt.pipeline.compiler.compile import compile_model
from tvmopt.pipeline.compiler.native.linker import linker_of
from tvmopt.pipeline.errors import RuntimeMissingError
from tvmopt.pipeline.importers import example_inputs, load_model
from tvmopt.pipeline.importers.precision import in_precision
from tvmopt.pipeline.support.interrupts import ctrl_c_cancels
from tvmopt.pipeline.support.progress import Listener, Steps
from tvmopt.pipeline.types import ImportedModel, Precision
from tvmopt.pipeline.verification.result import Verification
from tvmopt.pipeline.verification.verify import check_same_model
from tvmopt.pipeline.verification.verify import verify as verify_artifact
from tvmopt.schedules.target import Target

if TYPE_CHECKING:
    import numpy as np


@dataclass(frozen=True, slots=True)
class VerifyJob:
    """What to verify.

    Attributes:
        model: ``file.onnx``, ``file.pt2`` or ``path/file.py:factory``.
        artifact: the artifact compiled from it; when None, the model is compiled for `target` with the records of
            `logs`.
        inputs: an array for each of the model's inputs; random ones when None.
        seed: seed of the random inputs.
        tolerance: the relative error allowed of any value; `pipeline.support.tolerances.COMPILED` when None.
        target: the target to compile for; must be this machine.
        threads: threads of the kernels; when None, the target's cores or the artifact's threads.
        logs: the user's tuning records, which need not exist.
        input_shapes: shapes of the model's inputs by name, where it leaves them open.
        batch: first dimension of every input; the model's own when None.
        input_values: values of inputs that become constants.
        strict_nan: whether a NaN or infinity may touch only what the model says (`schedules.target.Target`).
        precision: of a quantised model (`pipeline.importers.precision`); of an artifact, that it was compiled in.
    """

    model: str
    artifact: Path | None = None
    inputs: Mapping[str, np.ndarray] | None = None
    seed: int = 0
    tolerance: float | None = None
    target: str = "llvm"
    threads: int | None = None
    logs: Path = LOGS
    input_shapes: Mapping[str, tuple[int, ...]] = field(default_factory=dict)
    batch: int | None = None
    input_values: Mapping[str, tuple[float, ...]] = field(default_factory=dict)
    strict_nan: bool = False
    precision: Precision = "auto"


@dataclass(frozen=True, slots=True)
class VerifyResult:
    """The result of verifying.

    Attributes:
        verification: what was compared, with every error.
        manifest: the artifact's.
    """

    verification: Verification
    manifest: Mapping[str, Any]


def verify(job: VerifyJob, listener: Listener | None = None) -> VerifyResult:
    """Compares with the references every kernel's result that also exists in the ONNX model.

    Reports layers out of tolerance in the result instead of raising. Sets the number of threads of this process's
    kernels.

    Args:
        job: what to verify.
        listener: receives each step; may request a stop, which takes effect before the next step.

    Returns:
        Every value compared, with its errors, and the artifact's manifest.

    Raises:
        CancelledError: the job was stopped.
        UsageError: there is no such target.
        RuntimeMissingError: the artifact, or the target, does not run on this machine, or there is no linker.
        InputFileError: the model, a record or the artifact cannot be read, or the artifact is of another model.
        ModelInputError: names, shapes or dtypes of the inputs are not the model's.
        UnsupportedModelError, WrongResultError: the model cannot be imported.
        BuildError: a layer cannot be built.
    """
    with ctrl_c_cancels(), Steps(listener, 3) as steps:
        model, loaded = _build(job, steps) if job.artifact is None else _load(job, job.artifact, steps)
        steps.begin("verifying")
        inputs = example_inputs(model, job.seed) if job.inputs is None else job.inputs
        return VerifyResult(verify_artifact(model, loaded, inputs, job.tolerance), loaded.manifest)


def _load(job: VerifyJob, artifact: Path, steps: Steps) -> tuple[ImportedModel, LoadedArtifact]:
    """The model, and the artifact that was compiled from it."""
    steps.begin("loading")
    if job.threads is not None:
        threads_environment(job.threads)
    loaded = load_artifact(artifact)
    steps.begin("importing")
    model = _imported(job)
    check_same_model(model, loaded, str(artifact))
    return model, loaded


def _build(job: VerifyJob, steps: Steps) -> tuple[ImportedModel, LoadedArtifact]:
    """The model, and the artifact that it is compiled into for this machine."""
    target = resolve_target(job.target, job.threads, job.strict_nan)
    _require_architecture(target)
    linker_of(target)
    records = open_records(job.logs)
    steps.begin("importing")
    model = _imported(job)
    steps.begin("compiling")
    threads_environment(target.threads)
    with tempfile.TemporaryDirectory(prefix="tvmopt-") as folder:
        path = Path(folder) / f"{model.name}.tar"
        compile_model(model, target, records, path)
        try:
            return model, load_artifact(path)
        except RuntimeMissingError as error:
            raise RuntimeMissingError(str(error).replace(str(path), model.name)) from None


def _imported(job: VerifyJob) -> ImportedModel:
    """The model in the precision that is wanted."""
    model = load_model(job.model, job.input_shapes, job.batch, job.inputs, job.input_values)
    return in_precision(model, job.precision, job.inputs)


def _require_architecture(target: Target) -> None:
    if target.arch != platform.machine():
        raise RuntimeMissingError(
            f"verifying runs the model; target {target.name!r} is {target.arch}, this machine {platform.machine()}: "
            "verify it there, or without --target"
        )
