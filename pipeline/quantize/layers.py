"""Which layers of a quantised model compute with integers, and why others do not."""

from __future__ import annotations

from collections.abc import Collection, Mapping

import onnx

from tvmopt.pipeline.importers.onnx_form.operators import STANDARD_DOMAINS
from tvmopt.pipeline.quantize.float_form import PRODUCTS, RECURRENT
from tvmopt.pipeline.quantize.types import QUANTIZED, LayerReport

PASSING = {"Concat", "Flatten", "Gather", "Identity", "MaxPool", "Reshape", "Slice", "Split"}
PASSING |= {"Squeeze", "Transpose", "Unsqueeze"}
"""Operators through which quantised values pass as they are: they are rounded before, and not again."""

TAKEN_BACK = "costs too much accuracy when quantised"
_ASKED_FOR = "as asked for"
_GROUPED = "NNCF does not quantise grouped convolutions"
_RULES = "NNCF's rules leave it in float"


def producers_of(model: onnx.ModelProto) -> Mapping[str, onnx.NodeProto]:
    """By name of a value, the node that makes it."""
    return {name: node for node in model.graph.node for name in node.output if name}


def passed(node: onnx.NodeProto) -> list[str]:
    """The values that a node of `PASSING` passes on; its other inputs say how."""
    return list(node.input) if node.op_type == "Concat" else list(node.input[:1])


def quantized_nodes(model: onnx.ModelProto) -> dict[str, onnx.NodeProto]:
    """The products of `model`, in QDQ form, both of whose operands were quantised, by name."""
    producers = producers_of(model)

    def rounded(name: str) -> bool:
        node = producers.get(name)
        if node is None or node.op_type == "DequantizeLinear":
            return node is not None
        return node.op_type in PASSING and all(map(rounded, passed(node)))

    nodes = (node for node in model.graph.node if node.op_type in PRODUCTS)
    return {node.name: node for node in nodes if all(rounded(name) for name in node.input[:2])}


def layer_reports(
    original: onnx.ModelProto, quantized: onnx.ModelProto, whole: onnx.ModelProto, in_float: Collection[str]
) -> list[LayerReport]:
    """A report of each layer, in order, without errors.

    Args:
        original: the model of floats.
        quantized: the same in QDQ form.
        whole: the same before layers were taken back to float.
        in_float: names of nodes that were to stay in float.
    """
    done, before = quantized_nodes(quantized), quantized_nodes(whole)

    def why(node: onnx.NodeProto) -> str:
        if node.name in done:
            return QUANTIZED
        if node.op_type in RECURRENT:
            return f"NNCF does not quantise {node.op_type}"
        if node.name in before:
            return TAKEN_BACK
        if node.name in in_float:
            return _ASKED_FOR
        groups = next((attribute.i for attribute in node.attribute if attribute.name == "group"), 1)
        return _GROUPED if groups > 1 else _RULES

    kinds = PRODUCTS + RECURRENT
    nodes = [node for node in original.graph.node if node.op_type in kinds and node.domain in STANDARD_DOMAINS]
    return [LayerReport(node.name, node.op_type, why(node)) for node in nodes]
