"""Compiling a model into an artifact, each kernel with its best record."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING

from tvmopt.jobs.settings import LOGS, open_records, resolve_target
from tvmopt.jobs.sizes import each_size
from tvmopt.pipeline.compiler.compile import CompileReport, compile_sizes
from tvmopt.pipeline.compiler.kernels.forge import Forge
from tvmopt.pipeline.compiler.native.linker import linker_of
from tvmopt.pipeline.importers import load_model
from tvmopt.pipeline.importers.precision import in_precision
from tvmopt.pipeline.importers.recalling.recall import load_or_recall
from tvmopt.pipeline.importers.source import parse_source
from tvmopt.pipeline.support.cache import Cache, digest, environment
from tvmopt.pipeline.support.interrupts import ctrl_c_cancels
from tvmopt.pipeline.support.progress import Listener, Steps
from tvmopt.pipeline.types import ImportedModel, Precision
from tvmopt.schedules.registry import has_templates
from tvmopt.schedules.target import Target

if TYPE_CHECKING:
    import numpy as np

_SEEN = "seen"
"""The kind of entries in the cache that say which files were compiled."""


@dataclass(frozen=True, slots=True)
class CompileJob:
    """What to compile.

    Attributes:
        model: ``file.onnx``, ``file.pt2`` or ``path/file.py:factory``.
        output: the artifact to write, a .tar.
        target: a target's name, or TVM's target as JSON; it may be another machine.
        threads: threads that each kernel runs on; the target's cores when None.
        logs: the user's tuning records, which need not exist; searched before the records shipped with tvmopt.
        input_shapes: shapes of the model's inputs by name, where it leaves them open; a dimension with a set of sizes
            compiles for each of them.
        batch: first dimension of every input; the model's own when None.
        transfer: whether records of related kernels may choose configs for kernels without records.
        inputs: an array for each input that the model runs on; it settles open shapes too. Random ones when None.
        input_values: values of inputs that become constants.
        strict_nan: whether a NaN or infinity may touch only what the model says (`schedules.target.Target`).
        precision: of a quantised model (`pipeline.importers.precision`).
    """

    model: str
    output: Path
    target: str = "llvm"
    threads: int | None = None
    logs: Path = LOGS
    input_shapes: Mapping[str, tuple[int | tuple[int, ...], ...]] = field(default_factory=dict)
    batch: int | None = None
    transfer: bool = True
    inputs: Mapping[str, np.ndarray] | None = None
    input_values: Mapping[str, tuple[float, ...]] = field(default_factory=dict)
    strict_nan: bool = False
    precision: Precision = "auto"


@dataclass(frozen=True, slots=True)
class CompileResult:
    """The result of compiling a model.

    Attributes:
        target: the target that the artifact runs on.
        report: the artifact, and the config of each kernel.
    """

    target: Target
    report: CompileReport


def compile(job: CompileJob, listener: Listener | None = None) -> CompileResult:  # noqa: A001  # named like the command
    """Builds a model into an artifact, which needs TVM's runtime only for GPUs and for models that sort.

    Args:
        job: what to compile.
        listener: receives each step; may request a stop, which takes effect before the next step. The artifact is
            written whole or not at all.

    Returns:
        The target, and the origin of each kernel's config. The artifact is in the job's output file.

    Raises:
        CancelledError: the job was stopped; there is no artifact.
        UsageError: there is no such target, sets of sizes do not go together, or INT8 is wanted of a model in FP32.
        RuntimeMissingError: the target's linker is not installed.
        InputFileError: the model or a record cannot be read, or the artifact cannot be written.
        UnsupportedModelError: the model cannot be imported.
        WrongResultError: a step of the import, or TVM, changed what a layer computes.
        BuildError: a layer cannot be built.
    """
    sizes = each_size(job.input_shapes, job.inputs)
    target = resolve_target(job.target, job.threads, job.strict_nan)
    linker_of(target)  # a missing linker or unreadable records fail now rather than after a minute of work
    with ctrl_c_cancels(), Steps(listener, 2) as steps, Forge() as forge:
        seen = _Seen(job, target, forge.cache)
        if has_templates(target) and not seen.before():
            forge.start()  # it loads TVM meanwhile
        records = open_records(job.logs)
        steps.begin("importing")
        models = [_imported(job, one, target, forge.cache) for one in sizes]
        steps.begin("compiling")
        # Only the list holds the models, so that compiling can let go of each before its weights are copied once more.
        taken = (models.pop(0) for _ in sizes)
        result = CompileResult(target, compile_sizes(taken, target, records, job.output, job.transfer, forge))
        seen.note()
        return result


def _imported(job: CompileJob, shapes: Mapping[str, tuple[int, ...]], target: Target, cache: Cache) -> ImportedModel:
    """The model in one size; what an earlier import found is used again where that is enough."""
    if job.inputs is None and has_templates(target) and job.precision != "fp32":
        model = load_or_recall(job.model, cache, shapes, job.batch, job.input_values)
    else:
        model = load_model(job.model, shapes, job.batch, job.inputs, job.input_values)
    return in_precision(model, job.precision, job.inputs)


class _Seen:
    """Whether the same file was compiled in the same way before: then there is probably nothing to make.

    It only decides when the worker is started, never what is compiled.
    """

    def __init__(self, job: CompileJob, target: Target, cache: Cache) -> None:
        self._cache = cache
        path = parse_source(job.model).path.resolve()
        status = path.stat()
        shapes = sorted((name, list(shape)) for name, shape in job.input_shapes.items())
        what = (
            str(path),
            status.st_size,
            status.st_mtime_ns,
            target.to_json(),
            shapes,
            job.batch,
            job.transfer,
            job.precision,
        )
        self._key = digest(environment(), what)

    def before(self) -> bool:
        return self._cache.get(_SEEN, self._key) is not None

    def note(self) -> None:
        self._cache.put(_SEEN, self._key, b"")
