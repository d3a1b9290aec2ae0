"""Which values of a quantised model may be a step off: a value beside the border between two steps goes either way."""

from __future__ import annotations

import onnx

from tvmopt.pipeline.importers.onnx_form.operators import QUANTIZED_FORMS

QUANTIZING = QUANTIZED_FORMS | frozenset(
    ("QuantizeLinear", "DynamicQuantizeLinear", "QLinearConv", "QLinearMatMul", "ConvInteger", "MatMulInteger")
)
"""Operators that round to integers of 8 bits, or read what was rounded so."""


def values_behind(graph: onnx.GraphProto) -> frozenset[str]:
    """The values of `graph` that follow from what a `QUANTIZING` operator computes."""
    behind: set[str] = set()
    for node in graph.node:
        if node.op_type in QUANTIZING or behind.intersection(node.input):
            behind.update(node.output)
    return frozenset(behind)
