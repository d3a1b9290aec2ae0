"""Checks, layer by layer, whether a compiled model computes what its source does.

Every kernel's result that is also a value of the ONNX model is compared with onnxruntime's, which runs the model as it
is written, and with the original framework's where its importer can ask for it. An error spreads to later layers, so
the first layer out of tolerance is the finding. A second reference shows whether a layer itself is at fault:
onnxruntime's result for the same inputs that the compiled model gave to it.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

import numpy.typing as npt

from tvmopt.pipeline.artifact.loaded import LoadedArtifact
from tvmopt.pipeline.errors import InputFileError, TvmoptError, UnsupportedModelError
from tvmopt.pipeline.graph.ir import Origin
from tvmopt.pipeline.importers.check.normalized import with_outputs
from tvmopt.pipeline.importers.registry import find_importer
from tvmopt.pipeline.support.numeric_error import NumericError, numeric_error
from tvmopt.pipeline.support.onnxruntime import run_model
from tvmopt.pipeline.support.tolerances import ALONE, BEHIND_INTEGERS, COMPILED, STEP, only_steps
from tvmopt.pipeline.tasks.alternatives import origins_of_all_ways
from tvmopt.pipeline.types import ImportedModel
from tvmopt.pipeline.verification.isolated_layers import run_given
from tvmopt.pipeline.verification.kernel_values import Point, Uncompared, layers_between, observe_values
from tvmopt.pipeline.verification.quantized import QUANTIZING, values_behind
from tvmopt.pipeline.verification.result import ONNXRUNTIME, ValueCheck, Verification
from tvmopt.schedules.target import TARGETS, parse_target

if TYPE_CHECKING:
    import onnx

Array = npt.NDArray[Any]
Arrays = Mapping[str, Array]


def check_same_model(model: ImportedModel, artifact: LoadedArtifact, name: str) -> None:
    """Checks that `artifact` was compiled from `model`, and selects the size of the inputs of `model`.

    Args:
        model: what it should have been compiled from.
        artifact: what was compiled.
        name: the artifact's name in the error.

    Raises:
        InputFileError: it was compiled from another model, or for inputs of other shapes.
    """
    theirs = []
    for size in range(artifact.sizes):
        artifact.select(size)
        if artifact.manifest["model"]["sha256"] == model.sha256:
            return
        theirs.append([[spec["name"], spec["shape"], spec["dtype"]] for spec in artifact.manifest["inputs"]])
    made = artifact.manifest["model"]
    ours = [[spec.name, list(spec.shape), spec.dtype] for spec in model.inputs]
    if ours not in theirs:
        inputs = " or ".join(map(_listed, theirs))
        apart = f"its inputs are {inputs}, those of {model.source.spec} {_listed(ours)}"
    else:
        apart = f"the weights or layers of {model.source.spec} differ"
    raise InputFileError(f"{name} was compiled from another model ({made['source']}): {apart}; compile it again")


def _listed(specs: Sequence[Sequence[Any]]) -> str:
    return ", ".join(f"{name}:{','.join(map(str, shape))} {dtype}" for name, shape, dtype in specs)


def verify(
    model: ImportedModel, artifact: LoadedArtifact, inputs: Arrays, tolerance: float | None = None
) -> Verification:
    """Runs a compiled model and its references once, and compares.

    Args:
        model: what `artifact` was compiled from.
        artifact: what to verify.
        inputs: an array for each of the model's inputs.
        tolerance: the largest relative error allowed, by default that of `tolerances.COMPILED` for the value's dtype,
            and `tolerances.BEHIND_INTEGERS` for what follows from integers of 8 bits; for a layer recomputed from the
            inputs that it got, `tolerances.ALONE` times the dtype's. Of one that rounds to integers itself, a few
            elements may be a step off (`tolerances.only_steps`).

    Raises:
        ModelInputError: names, shapes or dtypes of `inputs` are not the model's.
        InputFileError: the library runs other kernels than the manifest lists.
        UnsupportedModelError: onnxruntime cannot run the model.
    """
    graph = model.original.graph
    values = {name for node in graph.node for name in node.output if name}
    artifact.set_inputs(inputs)
    points, uncompared = observe_values(artifact, values | inputs.keys(), _origins(model, artifact))
    results = artifact.outputs()
    wanted = list(dict.fromkeys([*(p.value for p in points if p.value in values), *results]))
    whole = {**inputs, **run_model(with_outputs(model.original, wanted), inputs, wanted)}
    points, misfits = _fitting(points, whole, inputs)
    computed = {point.value: point.array for point in points if not point.copied}
    framework, notes = _framework(model, inputs, wanted)
    try:
        given = run_given(model.original, inputs, computed, wanted)
    except UnsupportedModelError as error:  # a wrong index, say, that a kernel of ours computed
        given, notes = {}, (*notes, f"no layer was run alone on what the compiled model gave to it: {error}")
    missing = (*uncompared, *misfits)
    unseen = frozenset(layer for entry in missing for layer in entry.step.layers)
    references = _References(whole, given, framework, find_importer(model.source.kind).framework)
    judge = _Judge(graph, references, {**inputs, **computed}, unseen, values_behind(graph), tolerance)
    checks = tuple(map(judge.check_point, points))
    outputs = tuple(judge.check_output(name, array) for name, array in results.items())
    covered = {layer for check in (*checks, *outputs) for layer in judge.layers_of(check.value)}
    return Verification(checks, outputs, missing, len(graph.node), len(covered), notes)


def _origins(model: ImportedModel, artifact: LoadedArtifact) -> Mapping[str, Origin]:
    """The origins of the values that passes made on the way to `artifact`, by name.

    The manifest has only the values' names; the passes give the same names for the same model and instruction set.
    """
    if not artifact.steps:
        return {}
    made = artifact.manifest["target"]
    target = parse_target(made["name"] if made["name"] in TARGETS else "llvm", made["threads"])
    return origins_of_all_ways(model, replace(target, isa=made["isa"], strict_nan=made.get("strict_nan", False)))


def _fitting(points: Sequence[Point], whole: Arrays, inputs: Arrays) -> tuple[list[Point], list[Uncompared]]:
    """`points` in the shapes of the ONNX model's values; apart from them those of another size or dtype.

    If a value itself was not seen, its copy counts as that value.
    """
    fitting: list[Point] = []
    misfits: list[Uncompared] = []
    seen = set(inputs)
    for point in points:
        array, wanted = point.array, whole[point.value]
        if (array.size, array.dtype) == (wanted.size, wanted.dtype):
            copied = point.copied and point.value in seen
            fitting.append(replace(point, array=point.shaped(wanted.shape), copied=copied))
            seen.add(point.value)
        else:
            reason = f"{array.dtype} {array.shape} here, {wanted.dtype} {wanted.shape} in the ONNX model"
            misfits.append(Uncompared(point.step, point.value, reason))
    return fitting, misfits


def _framework(model: ImportedModel, inputs: Arrays, names: Sequence[str]) -> tuple[Arrays, tuple[str, ...]]:
    """The original framework's values of `names`, or none and one line that says why."""
    importer = find_importer(model.source.kind)
    if not importer.framework:
        name = model.source.path.name
        return {}, (f"no comparison with the original framework: {name} does not say which one",)
    if importer.layer_values is None:
        return {}, (f"no comparison with {importer.framework}: its importer cannot ask it for values of layers",)
    try:
        return importer.layer_values(model, inputs, frozenset(names)), ()
    except TvmoptError as error:
        return {}, (f"no comparison with {importer.framework}: {error}",)


