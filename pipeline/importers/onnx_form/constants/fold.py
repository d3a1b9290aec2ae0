"""Constant folding: values that follow from constants, and empty values, are computed while importing.

onnxruntime folds constants too, but not where its optimised model has operators of its own and cannot be used, and it
computes nothing from empty tensors ahead of time.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence

import numpy as np
import onnx
from onnx import numpy_helper

from tvmopt.pipeline.errors import UnsupportedModelError
from tvmopt.pipeline.importers.onnx_form.constants.constant_nodes import constants_to_initializers
from tvmopt.pipeline.importers.onnx_form.operators import names_read
from tvmopt.pipeline.support.onnxruntime import run_model
from tvmopt.pipeline.support.weights.parked import array_of

MAX_BYTES = 1 << 28
"""A value of more bytes is computed in every run, rather than stored in the artifact."""

_RANDOM = frozenset({"RandomNormal", "RandomUniform", "RandomNormalLike", "RandomUniformLike", "Multinomial"})
_WEIGHTED = frozenset({"Conv", "Gemm", "MatMul"})
_NOT_FOLDED = _RANDOM | {"Bernoulli", "Dropout", "If", "Loop", "Scan", "SequenceMap"}


def fold_constants(model: onnx.ModelProto) -> None:
    """Computes every value of `model` that does not depend on its inputs, and makes it an initialiser, in place.

    Values that onnxruntime cannot compute stay.

    Args:
        model: with the types of its values, as far as they are known.
    """
    constants_to_initializers(model.graph)
    kinds = {value.name: value.type for value in (*model.graph.value_info, *model.graph.output)}
    empty = {name: array for name, kind in kinds.items() if (array := _empty(kind)) is not None}
    known = {tensor.name for tensor in model.graph.initializer} | _rename_empty_inputs(model.graph)
    kept = _integer_weights(model.graph)
    computed, folded, rest = set[str](), list[onnx.NodeProto](), list[onnx.NodeProto]()
    for node in model.graph.node:
        outputs = [name for name in node.output if name]
        if all(name in empty for name in outputs):
            model.graph.initializer.extend(numpy_helper.from_array(empty[name], name) for name in outputs)
            known.update(outputs)
        elif (
            node.op_type not in _NOT_FOLDED
            and not kept.issuperset(outputs)
            and known.issuperset(filter(None, node.input))
            and _fits(outputs, kinds)
        ):
            folded.append(node)
            known.update(outputs)
            computed.update(outputs)
        else:
            rest.append(node)
    used = {name for node in rest for name in names_read(node)} | {output.name for output in model.graph.output}
    constants = _values(model, folded, sorted(computed & used), kinds)
    if constants is None:
        rest = [node for node in model.graph.node if not all(name in empty for name in filter(None, node.output))]
    model.graph.initializer.extend(constants or ())
    copies = [onnx.NodeProto.FromString(node.SerializeToString()) for node in rest]
    del model.graph.node[:]
    model.graph.node.extend(copies)
    stored = {tensor.name: tensor for tensor in model.graph.initializer}
    for output in model.graph.output:
        if output.name in stored:
            tensor = stored[output.name]
            output.CopyFrom(onnx.helper.make_tensor_value_info(output.name, tensor.data_type, tensor.dims))


def _integer_weights(graph: onnx.GraphProto) -> set[str]:
    """Results of DequantizeLinear that are weights of a quantised model, or tables, and nothing else.

    They stay integers, if these are bytes and the scales are usual ones: then there are kernels for them, and of a
    table only the rows that are chosen become floats. Other operators may lie between a layer and the DequantizeLinear
    of its data, which NNCF leaves before a concatenation; weights whose layer does read floats are folded later.
    """
    is_quantised = any(node.op_type == "QuantizeLinear" for node in graph.node)
    stored = {tensor.name: tensor for tensor in graph.initializer}
    made = {node.output[0]: node for node in graph.node if node.op_type == "DequantizeLinear"}
    weights, others = set[str](), {output.name for output in graph.output}
    for node in graph.node:
        own = ""
        if node.op_type == "Gather" and node.input[0] in made:
            own = node.input[0]
        elif node.op_type in _WEIGHTED and node.input[1] in made and (is_quantised or node.input[0] in made):
            own = node.input[1]
        if own and _are_bytes(made[own], stored, node.op_type == "Gather"):
            weights.add(own)
        others |= {name for name in names_read(node) if name != own}
    return weights - others


def _are_bytes(node: onnx.NodeProto, stored: Mapping[str, onnx.TensorProto], single: bool) -> bool:
    """Whether a DequantizeLinear reads constant bytes with a positive scale, or several unless it must be `single`."""
    integers, scale = (stored.get(name) for name in node.input[:2])
    if integers is None or scale is None or any(attribute.name == "block_size" for attribute in node.attribute):
        return False
    if integers.data_type not in (onnx.TensorProto.INT8, onnx.TensorProto.UINT8):
        return False
    scales = array_of(scale)
    if single and scales.size > 1:
        return False
    return scales.dtype == np.float32 and bool(np.isfinite(scales).all() and (scales > 0).all())


def _rename_empty_inputs(graph: onnx.GraphProto) -> set[str]:
    """Lets nodes read a constant in place of each input without elements; returns the constants' names."""
    renamed = {}
    stored = {tensor.name for tensor in graph.initializer}
    for value in graph.input:
        array = _empty(value.type)
        if array is not None:
            renamed[value.name] = f"{value.name}/empty"
            if renamed[value.name] not in stored:
                graph.initializer.append(numpy_helper.from_array(array, renamed[value.name]))
    for node in graph.node:
        node.input[:] = [renamed.get(name, name) for name in node.input]
    return set(renamed.values())


def _empty(kind: onnx.TypeProto) -> np.ndarray | None:
    """The only array of type `kind`, if that has no elements."""
    tensor = kind.tensor_type
    sizes = [dim.dim_value if dim.HasField("dim_value") else -1 for dim in tensor.shape.dim]
    if tensor.elem_type in (0, onnx.TensorProto.STRING) or not sizes or min(sizes) != 0:
        return None
    return np.zeros(sizes, onnx.helper.tensor_dtype_to_np_dtype(tensor.elem_type))


def _fits(names: Sequence[str], kinds: Mapping[str, onnx.TypeProto]) -> bool:
    """Whether values are small enough to be stored, as far as their sizes are known."""
    for name in names:
        dims = kinds[name].tensor_type.shape.dim if name in kinds else ()
        if math.prod(dim.dim_value or 1 for dim in dims) * 8 > MAX_BYTES:
            return False
    return True


def _values(
    model: onnx.ModelProto, nodes: Sequence[onnx.NodeProto], names: Sequence[str], kinds: Mapping[str, onnx.TypeProto]
) -> list[onnx.TensorProto] | None:
    """The constants `names` that `nodes` compute; None if onnxruntime cannot compute them or they are no tensors."""
    if not names:
        return []
    if any(name in kinds and not kinds[name].HasField("tensor_type") for name in names):
        return None
    part = onnx.ModelProto(ir_version=model.ir_version, opset_import=model.opset_import)
    part.graph.name = model.graph.name or "constants"
    part.graph.node.extend(nodes)
    read = {name for node in nodes for name in names_read(node)}
    part.graph.initializer.extend(tensor for tensor in model.graph.initializer if tensor.name in read)
    part.graph.output.extend(onnx.ValueInfoProto(name=name) for name in names)
    try:
        values = run_model(part, {}, names)
    except UnsupportedModelError:
        return None
    return [numpy_helper.from_array(np.asarray(values[name]), name) for name in names]
