"""Compiling: picks a recorded, transferred or default schedule for each task, then makes the library and manifest."""

from __future__ import annotations

import hashlib
import json
import tempfile
from collections.abc import Iterable, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import onnx

from tvmopt.pipeline.artifact.check_golden import check_golden
from tvmopt.pipeline.artifact.format import FORMAT_VERSION, ArtifactParts, Sized, save_artifact, sha256
from tvmopt.pipeline.compiler.arena import plan_arena
from tvmopt.pipeline.compiler.assemble import assemble
from tvmopt.pipeline.compiler.check_layers import check_layers
from tvmopt.pipeline.compiler.concat_in_place import join_in_place
from tvmopt.pipeline.compiler.guarded_onnx import guarded_onnx
from tvmopt.pipeline.compiler.kernels.forge import Forge
from tvmopt.pipeline.compiler.kernels.runtime import runtime_objects
from tvmopt.pipeline.compiler.native.link import link
from tvmopt.pipeline.compiler.native.linker import linker_of
from tvmopt.pipeline.compiler.native.tables import lay_out_weights, weights_block, write_tables
from tvmopt.pipeline.compiler.program import Program
from tvmopt.pipeline.compiler.slice_in_place import slice_in_place
from tvmopt.pipeline.compiler.steps import without_dropped
from tvmopt.pipeline.compiler.traced.kernel_calls import KernelCall, calls_of, check_calls
from tvmopt.pipeline.compiler.traced.kernel_layers import steps_of
from tvmopt.pipeline.errors import BuildError, UnsupportedModelError
from tvmopt.pipeline.graph.quantized.scales import rounds_to_bytes
from tvmopt.pipeline.importers.golden import golden_pair
from tvmopt.pipeline.records.lookup import Records
from tvmopt.pipeline.support.interrupts import interruptible
from tvmopt.pipeline.support.memory import give_back_freed
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

_NOTHING = onnx.ModelProto()


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


