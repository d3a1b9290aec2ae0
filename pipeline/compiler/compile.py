"""Compiling: picks a recorded, transferred or default schedule for each task, then makes the library and manifest."""

from __future__ import annotations

import hashlib
import json
import tempfile
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from tvmopt.pipeline.artifact.format import FORMAT_VERSION, ArtifactParts, save_artifact
from tvmopt.pipeline.compiler.arena import plan_arena
from tvmopt.pipeline.compiler.assemble import assemble
from tvmopt.pipeline.compiler.check_golden import check_golden
from tvmopt.pipeline.compiler.check_layers import check_layers
from tvmopt.pipeline.compiler.concat_in_place import join_in_place
from tvmopt.pipeline.compiler.guarded_onnx import guarded_onnx
from tvmopt.pipeline.compiler.kernels.forge import Forge
from tvmopt.pipeline.compiler.kernels.runtime import runtime_objects
from tvmopt.pipeline.compiler.native.link import link
from tvmopt.pipeline.compiler.native.linker import linker_of
from tvmopt.pipeline.compiler.native.tables import lay_out_weights, write_tables
from tvmopt.pipeline.compiler.slice_in_place import slice_in_place
from tvmopt.pipeline.compiler.steps import without_dropped
from tvmopt.pipeline.compiler.traced.kernel_calls import KernelCall, calls_of, check_calls
from tvmopt.pipeline.compiler.traced.kernel_layers import steps_of
from tvmopt.pipeline.errors import BuildError
from tvmopt.pipeline.records.lookup import Records
from tvmopt.pipeline.support.interrupts import interruptible
from tvmopt.pipeline.support.tvm import import_compiler
from tvmopt.pipeline.tasks.alternatives import optimize_measured
from tvmopt.pipeline.tasks.bind import BoundModel
from tvmopt.pipeline.tasks.choose_configs import TaskChoice, choose_configs
from tvmopt.pipeline.tasks.extract import extract_tasks
from tvmopt.pipeline.types import ImportedModel, Step, TensorSpec
from tvmopt.schedules.registry import has_templates
from tvmopt.schedules.space import Config
from tvmopt.schedules.target import Target

Array = npt.NDArray[Any]


@dataclass(frozen=True, slots=True)
class CompileReport:
    """The result of a compilation.

    Attributes:
        path: the artifact.
        choices: what each task was built with.
        imported_layers: names of layers that TVM's importer lowered, because no template takes them.
        storage_bytes: sizes of the planned storages of intermediate tensors, in bytes.
    """

    path: Path
    choices: tuple[TaskChoice, ...]
    imported_layers: tuple[str, ...]
    storage_bytes: tuple[int, ...]


def compile_model(  # noqa: PLR0913 # what to compile, for what, with what
    model: ImportedModel,
    target: Target,
    records: Records | None,
    out: Path,
    transfer: bool = True,
    forge: Forge | None = None,
) -> CompileReport:
    """Compiles `model` for `target` into the artifact `out`.

    Args:
        model: imported and verified.
        target: what it will run on; need not be this machine.
        records: tuning records; None builds every task with its default.
        out: the tar to write; the same inputs give the same bytes.
        transfer: whether tasks without a record may use what records of related tasks suggest.
        forge: makes the kernels; one with the user's cache by default.

    Returns:
        The artifact's path, and what each task was built with.

    Raises:
        UnsupportedModelError: when the target cannot take a layer.
        InputFileError: when `records` has a corrupt line, or `out` cannot be written.
        BuildError: when a layer cannot be built.
        WrongResultError: when TVM computes a wrong result for a layer that no template takes, or the compiled model
            wrong outputs for the golden inputs.
        RuntimeMissingError: when the target's linker is not installed.
    """
    linker_of(target)  # fails now if it is missing, rather than after minutes of compiling
    if forge is None:
        with Forge() as own:
            return compile_model(model, target, records, out, transfer, own)
    with interruptible():
        bound = optimize_measured(model, target, records, cache=forge.cache)
        choices: tuple[TaskChoice, ...] = ()
        if has_templates(target):
            check_layers(bound, forge)
            choices = choose_configs(extract_tasks(bound), target, records, transfer, forge.cache)
        library = write_artifact(model, bound, choices, golden_pair(model), out, forge)
    layers = tuple(one.node.layers[0] for one in bound.nodes if one.is_imported)
    return CompileReport(out, choices, layers, library.storage_bytes)


def write_artifact(  # noqa: PLR0913 # the parts of an artifact, each of another type
    model: ImportedModel,
    bound: BoundModel,
    choices: Sequence[TaskChoice],
    golden: tuple[Mapping[str, Array], Mapping[str, Array]],
    out: Path,
    forge: Forge,
) -> Library:
    """Builds `bound` with the configs that were chosen, and writes the artifact `out`.

    Args:
        model: what was optimised.
        bound: its graph.
        choices: a config for each task; none for a GPU.
        golden: inputs and outputs from `golden_pair`.
        out: the tar to write.
        forge: makes the kernels.

    Raises:
        BuildError: when code generation or linking fails.
        InputFileError: when `out` cannot be written.
        RuntimeMissingError: when the target's linker is not installed.
        WrongResultError: when its outputs for the golden inputs are wrong; nothing is written.
    """
    configs = {choice.task.name: choice.config for choice in choices}
    library = build_library(bound, configs, linker_of(bound.target), forge)
    manifest = _manifest(model, bound.target, choices, library)
    parts = ArtifactParts(library.content, manifest, *golden, library.weights)
    check_golden(parts, out)
    save_artifact(parts, out)
    return library


