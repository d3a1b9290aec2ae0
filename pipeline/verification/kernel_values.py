"""Points at which a compiled model and its source model can be compared: values that both of them have.

A kernel's result has the name of the ONNX value that it is. Layers that were fused into a kernel are compared at the
kernel's end. Some values that passes add hold the same numbers as a value of the ONNX model: copies in another layout,
global pooling before its result is reshaped, and integers that are moved to be unsigned. The graph records them
(`pipeline.graph.ir.Origin`).
"""

from __future__ import annotations

from collections.abc import Collection, Iterator, Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt
import onnx

from tvmopt.pipeline.artifact.kernel_by_kernel import visit_steps
from tvmopt.pipeline.artifact.loaded import LoadedArtifact
from tvmopt.pipeline.graph.ir import Origin
from tvmopt.pipeline.graph.quantized.scales import MOVED
from tvmopt.pipeline.types import Step

Array = npt.NDArray[Any]


@dataclass(frozen=True, slots=True)
class Point:
    """A value of a compiled model that its ONNX model has too.

    Attributes:
        step: the kernel call that made it.
        value: its name in the ONNX model.
        array: the kernel's result, in the model's layout.
        copied: whether it is a copy of a value in another layout, and not computed here.
        planes: whether `array` has the planes of a volume as images, ``(N·D, C, H, W)``.
    """

    step: Step
    value: str
    array: Array
    copied: bool = False
    planes: bool = False

    def shaped(self, shape: tuple[int, ...]) -> Array:
        """The array in the ONNX model's shape, which has as many elements."""
        if not self.planes or len(shape) != 5:
            return self.array.reshape(shape)
        n, channels, planes, rows, columns = shape
        return self.array.reshape(n, planes, channels, rows, columns).swapaxes(1, 2)


@dataclass(frozen=True, slots=True)
class Uncompared:
    """A kernel's result that cannot be compared.

    Attributes:
        step: the kernel call.
        value: its name in the compiled model; empty when that is not known.
        reason: why.
    """

    step: Step
    value: str
    reason: str

    def to_json(self) -> dict[str, Any]:
        """A JSON object."""
        return {
            "kernel": self.step.kernel,
            "layers": list(self.step.layers),
            "value": self.value,
            "reason": self.reason,
        }


def observe_values(
    artifact: LoadedArtifact, known: Collection[str], origins: Mapping[str, Origin]
) -> tuple[list[Point], list[Uncompared]]:
    """Runs a model once on the inputs that are set, and collects its kernels' results in execution order.

    Args:
        artifact: with its inputs set.
        known: names of the ONNX model's values, inputs included.
        origins: origins of the compiled model's values, by name.

    Raises:
        InputFileError: when the library runs other kernels than the manifest lists.
    """
    points: list[Point] = []
    uncompared: list[Uncompared] = []
    joints = _Joints(origins)

    def visit(step: Step, outputs: Mapping[str, Array]) -> None:
        if not outputs:
            reason = "TVM merged layers here; which of their values this kernel computes is not known"
            uncompared.append(Uncompared(step, "", reason))
        for name, array in joints.joined(step, outputs).items():
            value = counterpart(name, known, origins)
            if value is None:
                uncompared.append(Uncompared(step, name, "the ONNX model has no such value"))
            else:
                forms = {origin.form for origin in _origins(name, origins)}
                planes, kept = "planes" in forms, _moved_back(array) if "moved" in forms else array
                points.append(Point(step, value, kept, copied=step.operator == "relayout", planes=planes))

    if artifact.steps:
        visit_steps(artifact, visit)
    else:
        artifact.run_only()
    reason = "the ONNX model has it only joined with others, of which some were not seen"
    return points, [*uncompared, *(Uncompared(step, name, reason) for name, step in joints.left())]


class _Joints:
    """Joins values that the ONNX model has only as parts of another.

    Args:
        origins: origins of the compiled model's values, by name.
    """

    def __init__(self, origins: Mapping[str, Origin]) -> None:
        self.parts = {name: origin for name, origin in origins.items() if origin.form == "part"}
        self.wholes = {origin.value: origin for origin in self.parts.values()}
        self.held: dict[str, tuple[Step, Array]] = {}
        self.done: set[str] = set()

    def joined(self, step: Step, outputs: Mapping[str, Array]) -> dict[str, Array]:
        """`outputs` of a step, with wholes whose last part is among them in place of their parts."""
        wanted = {part for origin in self.wholes.values() for part in origin.parts}
        self.held |= {name: (step, array) for name, array in outputs.items() if name in wanted}
        made = {name: array for name, array in outputs.items() if name not in self.parts}
        self.done.update(made)
        for whole, origin in self.wholes.items():
            if whole not in self.done and all(part in self.held for part in origin.parts):
                made[whole] = np.concatenate([self.held[part][1] for part in origin.parts], axis=origin.axis)
                self.done.add(whole)
        return made

    def left(self) -> list[tuple[str, Step]]:
        """The parts that were seen, but not with all others."""
        seen = ((name, self.held[name][0]) for name, origin in self.parts.items() if name in self.held)
        return [(name, step) for name, step in seen if self.parts[name].value not in self.done]


def _moved_back(array: Array) -> Array:
    """Quantised values as the model has them, from those of the compiled model, which are moved to be unsigned."""
    return (array.astype(np.int16) - MOVED).astype(np.int8)


def counterpart(name: str, known: Collection[str], origins: Mapping[str, Origin]) -> str | None:
    """The ONNX value that holds the same numbers as the value `name` that a kernel made; None when there is none.

    Args:
        name: the value's name in the compiled model.
        known: names of the ONNX model's values.
        origins: origins of the compiled model's values, by name.
    """
    # A value with an origin is never the ONNX model's value of that name, which was fused away.
    for origin in _origins(name, origins):
        name = origin.value
    return name if name in known else None


def _origins(name: str, origins: Mapping[str, Origin]) -> Iterator[Origin]:
    """The origin of a value, its origin's origin, and so on."""
    while name in origins:
        yield origins[name]
        name = origins[name].value


def layers_between(graph: onnx.GraphProto, value: str, known: Collection[str]) -> tuple[str, ...]:
    """The layers that compute `value` from the values `known`, in the model's order.

    Args:
        graph: an ONNX graph whose nodes have unique names.
        value: one of its values; it may itself be known.
        known: names of values that are not traced further back.
    """
    producers = {name: node for node in graph.node for name in node.output if name}
    waiting, found = [value], set()
    while waiting:
        node = producers.get(waiting.pop())
        if node is None or node.name in found:
            continue
        found.add(node.name)
        waiting += [name for name in _read(node) if name not in known]
    return tuple(node.name for node in graph.node if node.name in found)


def _read(node: onnx.NodeProto) -> list[str]:
    """Names that a node reads, in its subgraphs too; names of values inside a subgraph do no harm."""
    names = list(node.input)
    for attribute in node.attribute:
        for graph in (attribute.g, *attribute.graphs):
            names += [name for inner in graph.node for name in _read(inner)]
    return names
