"""Checks that the layers that TVM's importer lowered compute what ONNX specifies: runs and compares each."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from tvmopt.pipeline.compiler.kernels.forge import Forge
from tvmopt.pipeline.compiler.kernels.job import Job, check_job
from tvmopt.pipeline.graph.ir import ONNX, Graph, Node
from tvmopt.pipeline.graph.optimize import OptimizedModel
from tvmopt.schedules.target import parse_target

SMALL_CONSTANT = 64
"""A larger constant counts only by its dtype and shape: layers that differ in weights alone are checked once."""


def check_layers(optimized: OptimizedModel, forge: Forge) -> None:
    """Runs every distinct layer that TVM's importer lowered, on this machine, and compares it with onnxruntime.

    Layers whose random inputs onnxruntime refuses (out-of-range indices, say) go unchecked.

    Args:
        optimized: the model, for any target; the importer does the same for all.
        forge: carries out the checks.

    Raises:
        BuildError: a layer cannot be compiled; names it.
        WrongResultError: a layer computes a wrong result; names it.
    """
    forge.make(check_jobs(optimized))


def check_jobs(optimized: OptimizedModel) -> list[Job]:
    """A job for each distinct layer that TVM's importer lowered."""
    from tvmopt.pipeline.compiler.kernels.layers import layer_model

    graph, target = optimized.graph, parse_target("llvm", 1)
    return [
        check_job(layer_model(graph, node), target, repr(_signature(graph, node)).encode(), node.layers[0])
        for node in distinct_layers(graph)
    ]


def distinct_layers(graph: Graph) -> Iterator[Node]:
    """One ONNX node of `graph` for each kind of layer: same operator, attributes, shapes and small constants."""
    return (alike[0] for alike in layers_alike(graph))


def layers_alike(graph: Graph) -> tuple[tuple[Node, ...], ...]:
    """The ONNX nodes of `graph`, grouped by kind of layer (see `distinct_layers`), in order."""
    groups: dict[tuple[Any, ...], list[Node]] = {}
    for node in graph.nodes:
        if node.op == ONNX:
            groups.setdefault(_signature(graph, node), []).append(node)
    return tuple(map(tuple, groups.values()))


def _signature(graph: Graph, node: Node) -> tuple[Any, ...]:
    assert node.proto is not None
    inputs: list[Any] = []
    for name in node.inputs:
        array = graph.constants.get(name)
        if array is None:
            inputs.append(graph.values.get(name))
        elif array.size <= SMALL_CONSTANT:
            inputs.append((str(array.dtype), array.shape, array.tobytes()))
        else:
            inputs.append((str(array.dtype), array.shape))
    attributes = sorted(attribute.SerializeToString() for attribute in node.proto.attribute)
    return node.kind, tuple(attributes), tuple(inputs), tuple(bool(name) for name in node.proto.output)
