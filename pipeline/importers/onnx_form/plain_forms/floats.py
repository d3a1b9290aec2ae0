"""Writes operators with others: those of onnxruntime's own domain that have a plain form, and GroupNormalization.

onnxruntime's optimisers write the first into models; it computes GroupNormalization by inlining it, which hides sizes.
"""

from __future__ import annotations

import math
from collections.abc import Mapping

import numpy as np
import onnx
import onnx.shape_inference
from onnx import helper

from tvmopt.pipeline.importers.onnx_form.operators import STANDARD_DOMAINS, has_plain_form, standard_opset
from tvmopt.pipeline.importers.onnx_form.plain_forms.writer import Form, Writer, written
from tvmopt.pipeline.support.weights.light_model import without_weights

LAYER_NORM_OPSET = 17
"""The first opset with LayerNormalization."""

GROUP_NORM_OPSET = 21
"""The first opset in which GroupNormalization scales each channel; ONNX gave up the earlier form."""


def write_plainly(model: onnx.ModelProto) -> onnx.ModelProto:
    """`model`, or a copy in which operators with a plain form are written with others.

    A node stays as it is where its form is not known: an operand of unknown shape, an unusual attribute or output.
    """
    if not any(map(_is_wanted, model.graph.node)):
        return model
    plain = onnx.ModelProto()
    plain.CopyFrom(model)
    changed = True
    while changed:  # the types behind a rewritten node are known only after it
        changed = False
        known = _types(plain)
        nodes: list[onnx.NodeProto] = []
        for node in plain.graph.node:
            made = _rewritten(node, known, standard_opset(model)) if _is_wanted(node) else None
            nodes += [node] if made is None else made
            changed |= made is not None
        copies = [onnx.NodeProto.FromString(node.SerializeToString()) for node in nodes]
        del plain.graph.node[:]
        plain.graph.node.extend(copies)
    return plain


def _is_wanted(node: onnx.NodeProto) -> bool:
    return has_plain_form(node) or (node.domain in STANDARD_DOMAINS and node.op_type == "GroupNormalization")


def _types(model: onnx.ModelProto) -> dict[str, onnx.TypeProto.Tensor]:
    """The types of all values that can be inferred, those of initialisers too."""
    light = without_weights(model)
    inferred = onnx.shape_inference.infer_shapes(light, data_prop=True)
    values = (*inferred.graph.input, *inferred.graph.value_info, *inferred.graph.output)
    known = {value.name: value.type.tensor_type for value in values if value.type.tensor_type.elem_type}
    for tensor in light.graph.initializer:
        info = helper.make_tensor_value_info(tensor.name, tensor.data_type, tensor.dims)
        known.setdefault(tensor.name, info.type.tensor_type)
    return known


def _rewritten(
    node: onnx.NodeProto, known: Mapping[str, onnx.TypeProto.Tensor], opset: int
) -> list[onnx.NodeProto] | None:
    """The nodes that take the place of `node`; None where its form is not known (yet)."""
    if any(name and name not in known for name in node.input):
        return None
    return written(Writer(node, known, opset), _FORMS[node.op_type])


def _erf_gelu(to: Writer, x: str) -> str:
    inner = to.write("Erf", to.write("Mul", x, math.sqrt(0.5)))
    return to.write("Mul", to.write("Mul", x, 0.5), to.write("Add", inner, 1.0))


def _gelu(to: Writer) -> str:
    return _erf_gelu(to, to.x)


def _bias_gelu(to: Writer) -> str:
    return _erf_gelu(to, to.write("Add", to.x, to.operand(1)))


def _fast_gelu(to: Writer) -> str:
    """The approximation by a hyperbolic tangent."""
    x = to.write("Add", to.x, to.operand(1)) if to.operand(1) else to.x
    square = to.write("Mul", x, x)
    factor = to.write("Add", to.write("Mul", square, 0.044715 * math.sqrt(2 / math.pi)), math.sqrt(2 / math.pi))
    bent = to.write("Tanh", to.write("Mul", x, factor))
    return to.write("Mul", x, to.write("Add", to.write("Mul", bent, 0.5), 0.5))


