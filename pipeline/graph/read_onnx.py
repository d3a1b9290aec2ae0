"""Turns a normalised ONNX model into the graph that passes work on. Mutates nothing."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from tvmopt.pipeline.errors import UnsupportedModelError
from tvmopt.pipeline.graph.ir import ONNX, Array, Graph, Node
from tvmopt.schedules.workload import Tensor

if TYPE_CHECKING:
    import onnx


def read_onnx(model: onnx.ModelProto, weights: Mapping[str, Array] | None = None) -> Graph:
    """The graph of `model`.

    Args:
        model: normalised: static shapes, every value with a type, constants as initialisers.
        weights: the arrays of initialisers that `model` names without their elements.

    Raises:
        UnsupportedModelError: when a value has no static shape; names it and its layer.
    """
    from tvmopt.pipeline.importers.onnx_form.layer_names import layer_of
    from tvmopt.pipeline.support.weights.parked import array_of

    graph = model.graph
    constants: dict[str, Array] = dict(weights or {})
    for init in graph.initializer:
        if init.name not in constants:
            constants[init.name] = array_of(init)
    values: dict[str, Tensor] = {}
    for info in (*graph.input, *graph.value_info, *graph.output):
        if info.name not in constants:
            tensor = _tensor(info)
            if tensor is not None:
                values[info.name] = tensor
    nodes = []
    for index, proto in enumerate(graph.node):
        name = layer_of(proto) or f"{proto.op_type}_{index}"
        for output in proto.output:
            if output and output not in values:
                raise UnsupportedModelError(
                    f"layer {name!r} ({proto.op_type}): its output {output!r} has no static shape, which is needed; "
                    "fix the model's input shapes with --input-shape"
                )
        if any(attribute.HasField("g") or attribute.graphs for attribute in proto.attribute):
            raise UnsupportedModelError(
                f"layer {name!r} ({proto.op_type}): it chooses at run time what to compute, which cannot be compiled"
            )
        outputs = tuple(output for output in proto.output if output)
        # A copy: a part of a message keeps all of it in memory, weights included.
        copy = type(proto).FromString(proto.SerializeToString())
        nodes.append(Node(ONNX, tuple(proto.input), outputs, (name,), proto=copy))
    opset = next((entry.version for entry in model.opset_import if entry.domain in ("", "ai.onnx")), 17)
    inputs = tuple(info.name for info in graph.input if info.name not in constants)
    return Graph(tuple(nodes), values, constants, inputs, tuple(info.name for info in graph.output), opset)


def _tensor(info: Any) -> Tensor | None:
    from onnx import helper

    kind = info.type.tensor_type
    if not kind.HasField("shape") or any(not dim.HasField("dim_value") for dim in kind.shape.dim):
        return None
    shape = tuple(int(dim.dim_value) for dim in kind.shape.dim)
    if any(size < 0 for size in shape):
        return None
    return Tensor(shape, str(helper.tensor_dtype_to_np_dtype(kind.elem_type)))
