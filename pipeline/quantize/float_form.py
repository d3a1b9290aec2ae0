"""The form of a model that is quantised: plain operators, constants and BatchNorm folded, all values typed."""

from __future__ import annotations

from collections import Counter

import onnx

from tvmopt.pipeline.errors import UnsupportedModelError
from tvmopt.pipeline.importers.onnx_form.normalize import infer_shapes, simplified
from tvmopt.pipeline.importers.onnx_form.operators import all_nodes, standard_opset
from tvmopt.pipeline.importers.onnx_form.upgrade import OLDEST_OPSET

PRODUCTS = ("Conv", "ConvTranspose", "Gemm", "MatMul")
"""Operators that take most of a network's time, and that NNCF quantises."""

RECURRENT = ("LSTM", "GRU", "RNN")
"""Operators with weights that NNCF leaves alone."""

_ROUNDS = frozenset({"QuantizeLinear", "DequantizeLinear", "DynamicQuantizeLinear"})
_COMPUTES = frozenset({"QLinearConv", "QLinearMatMul", "ConvInteger", "MatMulInteger", "QLinearAdd", "QGemm"})
_LISTED = 6


def float_form(original: onnx.ModelProto) -> onnx.ModelProto:
    """The model to quantise.

    Args:
        original: as imported, with static inputs; it is not changed.

    Returns:
        The same function, with a name for each node and the type of each value that can be inferred.

    Raises:
        UnsupportedModelError: the model is quantised already, has nothing to quantise, or cannot be written so.
    """
    _refuse_quantized(original)
    model = simplified(original)
    opset = standard_opset(model)
    if opset < OLDEST_OPSET:
        raise UnsupportedModelError(
            f"opset {opset} has no scale for each channel, and the model cannot be converted to {OLDEST_OPSET}: "
            "export it for a newer one"
        )
    _refuse_without_products(model)
    _refuse_computed_weights(model)
    _add_computed_biases_apart(model)
    return model


def _add_computed_biases_apart(model: onnx.ModelProto) -> None:
    """Writes a Gemm whose third operand is no constant as one without, and an Add, in place: for NNCF it is a bias."""
    constants = {tensor.name for tensor in model.graph.initializer}
    nodes: list[onnx.NodeProto] = []
    for node in model.graph.node:
        beta = next((attribute.f for attribute in node.attribute if attribute.name == "beta"), 1.0)
        nodes.append(node)
        if node.op_type != "Gemm" or len(node.input) < 3 or not node.input[2] or node.input[2] in constants:
            continue
        if beta != 1.0:
            raise UnsupportedModelError(f"layer {node.name!r} scales what it adds by {beta:g}: NNCF does not take that")
        result, product = node.output[0], f"{node.output[0]}/product"
        nodes.append(onnx.helper.make_node("Add", [product, node.input[2]], [result], f"{node.name}/Add"))
        node.output[0] = product
        del node.input[2:]
    copies = [onnx.NodeProto.FromString(node.SerializeToString()) for node in nodes]
    del model.graph.node[:]
    model.graph.node.extend(copies)
    infer_shapes(model)


def has_attention(model: onnx.ModelProto) -> bool:
    """Whether a product of matrices takes the result of a Softmax, perhaps in another shape."""
    from_softmax: set[str] = set()
    for node in model.graph.node:
        if node.op_type == "Softmax":
            from_softmax.update(node.output)
        elif node.input and node.input[0] in from_softmax:
            if node.op_type == "MatMul":
                return True
            if node.op_type in ("Reshape", "Transpose", "Cast", "Where", "Dropout"):
                from_softmax.update(node.output)
    return False


def _refuse_quantized(model: onnx.ModelProto) -> None:
    found = Counter(node.op_type for node in all_nodes(model.graph.node) if node.op_type in _ROUNDS | _COMPUTES)
    if found:
        listed = ", ".join(f"{count} {operator}" for operator, count in found.most_common(3))
        raise UnsupportedModelError(f"the model is quantised already ({listed}): give the one of floats")


def _refuse_computed_weights(model: onnx.ModelProto) -> None:
    constants = {tensor.name for tensor in model.graph.initializer}
    for node in model.graph.node:
        if node.op_type in ("Conv", "ConvTranspose") and node.input[1] not in constants:
            raise UnsupportedModelError(f"layer {node.name!r} computes its weights: NNCF does not take that")


def _refuse_without_products(model: onnx.ModelProto) -> None:
    counts = Counter(node.op_type for node in model.graph.node)
    if any(counts[operator] for operator in PRODUCTS):
        return
    has = ", ".join(operator for operator, _ in counts.most_common(_LISTED)) or "no layers"
    recurrent = [operator for operator in RECURRENT if counts[operator]]
    why = f" (NNCF does not quantise {', '.join(recurrent)})" if recurrent else ""
    raise UnsupportedModelError(
        f"there is nothing to quantise: no convolution or product of matrices{why}; the model has {has}"
    )
