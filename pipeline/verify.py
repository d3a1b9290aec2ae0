"""Whether a compiled model computes what its source does, layer by layer.

Every kernel's result that is also a value of the ONNX model is compared with onnxruntime's, which runs the model as it
is written, and with PyTorch's where the model came from there. An error travels on to the layers behind: the first
layer that leaves tolerance is the finding. Whether a layer is at fault itself says a second reference: what
onnxruntime makes of the very inputs that the compiled model gave to it.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

import numpy.typing as npt

from pipeline.artifact import LoadedArtifact
from pipeline.difference import Difference, difference
from pipeline.errors import InputFileError, TvmoptError
from pipeline.importers.given import run_given
from pipeline.importers.sessions import run_model
from pipeline.importers.verify import TOLERANCE, with_outputs
from pipeline.points import Point, Uncompared, layers_between, observe_values
from pipeline.types import ImportedModel

if TYPE_CHECKING:
    import onnx

Array = npt.NDArray[Any]
Arrays = Mapping[str, Array]

ONNXRUNTIME, PYTORCH = "onnxruntime", "PyTorch"

VERSION = 1
"""Of the JSON that `Verification.to_json` writes."""


@dataclass(frozen=True, slots=True)
class ValueCheck:
    """One value of the compiled model against its references.

    Attributes:
        value: its name in the ONNX model.
        kernel, operator: the kernel that made it and its operator family; empty for a model's output.
        layers: names of the source model's layers that the kernel stands for; for an output, the layer that makes it.
        unchecked: further layers between this value and the values compared before it: their kernels' results could
            not be compared, so that an error may come from them as well.
        tolerance: the largest relative error allowed.
        errors: against each reference, by its name; the first one is onnxruntime.
        own: against what onnxruntime makes of the inputs that the compiled model gave to these layers.
    """

    value: str
    kernel: str
    operator: str
    layers: tuple[str, ...]
    unchecked: tuple[str, ...]
    tolerance: float
    errors: Mapping[str, Difference]
    own: Difference

    @property
    def wrong_against(self) -> tuple[str, ...]:
        """Names of the references from which it is further away than the tolerance."""
        return tuple(name for name, error in self.errors.items() if not error.relative <= self.tolerance)

    @property
    def at_fault(self) -> bool:
        """Whether it leaves tolerance even given the inputs that these layers got."""
        return not self.own.relative <= self.tolerance

    def to_json(self) -> dict[str, Any]:
        """A JSON object."""
        names = ("value", "kernel", "operator", "tolerance")
        return {name: getattr(self, name) for name in names} | {
            "layers": list(self.layers),
            "unchecked": list(self.unchecked),
            "errors": {name: error.to_json() for name, error in self.errors.items()},
            "own": self.own.to_json(),
            "wrong_against": list(self.wrong_against),
        }


@dataclass(frozen=True, slots=True)
class Verification:
    """What came of comparing.

    Attributes:
        checks: each kernel's result that was compared, in the order of execution.
        outputs: the model's outputs.
        uncompared: each kernel's result that was not, and why.
        layers: how many layers the source model has.
        covered: how many of them lie before a value that was compared.
        notes: why a reference is missing; one line each.
    """

    checks: tuple[ValueCheck, ...]
    outputs: tuple[ValueCheck, ...]
    uncompared: tuple[Uncompared, ...]
    layers: int
    covered: int
    notes: tuple[str, ...]

    @property
    def first_wrong(self) -> ValueCheck | None:
        """The first value that leaves tolerance; None when all are right."""
        return next((check for check in (*self.checks, *self.outputs) if check.wrong_against), None)

    @property
    def later_at_fault(self) -> tuple[ValueCheck, ...]:
        """Behind the first wrong value those that are wrong in themselves, not for what they were given."""
        wrong = [check for check in self.checks if check.wrong_against]
        return tuple(check for check in wrong[1:] if check.at_fault)

    def to_json(self) -> dict[str, Any]:
        """A JSON object; a person's or a program's to read, there is no way back."""
        wrong = self.first_wrong
        return {
            "schema": "tvmopt-verification",
            "version": VERSION,
            "passed": wrong is None,
            "first_wrong": wrong.value if wrong is not None else None,
            "values": [check.to_json() for check in self.checks],
            "outputs": [check.to_json() for check in self.outputs],
            "not_compared": [entry.to_json() for entry in self.uncompared],
            "layers": self.layers,
            "layers_covered": self.covered,
            "notes": list(self.notes),
        }


def check_same_model(model: ImportedModel, artifact: LoadedArtifact, name: str) -> None:
    """Checks that `artifact` was compiled from `model`.

    Args:
        model: what it should have been compiled from.
        artifact: what was compiled.
        name: what the artifact is called in the error.

    Raises:
        InputFileError: it was compiled from another model, or for inputs of other shapes.
    """
    made = artifact.manifest["model"]
    if made["sha256"] == model.sha256:
        return
    ours = [[spec.name, list(spec.shape), spec.dtype] for spec in model.inputs]
    theirs = [[spec["name"], spec["shape"], spec["dtype"]] for spec in artifact.manifest["inputs"]]
    if ours != theirs:
        apart = f"its inputs are {_listed(theirs)}, those of {model.source.spec} {_listed(ours)}"
    else:
        apart = f"the weights or layers of {model.source.spec} are others"
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
        tolerance: the largest relative error allowed; by default that of `pipeline.importers.verify.TOLERANCE` for
            each value's dtype, and integers and booleans must be equal.

    Raises:
        ModelInputError: names, shapes or dtypes of `inputs` are not the model's.
        InputFileError: the library runs other kernels than the manifest lists.
        UnsupportedModelError: onnxruntime cannot run the model.
    """
    graph = model.original.graph
    values = {name for node in graph.node for name in node.output if name}
    artifact.set_inputs(inputs)
    points, uncompared = observe_values(artifact, values | inputs.keys())
    results = artifact.outputs()
    wanted = list(dict.fromkeys([*(p.value for p in points if p.value in values), *results]))
    whole = {**inputs, **run_model(with_outputs(model.original, wanted), inputs, wanted)}
    points, misfits = _fitting(points, whole)
    computed = {point.value: point.array for point in points if not point.copied}
    framework, notes = _framework(model, inputs, wanted)
    given = run_given(model.original, inputs, computed, wanted)
    missing = (*uncompared, *misfits)
    unseen = frozenset(layer for entry in missing for layer in entry.step.layers)
    judge = _Judge(graph, _References(whole, given, framework), {**inputs, **computed}, unseen, tolerance)
    checks = tuple(map(judge.check_point, points))
    outputs = tuple(judge.check_output(name, array) for name, array in results.items())
    covered = {layer for check in (*checks, *outputs) for layer in judge.layers_of(check.value)}
    return Verification(checks, outputs, missing, len(graph.node), len(covered), notes)


