"""Frozen types that several stages share: TensorSpec, ModelSource, Cut, Draw, ImportedModel, Task, Step."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal, get_args

if TYPE_CHECKING:
    import numpy as np
    import onnx

    from tvmopt.schedules.workload import Tensor, Workload


@dataclass(frozen=True, slots=True)
class TensorSpec:
    """Name, static shape and dtype (numpy's spelling) of a model's input or output."""

    name: str
    shape: tuple[int, ...]
    dtype: str


@dataclass(frozen=True, slots=True)
class ModelSource:
    """Where a model comes from.

    Attributes:
        spec: what the user wrote, such as ``file.onnx``, ``file.pt2`` or ``path/file.py:factory``.
        kind: the `kind` of its importer in the registry.
        path: the file.
        factory: the callable's name, for Python files.
        values: by input, the elements of those that the user made constants.
    """

    spec: str
    kind: str
    path: Path
    factory: str | None = None
    values: Mapping[str, tuple[float, ...]] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Cut:
    """An output whose size along one axis is found at run time.

    Attributes:
        name: the output's.
        room: the name of the tensor of the largest size that is computed in its place.
        axis: along which the output is shorter.
        count: the name of the tensor ``(1)`` of int64 that says how long it is.
    """

    name: str
    room: str
    axis: int
    count: str

    def to_json(self) -> dict[str, Any]:
        """A JSON object that `from_json` reads back."""
        return asdict(self)

    @staticmethod
    def from_json(data: Mapping[str, Any]) -> Cut:
        """The inverse of `to_json`.

        Raises:
            KeyError, TypeError, ValueError: when `data` is not what `to_json` writes.
        """
        return Cut(str(data["name"]), str(data["room"]), int(data["axis"]), str(data["count"]))


@dataclass(frozen=True, slots=True)
class Draw:
    """How example values of an input are made: given, or drawn evenly between two limits.

    Attributes:
        low: the least value.
        high: what all values are below.
        given: the values themselves; then the limits count for nothing.
    """

    low: float = 0
    high: float = 1
    given: np.ndarray | None = None


@dataclass(frozen=True, slots=True)
class ImportedModel:
    """A model in ONNX, with static shapes, checked.

    Attributes:
        name: a short name for files and tables (``mobilenet_v2``).
        source: where it came from.
        original: the ONNX model as the framework exported it, with static shapes; other runtimes get this one.
        normalized: the same function after onnxruntime's basic optimisation; our passes start from it.
        inputs: the model's inputs, in order.
        outputs: what `normalized` computes, in order: the model's outputs, and for those whose size is found at run
            time their rooms and counts; `results` are the model's outputs alone.
        sha256: hash of `original`'s bytes.
        draws: by input, how to make values that the model takes; inputs of its dtype's usual values have none.
        weights: the arrays of initialisers that `normalized` names without their elements; none where it has all.
        golden: inputs, and onnxruntime's outputs for them from `original`, if that was run; a model that was imported
            before has them in place of `original`.
        cuts: the outputs whose size is found at run time.
        checked_against: what computed the same from the user's files, independently of the ONNX form: the framework, or
            another reader; empty where there was none, or the model was imported before.
        unchecked: why nothing did, one line; empty where something did, or there is nothing that could.
    """

    name: str
    source: ModelSource
    original: onnx.ModelProto
    normalized: onnx.ModelProto
    inputs: tuple[TensorSpec, ...]
    outputs: tuple[TensorSpec, ...]
    sha256: str
    draws: Mapping[str, Draw] = field(default_factory=dict)
    weights: Mapping[str, np.ndarray] = field(default_factory=dict)
    golden: tuple[Mapping[str, np.ndarray], Mapping[str, np.ndarray]] | None = None
    cuts: tuple[Cut, ...] = ()
    checked_against: str = ""
    unchecked: str = ""

    @property
    def results(self) -> tuple[TensorSpec, ...]:
        """The model's outputs, in order; those whose size is found at run time in their largest size."""
        names, counts = {cut.room: cut.name for cut in self.cuts}, {cut.count for cut in self.cuts}
        kept = [spec for spec in self.outputs if spec.name not in counts]
        return tuple(replace(spec, name=names.get(spec.name, spec.name)) for spec in kept)


Precision = Literal["auto", "int8", "fp32"]
"""What is wanted of a quantised model: its integers, the float network that it describes, or whatever the model is.

Integers run where the target has kernels for them, layer by layer; the rest computes in float between the roundings."""
PRECISIONS: tuple[Precision, ...] = get_args(Precision)

CUTS_KEY = "tvmopt.cuts"
"""Key in the `metadata_props` of a normalised model for its cuts."""


def cuts_of(normalized: onnx.ModelProto) -> tuple[Cut, ...]:
    """The cuts of a normalised model's outputs."""
    listed = next((entry.value for entry in normalized.metadata_props if entry.key == CUTS_KEY), "[]")
    return tuple(map(Cut.from_json, json.loads(listed)))


@dataclass(frozen=True, slots=True)
class Task:
    """A distinct kernel of a model, to be tuned.

    Attributes:
        name: ``conv2d-1a2b3c4d5e6f``, the workload's key.
        workload: what the kernel computes.
        weight: how often the model runs it.
        layers: names of the model's layers that it stands for.
        streamed_bytes: bytes of constants that all kernels read in a run of the model, and so between two calls of this
            one. 0 when the model is not known.
        alternative: whether it computes the same as other tasks of the model; measuring decides between them.
    """

    name: str
    workload: Workload
    weight: int
    layers: tuple[str, ...]
    streamed_bytes: int = 0
    alternative: bool = False


@dataclass(frozen=True, slots=True)
class Step:
    """One kernel call of a compiled model.

    Attributes:
        kernel: the kernel's symbol in the library.
        operator: the operator family of `schedules`, or ONNX's operator type.
        layers: names of the source model's layers that it stands for.
        outputs: the values it makes: names in the graph, and memory layouts; empty where TVM merged several layers so
            that their values cannot be told apart.
        task: name of the task that chose its config; empty where no template computes the layer.
        flops: floating-point operations, a multiply-add as two; 0 where no template computes the layer.
        nbytes: bytes of its inputs, constants and outputs, each counted once.
    """

    kernel: str
    operator: str
    layers: tuple[str, ...]
    outputs: tuple[tuple[str, Tensor], ...]
    task: str
    flops: int
    nbytes: int

    def to_json(self) -> dict[str, Any]:
        """A JSON object that `from_json` reads back."""
        names = ("kernel", "operator", "task", "flops", "nbytes")
        outputs = [{"name": name, **tensor.to_json()} for name, tensor in self.outputs]
        return {name: getattr(self, name) for name in names} | {"layers": list(self.layers), "outputs": outputs}

    @staticmethod
    def from_json(data: Mapping[str, Any]) -> Step:
        """The inverse of `to_json`.

        Raises:
            KeyError, TypeError, ValueError: when `data` is not what `to_json` writes.
        """
        from tvmopt.schedules.workload import Tensor  # here, since it imports numpy, which `tvmopt --help` does without

        return Step(
            kernel=str(data["kernel"]),
            operator=str(data["operator"]),
            layers=tuple(str(layer) for layer in data["layers"]),
            outputs=tuple((str(entry["name"]), Tensor.from_json(entry)) for entry in data["outputs"]),
            task=str(data["task"]),
            flops=int(data["flops"]),
            nbytes=int(data["nbytes"]),
        )
