"""Checks that the layers that TVM's importer lowered compute what ONNX specifies: runs and compares each."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import numpy as np
import numpy.typing as npt

from tvmopt.pipeline.compiler import build
from tvmopt.pipeline.compiler.tvm_layer import import_layer, node_model
from tvmopt.pipeline.errors import BuildError, TvmoptError, UnsupportedModelError, WrongResultError
from tvmopt.pipeline.graph.ir import ONNX, Graph, Node
from tvmopt.pipeline.graph.optimize import OptimizedModel
from tvmopt.pipeline.support.messages import one_line
from tvmopt.pipeline.support.numeric_error import numeric_error
from tvmopt.pipeline.support.tolerances import KERNEL
from tvmopt.schedules.target import parse_target

Array = npt.NDArray[Any]

BITS = 8
"""Shifting an integer of this many bits by as many is undefined."""
SMALL_CONSTANT = 64
"""A larger constant counts only by its dtype and shape: layers that differ in weights alone are checked once."""


def check_layers(optimized: OptimizedModel) -> None:
    """Runs every distinct layer that TVM's importer lowered, on this machine, and compares it with onnxruntime.

    Layers whose random inputs onnxruntime refuses (out-of-range indices, say) go unchecked.

    Args:
        optimized: the model, for any target; the importer does the same for all.

    Raises:
        BuildError: a layer cannot be compiled; names it.
        WrongResultError: a layer computes a wrong result; names it.
    """
    for node in distinct_layers(optimized.graph):
        _check(optimized.graph, node)


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


def _check(graph: Graph, node: Node) -> None:
    from tvmopt.pipeline.importers.check.random_inputs import random_inputs
    from tvmopt.pipeline.importers.onnx_form.values import tensor_spec
    from tvmopt.pipeline.support.onnxruntime import run_model

    model = node_model(graph, node)
    inputs = random_inputs([tensor_spec(value) for value in model.graph.input], model.graph)
    inputs = {name: _defined(node, array) for name, array in inputs.items()}
    try:
        expected = run_model(model, inputs, node.outputs)
    except UnsupportedModelError:
        return
    made = _run(graph, node, list(inputs.values()))
    for name, result in zip(node.outputs, made, strict=True):
        error = numeric_error(expected[name], result).relative
        if not error <= KERNEL.of(result.dtype):
            raise WrongResultError(
                f"layer {node.layers[0]!r} ({node.kind}): TVM's importer lowers it to a wrong result: output {name!r} "
                f"differs from onnxruntime's by {error:.2g} of its largest value"
            )


def _defined(node: Node, array: Array) -> Array:
    """`array`, changed to values that test the operator and are defined: a division by zero would end the process."""
    if node.kind in ("IsInf", "IsNaN"):
        return np.where(array > 1, np.inf, np.where(array < -1, -np.inf, np.where(array < 0, np.nan, array)))
    if array.dtype.kind not in "iu":
        return array
    if node.kind in ("Div", "Mod"):
        return np.maximum(array, 1)
    return array % BITS if node.kind == "BitShift" else array


def _run(graph: Graph, node: Node, inputs: list[Array]) -> list[Array]:
    """The layer's outputs on this machine, compiled on its own."""
    import tvm
    from tvm import relax

    target = parse_target("llvm", 1)
    layer = import_layer(graph, node)
    try:
        module = build.plan_memory(build.schedule(layer.module, target), target)
        machine = relax.VirtualMachine(build.generate(module, target), tvm.cpu())
        result = machine["main"](*(tvm.runtime.tensor(array) for array in inputs))
    except TvmoptError:
        raise
    # Any exception from TVM here means that this layer cannot be compiled.
    except Exception as error:
        raise BuildError(f"layer {node.layers[0]!r} ({node.kind}) cannot be compiled: {one_line(error)}") from error
    results = [result] if len(node.outputs) == 1 else list(result)
    dtypes = [graph.values[name].dtype for name in node.outputs]
    return [array.numpy().astype(dtype) for array, dtype in zip(results, dtypes, strict=True)]