@dataclass(frozen=True, slots=True)
class Library:
    """A compiled graph.

    Attributes:
        content: bytes of the shared library.
        weights: the constants, dtype uint8; None where TVM keeps them in the library.
        storage_bytes: sizes of the planned storages of intermediate tensors.
        steps: the kernel calls; none for a GPU, where TVM compiles the whole model.
    """

    content: bytes
    weights: npt.NDArray[np.uint8] | None
    storage_bytes: tuple[int, ...]
    steps: tuple[Step, ...]


def build_library(bound: BoundModel, configs: Mapping[str, Config], linker: str, forge: Forge) -> Library:
    """The shared library of `bound`, with its weights and steps; `forge` makes its kernels.

    Raises:
        BuildError: when code generation or linking fails.
    """
    assembly = assemble(bound, configs, forge) if has_templates(bound.target) else None
    if assembly is None:
        return _for_virtual_machine(bound, configs, linker)
    sliced = slice_in_place(assembly.program, assembly.slices)
    left = (place for place in range(len(assembly.steps)) if place not in sliced.dropped)
    joins = {now for now, place in enumerate(left) if place in assembly.joins}
    joined = join_in_place(sliced.program, joins)
    arena, weights = plan_arena(joined.program), lay_out_weights(joined.program)
    called = {call.kernel for call in joined.program.calls}
    tables = write_tables(joined.program, arena, weights)
    kernels = [kernel.content for kernel in assembly.kernels if kernel.symbol in called]
    content = link(kernels, tables, runtime_objects(linker, forge.cache), linker)
    steps = without_dropped(without_dropped(assembly.steps, sliced.dropped), joined.dropped)
    return Library(content, weights.content(), (arena.nbytes,), steps)


def _for_virtual_machine(bound: BoundModel, configs: Mapping[str, Config], linker: str) -> Library:
    """The library of a model that TVM's virtual machine runs."""
    import_compiler()
    from tvm.support import cc

    from tvmopt.pipeline.compiler import build
    from tvmopt.pipeline.compiler.lower import lower

    target = bound.target
    module = build.schedule(lower(bound, configs), target)
    calls: Sequence[KernelCall] = () if target.is_gpu else calls_of(module)
    module = build.plan_memory(module, target)
    if not target.is_gpu:
        check_calls(calls, build.called_kernels(module))
    executable = build.generate(module, target)
    with tempfile.TemporaryDirectory(prefix="tvmopt-") as folder:
        library = Path(folder) / "model.so"
        # No build id and no symbol table: both would carry names of temporary files into the artifact.
        options = ["-Wl,--build-id=none", "-s"]
        try:
            executable.export_library(str(library), fcompile=cc.cross_compiler(linker, options=options))
        except RuntimeError as error:
            lines = str(error).strip().splitlines()
            raise BuildError(f"linking with {linker} failed: {lines[-1] if lines else error}") from error
        steps = steps_of(bound, calls) if has_templates(target) else ()
        return Library(library.read_bytes(), None, build.storage_sizes(module), steps)


def golden_pair(model: ImportedModel) -> tuple[dict[str, Array], dict[str, Array]]:
    """Seeded random inputs, and onnxruntime's outputs for them from the model as its framework exported it."""
    import onnxruntime

    from tvmopt.pipeline.importers import example_inputs

    inputs = example_inputs(model)
    options = onnxruntime.SessionOptions()
    options.log_severity_level = 3
    session = onnxruntime.InferenceSession(
        model.original.SerializeToString(), options, providers=["CPUExecutionProvider"]
    )
    names = [spec.name for spec in model.outputs]
    return inputs, dict(zip(names, session.run(names, dict(inputs)), strict=True))


def _manifest(model: ImportedModel, target: Target, choices: Sequence[TaskChoice], library: Library) -> dict[str, Any]:
    from importlib.metadata import version

    records = json.dumps([[c.task.name, c.origin, dict(c.config)] for c in choices], sort_keys=True)
    return {
        "format_version": FORMAT_VERSION,
        "model": {"name": model.name, "source": model.source.path.name, "sha256": model.sha256},
        "inputs": [_spec(spec) for spec in model.inputs],
        "outputs": [_spec(spec) for spec in model.outputs],
        "target": {
            "name": target.name,
            "key": target.key,
            "tvm": dict(target.tvm),
            "isa": target.isa,
            "arch": target.arch,
            "features": list(target.features),
            "threads": target.threads,
        },
        "versions": {name: version(name) for name in ("tvmopt", "apache-tvm", "apache-tvm-ffi", "onnx")},
        "records_sha256": hashlib.sha256(records.encode()).hexdigest(),
        "tasks": [
            {
                "task": choice.task.name,
                "layers": list(choice.task.layers),
                "origin": choice.origin,
                "algorithm": choice.algorithm,
                "knobs": dict(choice.knobs),
                "config": dict(choice.config),
            }
            for choice in choices
        ],
        "steps": [step.to_json() for step in library.steps],
        "checks": _checks(model, target),
        "memory": {"storage_bytes": list(library.storage_bytes), "activations_bytes": sum(library.storage_bytes)},
    }


def _checks(model: ImportedModel, target: Target) -> list[str]:
    """What each element of the additional output of `guarded_onnx` says; none where kernels report errors."""
    return [] if has_templates(target) else list(guarded_onnx(model.normalized).messages)


def _spec(spec: TensorSpec) -> dict[str, Any]:
    return {"name": spec.name, "shape": list(spec.shape), "dtype": spec.dtype}