@dataclass(frozen=True, slots=True)
class Ready:
    """A model in one size of its inputs, ready to be built.

    Attributes:
        model: what was optimised.
        bound: its graph.
        choices: a config for each task; none for a GPU.
        golden: inputs and outputs from `golden_pair`.
    """

    model: ImportedModel
    bound: BoundModel
    choices: Sequence[TaskChoice]
    golden: tuple[Mapping[str, Array], Mapping[str, Array]]

    @property
    def configs(self) -> Mapping[str, Config]:
        """The config of each task by its name."""
        return {choice.task.name: choice.config for choice in self.choices}


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
        TvmoptError: as `compile_sizes`.
    """
    return compile_sizes((model,), target, records, out, transfer, forge)


def compile_sizes(  # noqa: PLR0913 # what to compile, for what, with what
    models: Iterable[ImportedModel],
    target: Target,
    records: Records | None,
    out: Path,
    transfer: bool = True,
    forge: Forge | None = None,
) -> CompileReport:
    """Compiles a model in several sizes of its inputs into one artifact.

    Args:
        models: the model, imported and verified, once for each size.
        target: what it will run on; need not be this machine.
        records: tuning records; None builds every task with its default.
        out: the tar to write; the same inputs give the same bytes.
        transfer: whether tasks without a record may use what records of related tasks suggest.
        forge: makes the kernels; one with the user's cache by default.

    Returns:
        The artifact's path, and what each task of any size was built with.

    Raises:
        UnsupportedModelError: when the target cannot take a layer, or several sizes.
        InputFileError: when `records` has a corrupt line, or `out` cannot be written.
        BuildError: when a layer cannot be built.
        WrongResultError: when TVM computes a wrong result for a layer that no template takes, or the compiled model
            wrong outputs for the golden inputs.
        RuntimeMissingError: when the target's linker is not installed.
    """
    linker_of(target)  # fails now if it is missing, rather than after minutes of compiling
    if forge is None:
        with Forge() as own:
            return compile_sizes(models, target, records, out, transfer, own)
    with interruptible():
        builds = list(_made_ready(models, target, records, transfer, forge))
        libraries = write_artifact(builds, out, forge)
    layers = dict.fromkeys(one.node.layers[0] for ready in builds for one in ready.bound.nodes if one.is_imported)
    chosen = {choice.task.name: choice for ready in builds for choice in ready.choices}
    return CompileReport(out, tuple(chosen.values()), tuple(layers), libraries[0].storage_bytes)


def _made_ready(
    models: Iterable[ImportedModel], target: Target, records: Records | None, transfer: bool, forge: Forge
) -> Iterator[Ready]:
    """Each of `models` with its graph and configs; `compile_sizes` describes the arguments.

    Nothing but this function may hold a model: it lets go of each form of the weights when the next is made.
    """
    for model in models:
        golden = golden_pair(model) if model.golden is None else model.golden
        model = replace(model, original=_NOTHING)  # noqa: PLW2901 # the former would live as long as its name
        give_back_freed()
        bound = optimize_measured(model, target, records, cache=forge.cache)
        choices: tuple[TaskChoice, ...] = ()
        if has_templates(target):
            # The graph has all that is left to do.
            model = replace(model, normalized=_NOTHING)  # noqa: PLW2901
            bound = replace(bound, model=model)
            give_back_freed()
            check_layers(bound, forge)
            choices = choose_configs(extract_tasks(bound), target, records, transfer, forge.cache)
        yield Ready(model, bound, choices, golden)


def write_artifact(builds: Sequence[Ready], out: Path, forge: Forge) -> tuple[Library, ...]:
    """Builds a model, in each of its sizes, with the configs that were chosen, and writes the artifact `out`.

    Args:
        builds: the model in each size.
        out: the tar to write.
        forge: makes the kernels.

    Returns:
        The library of each size.

    Raises:
        UnsupportedModelError: when there are several sizes, and TVM's virtual machine would have to run one.
        BuildError: when code generation or linking fails.
        InputFileError: when `out` cannot be written.
        RuntimeMissingError: when the target's linker is not installed.
        WrongResultError: when its outputs for the golden inputs are wrong; nothing is written.
    """
    linker = linker_of(builds[0].bound.target)
    libraries = build_libraries([(ready.bound, ready.configs) for ready in builds], linker, forge)
    sized = [
        Sized(library.content, _manifest(ready.model, ready.bound, ready.choices, library), *ready.golden)
        for ready, library in zip(builds, libraries, strict=True)
    ]
    first, *others = sized
    parts = ArtifactParts(
        first.library, first.manifest, first.inputs, first.outputs, libraries[0].weights, tuple(others)
    )
    with ThreadPoolExecutor(1) as pool:  # hashing needs another core only, while the weights are written
        hashed = None if parts.weights is None else pool.submit(sha256, parts.weights)
        check_golden(parts, out)
        save_artifact(parts, out, None if hashed is None else hashed.result)
    return libraries


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
    (library,) = build_libraries([(bound, configs)], linker, forge)
    return library


def build_libraries(
    graphs: Sequence[tuple[BoundModel, Mapping[str, Config]]], linker: str, forge: Forge
) -> tuple[Library, ...]:
    """The libraries of several graphs, each with its configs, that share one block of weights.

    Raises:
        UnsupportedModelError: when there are several, and TVM's virtual machine would have to run one.
        BuildError: when code generation or linking fails.
    """
    with ThreadPoolExecutor(1) as pool:  # the C++ compiler runs beside the processes that make kernels
        native = pool.submit(runtime_objects, linker, forge.cache) if has_templates(graphs[0][0].target) else None
        planned = [_plan(bound, configs, forge) for bound, configs in graphs]
    programs = [one.program for one in planned if one is not None]
    if len(programs) < len(planned):
        if len(planned) > 1:
            raise UnsupportedModelError(
                "the model needs TVM's virtual machine, which is compiled for one size of the inputs; give one size"
            )
        return (_for_virtual_machine(*graphs[0], linker),)
    laid = lay_out_weights(*programs)
    block = weights_block(laid)
    assert native is not None
    libraries = []
    for one, weights in zip(planned, laid, strict=True):
        assert one is not None
        arena = plan_arena(one.program)
        content = link(one.kernels, write_tables(one.program, arena, weights), native.result(), linker)
        libraries.append(Library(content, block, (arena.nbytes,), one.steps))
    return tuple(libraries)


@dataclass(frozen=True, slots=True)
class _Planned:
    """What a library is linked from: its program, its kernels' object files, and the steps of the calls."""

    program: Program
    kernels: Sequence[bytes]
    steps: tuple[Step, ...]


def _plan(bound: BoundModel, configs: Mapping[str, Config], forge: Forge) -> _Planned | None:
    """The program of `bound` and its kernels; None when TVM's virtual machine has to run it."""
    assembly = assemble(bound, configs, forge) if has_templates(bound.target) else None
    if assembly is None:
        return None
    sliced = slice_in_place(assembly.program, assembly.slices)
    left = (place for place in range(len(assembly.steps)) if place not in sliced.dropped)
    joins = {now for now, place in enumerate(left) if place in assembly.joins}
    joined = join_in_place(sliced.program, joins)
    called = {call.kernel for call in joined.program.calls}
    kernels = [kernel.content for kernel in assembly.kernels if kernel.symbol in called]
    steps = without_dropped(without_dropped(assembly.steps, sliced.dropped), joined.dropped)
    return _Planned(joined.program, kernels, steps)


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


def _manifest(
    model: ImportedModel, bound: BoundModel, choices: Sequence[TaskChoice], library: Library
) -> dict[str, Any]:
    from importlib.metadata import version

    target = bound.target
    records = json.dumps([[c.task.name, c.origin, dict(c.config)] for c in choices], sort_keys=True)
    return {
        "format_version": FORMAT_VERSION,
        "model": {"name": model.name, "source": model.source.path.name, "sha256": model.sha256},
        "inputs": [_spec(spec) for spec in model.inputs],
        "outputs": [_spec(spec) for spec in model.outputs],
        **({"quantizes": True} if rounds_to_bytes(bound.graph) else {}),
        **({"cuts": [cut.to_json() for cut in model.cuts]} if model.cuts else {}),
        "target": {
            "name": target.name,
            "key": target.key,
            "tvm": dict(target.tvm),
            "isa": target.isa,
            "arch": target.arch,
            "features": list(target.features),
            "threads": target.threads,
            **({"strict_nan": True} if target.strict_nan else {}),
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
