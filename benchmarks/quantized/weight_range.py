"""How many bits quantised weights may use, so that no sum of products saturates.

``vpmaddubsw``, with which onnxruntime and OpenVINO multiply bytes on x86 without VNNI, adds two products in 16 bits and
saturates. Sums of 2·255·64 fit, so weights of 7 bits cannot; those of 8 bits make 14–18 % of a layer's outputs wrong.
"""

from __future__ import annotations

from pathlib import Path

import numpy as np

from tvmopt.benchmarks.machine.environment import has_int8_dot_product

SAFE = 64
"""The largest magnitude of a weight of 7 bits."""

SATURATES = "saturates: this CPU adds products of 8-bit weights in 16 bits, and sums beyond that are cut off"
"""What is said of a setting whose outputs are therefore wrong."""


def safe_bits() -> int:
    """The bits of a weight that this machine multiplies without saturating."""
    return 8 if has_int8_dot_product() else 7


def in_words(bits: int) -> dict[str, str]:
    """The setting of weights with so many bits, and whether they saturate, as a runner's settings."""
    saturates = {"saturates": SATURATES} if bits > safe_bits() else {}
    return {"weights": f"int8 per channel, {bits} bits used", **saturates}


def bits_of(model: Path) -> int:
    """The bits that the quantised weights of convolutions and matrices in an ONNX file use: 7 or 8.

    Weights of depthwise convolutions are left out: their products are not added in pairs.
    """
    import onnx
    from onnx import numpy_helper

    graph = onnx.load(model).graph
    stored = {tensor.name: tensor for tensor in graph.initializer}
    found = {node.output[0]: node.input[0] for node in graph.node if node.op_type == "DequantizeLinear"}
    for node in graph.node:
        if node.op_type not in ("Conv", "Gemm", "MatMul", "QLinearConv", "QLinearMatMul"):
            continue
        place = 3 if node.op_type.startswith("QLinear") else 1
        tensor = stored.get(found.get(node.input[place], node.input[place]))
        if tensor is None or tensor.data_type not in (onnx.TensorProto.INT8, onnx.TensorProto.UINT8):
            continue
        integers = numpy_helper.to_array(tensor).astype(np.int16)
        if tensor.data_type == onnx.TensorProto.UINT8:
            integers = integers - 128
        depthwise = integers.ndim == 4 and integers.shape[1] == 1
        if not depthwise and integers.size and np.abs(integers).max() > SAFE:
            return 8
    return 7
