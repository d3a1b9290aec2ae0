"""Makes a model that fails as small as it can while the same failure stays."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator

import numpy as np
import onnx
from onnx import numpy_helper

from tests.fuzz.drawing import graph_model
from tvmopt.pipeline.errors import UnsupportedModelError
from tvmopt.pipeline.importers.check.normalized import with_outputs
from tvmopt.pipeline.support.onnxruntime import run_model

Model = onnx.ModelProto
Arrays = dict[str, np.ndarray]


def minimise(model: Model, fails: Callable[[Model], bool], limit_s: float) -> Model:
    """The smallest model that was found to fail as `model` does.

    Tried in turn, until nothing helps: fewer outputs, values in the middle as outputs or as inputs, nodes left out,
    smaller sizes.

    Args:
        model: what fails.
        fails: whether a model fails in the same way.
        limit_s: no new attempt begins after so many seconds.
    """
    end = time.monotonic() + limit_s
    helped = True
    while helped:
        helped = False
        for step in (_fewer_outputs, _earlier_outputs, _later_inputs, _without_a_node, _smaller):
            while (found := _first(step(model), fails, end)) is not None:
                model, helped = found, True
            if time.monotonic() > end:
                return model
    return model


def _first(candidates: Iterator[Model], fails: Callable[[Model], bool], end: float) -> Model | None:
    for candidate in candidates:
        if time.monotonic() > end:
            return None
        if fails(candidate):
            return candidate
    return None


def _values(model: Model) -> Arrays:
    """An example of every value of `model`; nothing where onnxruntime refuses it."""
    random = np.random.default_rng(0)
    inputs = {}
    for value in model.graph.input:
        kind = value.type.tensor_type
        dtype = onnx.helper.tensor_dtype_to_np_dtype(kind.elem_type)
        shape = [dim.dim_value for dim in kind.shape.dim]
        drawn = random.standard_normal(shape) if dtype.kind == "f" else random.integers(0, 2, shape)
        inputs[value.name] = np.asarray(drawn).astype(dtype)
    names = [name for node in model.graph.node for name in node.output if name]
    try:
        return {**inputs, **run_model(with_outputs(model, names), inputs, names)}
    except UnsupportedModelError:
        return {}


def _made(model: Model, nodes: list[onnx.NodeProto], outputs: list[str], values: Arrays) -> Iterator[Model]:
    """The model of those of `nodes` that `outputs` need; what none of them makes is an input."""
    constants = {tensor.name: numpy_helper.to_array(tensor) for tensor in model.graph.initializer}
    wanted, kept = set(outputs), []
    for node in reversed(nodes):
        if wanted & set(node.output):
            kept.insert(0, node)
            wanted |= set(node.input)
    made = {name for node in kept for name in node.output}
    read = [name for node in kept for name in node.input if name and name not in made]
    inputs = {name: values[name] for name in dict.fromkeys(read) if name not in constants and name in values}
    held = {name: constants[name] for name in dict.fromkeys(read) if name in constants}
    if kept and inputs and set(outputs) <= made:
        made_values = {name: values.get(name) for name in outputs}
        yield graph_model(kept, inputs, made_values, held, model.opset_import[0].version)


def _outputs(model: Model) -> list[str]:
    return [value.name for value in model.graph.output]


def _fewer_outputs(model: Model) -> Iterator[Model]:
    names, values = _outputs(model), _values(model)
    for left in names if len(names) > 1 else ():
        yield from _made(model, list(model.graph.node), [name for name in names if name != left], values)


def _earlier_outputs(model: Model) -> Iterator[Model]:
    """A value in the middle is the only output."""
    values, nodes = _values(model), list(model.graph.node)
    for place, node in enumerate(nodes[:-1]):
        yield from _made(model, nodes[: place + 1], [node.output[0]], values)


def _later_inputs(model: Model) -> Iterator[Model]:
    """A value in the middle is an input."""
    values, nodes = _values(model), list(model.graph.node)
    for place in range(len(nodes) - 1, -1, -1):
        if not set(nodes[place].output) & set(_outputs(model)):
            yield from _made(model, nodes[:place] + nodes[place + 1 :], _outputs(model), values)


def _without_a_node(model: Model) -> Iterator[Model]:
    """A node's result is replaced by one of its inputs of the same shape and dtype."""
    values, nodes = _values(model), list(model.graph.node)
    for place, node in enumerate(nodes):
        for name in node.input:
            made = values.get(node.output[0])
            if made is None or name not in values or values[name].shape != made.shape:
                continue
            if values[name].dtype != made.dtype or len(node.output) > 1:
                continue
            rest = []
            for other in nodes[:place] + nodes[place + 1 :]:
                copied = onnx.NodeProto()
                copied.CopyFrom(other)
                copied.input[:] = [name if taken == node.output[0] else taken for taken in other.input]
                rest.append(copied)
            outputs = [name if output == node.output[0] else output for output in _outputs(model)]
            yield from _made(model, rest, list(dict.fromkeys(outputs)), values)


def _smaller(model: Model) -> Iterator[Model]:
    """One size, wherever it stands in inputs, constants or integers that are sizes themselves, is smaller."""
    sizes = {dim.dim_value for value in model.graph.input for dim in value.type.tensor_type.shape.dim}
    sizes |= {size for tensor in model.graph.initializer for size in tensor.dims}
    for old in sorted(sizes - {0, 1}, reverse=True):
        for new in sorted({1, 2, 3, old // 2, old - 1} - {0, old}):
            if new < old:
                yield from _resized(model, old, new)


def _resized(model: Model, old: int, new: int) -> Iterator[Model]:
    smaller = onnx.ModelProto()
    smaller.CopyFrom(model)
    for value in smaller.graph.input:
        for dim in value.type.tensor_type.shape.dim:
            dim.dim_value = new if dim.dim_value == old else dim.dim_value
    for tensor in smaller.graph.initializer:
        array = numpy_helper.to_array(tensor)
        cut = array[tuple(slice(new) if size == old else slice(None) for size in array.shape)].copy()
        if cut.dtype == np.int64:
            cut[cut == old] = new
        tensor.CopyFrom(numpy_helper.from_array(cut, tensor.name))
    values = _values(smaller)
    if values:
        yield from _made(smaller, list(smaller.graph.node), _outputs(smaller), values)