def _quick_gelu(to: Writer) -> str:
    return to.write("Mul", to.x, to.write("Sigmoid", to.write("Mul", to.x, float(to.attribute("alpha", 1.702)))))


def _skip_layer_norm(to: Writer) -> str | None:
    if any(to.node.output[1:3]):
        return None
    total = to.write("Add", to.x, to.operand(1))
    if to.operand(4):
        total = to.write("Add", total, to.operand(4))
    result = _layer_norm(to, total)
    if len(to.node.output) > 3 and to.node.output[3]:
        to.made.append(helper.make_node("Identity", [total], [to.node.output[3]], f"{to.node.output[3]}/Identity"))
    return result


def _layer_norm(to: Writer, x: str) -> str:
    gamma, beta, epsilon = to.operand(2), to.operand(3), float(to.attribute("epsilon", 1e-12))
    if to.opset >= LAYER_NORM_OPSET:
        return to.write("LayerNormalization", *filter(None, (x, gamma, beta)), axis=-1, epsilon=epsilon)
    centred = to.write("Sub", x, to.write("ReduceMean", x, axes=[-1], keepdims=1))
    variance = to.write("ReduceMean", to.write("Mul", centred, centred), axes=[-1], keepdims=1)
    result = to.write("Div", centred, to.write("Sqrt", to.write("Add", variance, epsilon)))
    result = to.write("Mul", result, gamma)
    return to.write("Add", result, beta) if beta else result


def _matmul(to: Writer) -> str | None:
    """A product of matrices that are transposed before, and scaled after."""
    if to.attribute("transBatchA", 0) or to.attribute("transBatchB", 0):
        return None
    operands = []
    for place, name in enumerate(("transA", "transB")):
        operand, shape = to.operand(place), to.shape(to.operand(place))
        if to.attribute(name, 0):
            if shape is None:
                return None
            if len(shape) > 1:
                axes = [*range(len(shape) - 2), len(shape) - 1, len(shape) - 2]
                operand = to.write("Transpose", operand, perm=axes)
        operands.append(operand)
    alpha = float(to.attribute("alpha", 1.0))
    product = to.write("MatMul", *operands)
    return product if alpha == 1.0 else to.write("Mul", product, alpha)


def _group_norm(to: Writer) -> str | None:
    """As PyTorch's exporter writes it: each group is normalised like the one channel of an instance."""
    shape = to.shape(to.x)
    if to.opset < GROUP_NORM_OPSET or shape is None or len(shape) < 3 or to.attribute("stash_type", 1) != 1:
        return None
    groups, channels = int(to.attribute("num_groups", 1)), shape[1]
    half = to.dtype != np.float32
    x = to.write("Cast", to.x, to=onnx.TensorProto.FLOAT) if half else to.x
    rows = to.write("Reshape", x, to.constant(np.array([0, groups, -1])))
    ones, zeros = to.constant(np.ones(groups, np.float32)), to.constant(np.zeros(groups, np.float32))
    even = to.write("InstanceNormalization", rows, ones, zeros, epsilon=float(to.attribute("epsilon", 1e-5)))
    maps = to.write("Reshape", even, to.constant(np.array(shape)))
    maps = to.write("Cast", maps, to=to.known[to.x].elem_type) if half else maps
    column = to.constant(np.array([channels, *(1 for _ in shape[2:])]))
    scale, bias = (to.write("Reshape", to.operand(place), column) for place in (1, 2))
    return to.write("Add", to.write("Mul", maps, scale), bias)


_FORMS: Mapping[str, Form] = {
    "BiasGelu": _bias_gelu,
    "FastGelu": _fast_gelu,
    "FusedMatMul": _matmul,
    "Gelu": _gelu,
    "GroupNormalization": _group_norm,
    "QuickGelu": _quick_gelu,
    "SkipLayerNormalization": _skip_layer_norm,
}
