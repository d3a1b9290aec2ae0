"""Points at which a compiled model and its source model can be compared: values that both of them have.

A kernel's result goes by the name of the ONNX value that it is. What was fused into a kernel is compared where the
kernel ends. Names that the ONNX model lacks are those of copies in another layout, and of global pooling before its
result is reshaped; both are the same numbers as a value that the ONNX model has.
"""

from __future__ import annotations

import re
from collections.abc import Collection, Mapping
from dataclasses import dataclass
from typing import Any

import numpy.typing as npt
import onnx

from tvmopt.pipeline.artifact.kernel_by_kernel import visit_steps
from tvmopt.pipeline.artifact.loaded import LoadedArtifact
from tvmopt.pipeline.types import Step

Array = npt.NDArray[Any]

_COPY = re.compile(r"(.+)_layout(_\d+)?")
"""What `pipeline.graph.passes.plan_layout` calls a copy of a value in another layout."""

_POOLED = re.compile(r"(.+)_maps(_\d+)?")
"""What `pipeline.graph.recognize` calls the maps of one pixel that become a reduction's result."""


@dataclass(frozen=True, slots=True)
class Point:
    """A value of a compiled model that its ONNX model has too.

    Attributes:
        step: the kernel call that made it.
        value: its name in the ONNX model.
        array: what the kernel made, as the model has it.
        copied: whether it is a copy of a value in another layout, and not computed here.
    """

    step: Step
    value: str
    array: Array
    copied: bool = False


@dataclass(frozen=True, slots=True)
class Uncompared:
    """A kernel's result that has nothing to be compared with.

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


def observe_values(artifact: LoadedArtifact, known: Collection[str]) -> tuple[list[Point], list[Uncompared]]:
    """Runs a model once on the inputs that are set, and collects what its kernels make, in the order they run.

    Args:
        artifact: with its inputs set.
        known: names of the ONNX model's values, inputs included.

    Raises:
        InputFileError: when the library runs other kernels than the manifest lists.
    """
    points: list[Point] = []
    uncompared: list[Uncompared] = []

    def visit(step: Step, outputs: Mapping[str, Array]) -> None:
        if not outputs:
            reason = "TVM merged layers here; what this kernel makes of them is not known"
            uncompared.append(Uncompared(step, "", reason))
        for name, array in outputs.items():
            value = counterpart(step.operator, name, known)
            if value is None:
                uncompared.append(Uncompared(step, name, "the ONNX model has no such value"))
            else:
                points.append(Point(step, value, array, copied=step.operator == "relayout"))

    if artifact.steps:
        visit_steps(artifact, visit)
    else:
        artifact.run_only()
    return points, uncompared


def counterpart(operator: str, name: str, known: Collection[str]) -> str | None:
    """The ONNX value that holds the same numbers as the value `name` that a kernel made; None when there is none.

    Args:
        operator: the kernel's operator family.
        name: in the compiled model.
        known: names of the ONNX model's values.
    """
    # A copy's name is always ours, even where the ONNX model had a value of that name, which was fused away.
    match = _COPY.fullmatch(name) if operator == "relayout" else None
    if match is not None:
        return counterpart("", match[1], known)
    if name in known:
        return name
    match = _POOLED.fullmatch(name)
    return match[1] if match is not None and match[1] in known else None


def layers_between(graph: onnx.GraphProto, value: str, known: Collection[str]) -> tuple[str, ...]:
    """The layers that compute `value` from the values `known`, in the model's order.

    Args:
        graph: every node has a name of its own.
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
    """Names that a node reads, in its subgraphs too; names of values inside of these are harmless."""
    names = list(node.input)
    for attribute in node.attribute:
        for graph in (attribute.g, *attribute.graphs):
            names += [name for inner in graph.node for name in _read(inner)]
    return names