WHOLE = 1.0
"""A relative error that is as large as the values."""


@dataclass(frozen=True, slots=True)
class _References:
    """The expected values, by name.

    Attributes:
        whole: as onnxruntime computes them from the model's inputs.
        given: as onnxruntime computes them from the compiled model's earlier values; empty when it refuses these.
        framework: as the original framework computes them; only those that it has.
        framework_name: that framework's name.
    """

    whole: Arrays
    given: Arrays
    framework: Arrays
    framework_name: str


@dataclass(frozen=True, slots=True)
class _Judge:
    """Compares values with the references.

    Attributes:
        graph: the ONNX model's graph.
        references: the expected values.
        computed: the compiled model's values that are compared, and its inputs.
        unseen: layers whose kernels' results are not compared.
        behind: values that follow from integers of 8 bits.
        tolerance: as in `verify`.
    """

    graph: onnx.GraphProto
    references: _References
    computed: Arrays
    unseen: frozenset[str]
    behind: frozenset[str]
    tolerance: float | None

    def layers_of(self, value: str) -> tuple[str, ...]:
        """The layers between `value` and those that are compared before it."""
        return layers_between(self.graph, value, self.computed)

    def check_point(self, point: Point) -> ValueCheck:
        """Checks a kernel's result; a copy must equal the value that it copies."""
        step, value = point.step, point.value
        layers = () if point.copied else self.layers_of(value)
        return ValueCheck(
            value,
            step.kernel,
            step.operator,
            step.layers,
            tuple(layer for layer in layers if layer in self.unseen and layer not in step.layers),
            max(self._allowed(value, point.array), self._allowed_inside(value)),
            self._errors(value, point.array),
            self._alone(value, point.array) if not point.copied else numeric_error(self.computed[value], point.array),
            self._allowed_alone(layers, value, point.array),
        )

    def check_output(self, name: str, array: Array) -> ValueCheck:
        """Checks an output of the model, which may be a view of a kernel's result."""
        layers = self.layers_of(name)
        return ValueCheck(
            name,
            "",
            "",
            layers[-1:],
            tuple(layer for layer in layers[:-1] if layer in self.unseen),
            self._allowed(name, array),
            self._errors(name, array),
            self._alone(name, array),
            self._allowed_alone(layers, name, array),
        )

    def _allowed(self, value: str, array: Array) -> float:
        if self.tolerance is not None:
            return self.tolerance
        small = array.dtype.kind == "f" or array.dtype.itemsize == 1
        return max(COMPILED.of(array.dtype), BEHIND_INTEGERS if small and value in self.behind else 0.0)

    def _allowed_inside(self, value: str) -> float:
        """What is allowed of a value behind integers inside the model: anything, as the layers are judged alone."""
        return WHOLE if self.tolerance is None and value in self.behind and value in self.references.given else 0.0

    def _allowed_alone(self, layers: Sequence[str], value: str, array: Array) -> float:
        own = COMPILED.of(array.dtype) if self.tolerance is None else self.tolerance
        wanted, given = set(layers), self.references.given.get(value)
        rounds = any(node.op_type in QUANTIZING for node in self.graph.node if node.name in wanted)
        if not rounds or self.tolerance is not None:
            return own if rounds else ALONE * own
        return STEP if given is None or only_steps(given, array, ALONE * own) else ALONE * own

    def _alone(self, value: str, array: Array) -> NumericError | None:
        given = self.references.given
        return numeric_error(given[value], array) if value in given else None

    def _errors(self, value: str, array: Array) -> dict[str, NumericError]:
        found = {ONNXRUNTIME: numeric_error(self.references.whole[value], array)}
        theirs = self.references.framework.get(value)
        if theirs is not None and theirs.shape == array.shape:
            found[self.references.framework_name] = numeric_error(theirs, array)
        return found