def _fitting(points: Sequence[Point], whole: Arrays) -> tuple[list[Point], list[Uncompared]]:
    """`points` in the shapes of the ONNX model's values; those that have another number or kind of elements apart."""
    fitting, misfits = [], []
    for point in points:
        array, wanted = point.array, whole[point.value]
        if (array.size, array.dtype) == (wanted.size, wanted.dtype):
            fitting.append(replace(point, array=array.reshape(wanted.shape)))
        else:
            reason = f"{array.dtype} {array.shape} here, {wanted.dtype} {wanted.shape} in the ONNX model"
            misfits.append(Uncompared(point.step, point.value, reason))
    return fitting, misfits


def _framework(model: ImportedModel, inputs: Arrays, names: Sequence[str]) -> tuple[Arrays, tuple[str, ...]]:
    """What the original framework makes of `names`, or nothing and one line that says why."""
    if model.source.kind == "onnx":
        return {}, (f"no comparison with {PYTORCH}: {model.source.path.name} does not say which framework it is from",)
    from pipeline.importers.torch_values import framework_values

    try:
        return framework_values(model, inputs, frozenset(names)), ()
    except TvmoptError as error:
        return {}, (f"no comparison with {PYTORCH}: {error}",)


@dataclass(frozen=True, slots=True)
class _References:
    """What values should be, by name.

    Attributes:
        whole: as onnxruntime computes them from the model's inputs.
        given: as onnxruntime computes them from what the compiled model made of the values before.
        framework: as PyTorch computes them, those that it has.
    """

    whole: Arrays
    given: Arrays
    framework: Arrays


@dataclass(frozen=True, slots=True)
class _Judge:
    """Compares values with the references.

    Attributes:
        graph: of the ONNX model.
        references: what is right.
        computed: the compiled model's values that are compared, and its inputs.
        unseen: layers whose kernels' results are not compared.
        tolerance: as `verify` takes it.
    """

    graph: onnx.GraphProto
    references: _References
    computed: Arrays
    unseen: frozenset[str]
    tolerance: float | None

    def layers_of(self, value: str) -> tuple[str, ...]:
        """The layers between `value` and those that are compared before it."""
        return layers_between(self.graph, value, self.computed)

    def check_point(self, point: Point) -> ValueCheck:
        """A kernel's result; a copy must be what it copies."""
        step, value = point.step, point.value
        given = self.computed[value] if point.copied else self.references.given[value]
        layers = () if point.copied else self.layers_of(value)
        return ValueCheck(
            value,
            step.kernel,
            step.operator,
            step.layers,
            tuple(layer for layer in layers if layer in self.unseen and layer not in step.layers),
            self._allowed(point.array),
            self._errors(value, point.array),
            difference(given, point.array),
        )

    def check_output(self, name: str, array: Array) -> ValueCheck:
        """An output of the model, which may be a view of a kernel's result."""
        layers = self.layers_of(name)
        return ValueCheck(
            name,
            "",
            "",
            layers[-1:],
            tuple(layer for layer in layers[:-1] if layer in self.unseen),
            self._allowed(array),
            self._errors(name, array),
            difference(self.references.given[name], array),
        )

    def _allowed(self, array: Array) -> float:
        return TOLERANCE.get(array.dtype.name, 0.0) if self.tolerance is None else self.tolerance

    def _errors(self, value: str, array: Array) -> dict[str, Difference]:
        found = {ONNXRUNTIME: difference(self.references.whole[value], array)}
        theirs = self.references.framework.get(value)
        if theirs is not None and theirs.shape == array.shape:
            found[PYTORCH] = difference(theirs, array)
        return found
