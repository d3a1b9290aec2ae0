"""Graphs read from small ONNX models, computed by onnxruntime and by the numpy reference."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np
import onnx
import pytest

from tvmopt.pipeline.compiler.tvm_layer import node_model
from tvmopt.pipeline.graph.ir import ONNX, Graph, Node
from tvmopt.pipeline.graph.read_onnx import read_onnx
from tvmopt.pipeline.support.numeric_error import numeric_error
from tvmopt.pipeline.support.onnxruntime import run_model
from tvmopt.pipeline.support.tolerances import TEST
from tvmopt.pipeline.tasks.workloads import workload_of
from tvmopt.schedules.compute.reference import reference
from tvmopt.schedules.registry import template_for
from tvmopt.schedules.target import Target
from tvmopt.schedules.workload import Tensor

Pass = Callable[[Graph], Graph]


@dataclass(frozen=True, slots=True)
class Passed:
    """A model, and its graph after some passes.

    Attributes:
        model: its source.
        graph: after the passes.
    """

    model: onnx.ModelProto
    graph: Graph

    def ops(self) -> list[str]:
        """The nodes' operator families in order; ONNX's names for nodes left to TVM."""
        return [node.kind for node in self.graph.nodes]

    def node(self, op: str) -> Node:
        """The only node of an operator family."""
        (found,) = [node for node in self.graph.nodes if node.kind == op]
        return found

    def tensor(self, op: str, index: int | None = None) -> Tensor:
        """The output of the only node of an operator family, or one of its inputs."""
        node = self.node(op)
        return self.graph.tensor(node.output if index is None else node.inputs[index])

    def check_templates(self, target: Target) -> None:
        """Checks that each kernel of ours has a template for `target`."""
        for node in self.graph.nodes:
            if node.op not in (ONNX, "reshape"):
                template_for(workload_of(self.graph, node), target)

    def check(self, tolerance: float = TEST) -> None:
        """Checks that the graph computes the same as onnxruntime does for the model."""
        inputs = random_inputs(self.graph)
        expected = run_model(self.model, inputs)
        results = evaluate(self.graph, inputs)
        for output, result in zip(self.model.graph.output, results, strict=True):
            error = numeric_error(expected[output.name], result).relative
            assert error <= tolerance, f"{output.name} is off by {error:.2g} in {self.ops()}"


def random_inputs(graph: Graph) -> dict[str, np.ndarray]:
    random = np.random.default_rng(0)
    arrays = {}
    for name in graph.inputs:
        tensor = graph.values[name]
        if np.dtype(tensor.dtype).kind == "f":
            arrays[name] = random.standard_normal(tensor.shape).astype(tensor.dtype)
        else:
            arrays[name] = random.integers(0, 2, tensor.shape).astype(tensor.dtype)
    return arrays


def evaluate(graph: Graph, inputs: dict[str, np.ndarray]) -> list[np.ndarray]:
    """The graph's outputs; layouts do not affect them."""
    values: dict[str, np.ndarray] = {**graph.constants, **inputs}
    for node in graph.nodes:
        values.update(zip(node.outputs, _results(graph, node, values), strict=True))
    return [values[name] for name in graph.outputs]


def _results(graph: Graph, node: Node, values: dict[str, np.ndarray]) -> list[np.ndarray]:
    if node.op == ONNX:
        taken = {name: values[name] for name in node.inputs if name and name not in graph.constants}
        return list(run_model(node_model(graph, node), taken).values())
    shape = graph.values[node.output].shape
    if node.op == "reshape":
        return [values[node.inputs[0]].reshape(shape)]
    workload = workload_of(graph, node)
    arrays = [values[name].reshape(tensor.shape) for name, tensor in zip(node.inputs, workload.inputs, strict=True)]
    return [np.asarray(reference(workload, arrays), workload.output.dtype).reshape(shape)]


@pytest.fixture
def through(onnx_model: Callable[..., onnx.ModelProto]) -> Callable[..., Passed]:
    """A model from its nodes (`onnx_model`), read and sent through passes."""

    def send(*nodes: Any, passes: tuple[Pass, ...] = (), **options: Any) -> Passed:
        model = onnx_model(*nodes, **options)
        graph = read_onnx(model)
        for run in passes:
            graph = run(graph)
        return Passed(model, graph)

    return send


@pytest.fixture
def evaluated() -> Callable[[Graph, dict[str, np.ndarray]], list[np.ndarray]]:
    """A graph's outputs for inputs, by the numpy reference."""
    return evaluate
