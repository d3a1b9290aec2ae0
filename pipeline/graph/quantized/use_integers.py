"""Computes with the integers that a model in QDQ form quantises its values to. Returns a new graph.

1. QuantizeLinear and DequantizeLinear of bytes become element-wise functions, which fuse with their neighbours; each
   reader of a DequantizeLinear gets its own. Quantised values of int8 are moved by 128 and become uint8.
2. A convolution of a quantised map with quantised constant weights becomes one of integers. Its sums, as float32, are
   multiplied with both scales; the bias is added as a float. A QuantizeLinear behind it becomes part of its kernel.
3. A dense layer of few rows is such a convolution of images of one pixel.
4. The maximum of windows is that of the integers.
5. A DequantizeLinear of a constant that is left becomes a constant of float32.
"""

from __future__ import annotations

import math
from collections import defaultdict
from collections.abc import Mapping
from dataclasses import dataclass, replace

import numpy as np

from tvmopt.pipeline.graph.attributes import attributes
from tvmopt.pipeline.graph.ir import Array, Editor, Graph, Node, Origin, rewrite
from tvmopt.pipeline.graph.quantized.scales import MOVED, Scale, dequantizes, quantizes, scale_of
from tvmopt.pipeline.graph.recognize.images import window_of
from tvmopt.schedules.compute.functions import QUANTIZED
from tvmopt.schedules.compute.integers import NARROW, WIDE, largest_sum
from tvmopt.schedules.expression import ACC, Arg, Const, Expr, call
from tvmopt.schedules.llvm.parts.quads import multiplies_bytes
from tvmopt.schedules.operators import INTEGER_CONV2D, INTEGER_DEPTHWISE_CONV2D, Operator
from tvmopt.schedules.target import Target
from tvmopt.schedules.workload import Attr, Tensor

FEW_ROWS = 4
"""Dense layers of at most this many rows are computed row by row: all that they take is reading their weights."""


@dataclass(frozen=True, slots=True)
class _Weights:
    """Quantised weights of a convolution: int8, with a scale for each output channel."""

    integers: Array
    scales: Array


@dataclass(frozen=True, slots=True)
class _Quantized:
    """A quantised value: its name as uint8, and its scale."""

    name: str
    scale: Scale


def use_integers(graph: Graph, target: Target) -> Graph:
    """Replaces what can be computed with integers.

    Args:
        graph: nodes of ONNX, as read.
        target: decides whether convolutions have kernels of integers.
    """
    if not any(quantizes(node) or dequantizes(node) for node in graph.nodes):
        return graph
    return _Integers(graph, target).run()


class _Integers:
    def __init__(self, graph: Graph, target: Target) -> None:
        self.graph, self.target = graph, target
        self.producers = graph.producers()
        self.quantized = _quantized_values(graph)
        self.made: dict[str, _Quantized] = {}
        """Quantised values, by their names in the model."""
        self.floats: dict[str, _Quantized] = {}
        """What values of the model would be made of by a DequantizeLinear, by their names."""
        self.given: set[str] = set()
        """Values of `floats` that have their name already."""

    def run(self) -> Graph:
        return rewrite(self.graph, self._rule)

    def _rule(self, editor: Editor, node: Node) -> bool:
        if quantizes(node) and node.output in self.quantized:
            self._quantize(editor, node)
            return True
        if dequantizes(node):
            known = self._constant(node.output)
            if known is not None:
                editor.constants[node.output] = known
                del editor.values[node.output]
                return True
            if node.inputs[0] in self.made:
                self.floats[node.output] = self.made[node.inputs[0]]
                if node.output in self.graph.outputs:
                    self._dequantized(editor, node.output)
                return True
        if node.kind == "Conv" and self._convolution(editor, node):
            return True
        if node.kind in ("Gemm", "MatMul") and self._dense(editor, node):
            return True
        if node.kind == "MaxPool" and len(node.outputs) == 1 and node.inputs[0] in self.floats:
            self._maximum(editor, node)
            return True
        inputs = tuple(self._dequantized(editor, name) for name in node.inputs)
        if inputs == node.inputs:
            return False
        editor.add(replace(node, inputs=inputs))
        return True

    def _quantize(self, editor: Editor, node: Node) -> None:
        scale, source = self.quantized[node.output], self.floats.get(node.inputs[0])
        if source is not None and source.scale.equals(scale):
            self.made[node.output] = source
            return
        tensor = replace(editor.values[node.output], dtype=QUANTIZED, fill=scale.unsigned_zero)
        if scale.dtype == QUANTIZED:
            editor.values[node.output] = tensor
            made = node.output
        else:
            made = editor.value(f"{node.output}_unsigned", tensor, Origin(node.output, "moved"))
        self.made[node.output] = _Quantized(made, scale)
        inputs, numbers = self._numbers(editor, made, scale)
        inputs = (self._dequantized(editor, node.inputs[0]), *inputs)
        editor.add(Node("pointwise", inputs, (made,), node.layers, {}, call("quantize", Arg(0), *numbers)))

    def _maximum(self, editor: Editor, node: Node) -> None:
        """The largest of quantised values is the quantised value of the largest."""
        source = self.floats[node.inputs[0]]
        tensor = replace(editor.values[node.output], dtype=QUANTIZED, fill=source.scale.unsigned_zero)
        made = editor.value(f"{node.output}_integers", tensor)
        editor.add(replace(node, inputs=(source.name,), outputs=(made,)))
        self.floats[node.output] = _Quantized(made, source.scale)
        if node.output in self.graph.outputs:
            self._dequantized(editor, node.output)

    def _dequantized(self, editor: Editor, name: str) -> str:
        """The value `name`; if it is that of a DequantizeLinear, made anew for the reader."""
        if name not in self.floats:
            return name
        source = self.floats[name]
        made = editor.value(f"{name}_again", Tensor(self.graph.tensor(name).shape)) if name in self.given else name
        self.given.add(name)
        layers = self.producers[name].layers
        inputs, numbers = self._numbers(editor, made, source.scale)
        expr = call("dequantize", Arg(0), *numbers)
        editor.add(Node("pointwise", (source.name, *inputs), (made,), layers, {}, expr))
        return made

    def _numbers(self, editor: Editor, stem: str, scale: Scale) -> tuple[tuple[str, ...], tuple[Expr, Const]]:
        """Scale and zero point in an expression, and the further input that it needs where there are several scales."""
        zero = Const(float(scale.unsigned_zero))
        if scale.is_single:
            return (), (Const(float(scale.scale.reshape(-1)[0])), zero)
        return (editor.constant(f"{stem}_scales", scale.scale.reshape(1, -1, 1, 1)),), (Arg(1), zero)

    def _constant(self, name: str) -> Array | None:
        """The value of a constant, or of a DequantizeLinear of one; else None."""
        if name in self.graph.constants:
            return self.graph.constants[name]
        node = self.producers.get(name)
        if node is None or not dequantizes(node) or node.inputs[0] not in self.graph.constants:
            return None
        integers = self.graph.constants[node.inputs[0]]
        if integers.dtype == np.int32:
            return _wide(self.graph.constants, node, integers)
        scale = scale_of(self.graph, node)
        return None if scale is None else scale.real(integers)

    def _bias(self, node: Node) -> tuple[bool, Array | None]:
        """Whether a layer has a bias, and its value if that is constant."""
        if len(node.inputs) < 3 or not node.inputs[2]:
            return False, None
        return True, self._constant(node.inputs[2])

    def _convolution(self, editor: Editor, node: Node) -> bool:
        data = self.floats.get(node.inputs[0])
        if data is None:
            return False
        weights = self._weights(node.inputs[1])
        has_bias, bias = self._bias(node)
        if weights is None or (has_bias and bias is None):
            return False
        tensor = self.graph.tensor(node.inputs[0])
        values, groups = attributes(node), int(attributes(node).get("group", 1))
        window = window_of(values, tensor.shape[2:], weights.integers.shape[2:])
        operator = self._operator(tensor.shape, weights.integers.shape, groups, window.dilations)
        if operator is None or min(window.pads) < 0:
            return False
        if operator is INTEGER_CONV2D and not data.scale.is_single:
            return False  # sums over channels of several scales
        attrs: dict[str, Attr] = {**window.attrs(), "dilations": window.dilations, "groups": groups}
        if math.prod(weights.integers.shape[2:]) > 1 and largest_sum(weights.integers) >= NARROW:
            attrs[WIDE] = 1
        self._add(editor, replace(node, op=operator.name, attrs=attrs, proto=None), data, weights, bias)
        return True

    def _dense(self, editor: Editor, node: Node) -> bool:
        """A dense layer of few rows, as a convolution of images of one pixel, each with the elements of a row."""
        data, values = self.floats.get(node.inputs[0]), attributes(node)
        if data is None or not data.scale.is_single or not multiplies_bytes(self.target):
            return False
        plain = values.get("alpha", 1.0) == values.get("beta", 1.0) == 1.0 and not values.get("transA", 0)
        shape, made = self.graph.tensor(node.inputs[0]).shape, self.graph.tensor(node.output).shape
        rows = math.prod(shape[:-1])
        weights = self._weights(node.inputs[1], turned=not values.get("transB", 0))
        has_bias, bias = self._bias(node)
        if not plain or rows > FEW_ROWS or weights is None or weights.integers.ndim != 2:
            return False
        by_column = bias is not None and bias.ndim and bias.shape[-1] == bias.size == made[-1]
        if has_bias and not by_column:
            return False
        tensor = Tensor((rows, shape[-1], 1, 1), QUANTIZED, fill=data.scale.unsigned_zero)
        image = editor.value(f"{data.name}_pixels", tensor)
        editor.add(Node("reshape", (data.name,), (image,), node.layers))
        result = editor.value(f"{node.output}_pixels", Tensor((rows, made[-1], 1, 1)), Origin(node.output, "maps"))
        integers = _Weights(weights.integers[:, :, None, None], weights.scales)
        attrs: dict[str, Attr] = {"strides": (1, 1), "pads": (0, 0, 0, 0), "dilations": (1, 1), "groups": 1}
        convolution = replace(node, op=INTEGER_CONV2D.name, outputs=(result,), attrs=attrs, proto=None)
        self._add(editor, convolution, _Quantized(image, data.scale), integers, bias)
        editor.add(Node("reshape", (result,), node.outputs, node.layers))
        return True

    def _add(self, editor: Editor, node: Node, data: _Quantized, weights: _Weights, bias: Array | None) -> None:
        """Adds `node`, a convolution of integers, with the operands and the expression that make floats of its sums."""
        stem = node.layers[0]
        factors = weights.scales * data.scale.scale.reshape(-1)
        inputs = [data.name, editor.constant(f"{stem}_integers", weights.integers)]
        inputs.append(editor.constant(f"{stem}_scales", factors.reshape(1, -1, 1, 1)))
        expr: Expr = call("mul", call("to_float32", ACC), Arg(2))
        if bias is not None:
            inputs.append(editor.constant(f"{stem}_bias", bias.astype(np.float32).reshape(1, -1, 1, 1)))
            expr = call("add", expr, Arg(3))
        attrs: dict[str, Attr] = {**node.attrs, "zero": data.scale.unsigned_zero}
        editor.add(replace(node, inputs=tuple(inputs), attrs=attrs, epilogue=expr))

    def _operator(
        self, data: tuple[int, ...], weight: tuple[int, ...], groups: int, dilations: tuple[int, ...]
    ) -> Operator | None:
        """The operator of integers that has a kernel for a convolution; None if none has."""
        if len(data) != 4 or not multiplies_bytes(self.target):
            return None
        if groups == data[1] == weight[0] > 1:
            return INTEGER_DEPTHWISE_CONV2D if dilations == (1, 1) else None
        block = self.target.channel_block(QUANTIZED)
        aligned = data[1] // groups % block == 0 and weight[0] // groups % block == 0
        return INTEGER_CONV2D if groups == 1 or aligned else None

    def _weights(self, name: str, turned: bool = False) -> _Weights | None:
        """Constant weights with a scale for each output channel, or one, that are symmetric; else None.

        Output channels come first, but in matrices that are to be `turned`.
        """
        node = self.producers.get(name)
        if node is None or not dequantizes(node) or node.inputs[0] not in self.graph.constants:
            return None
        scale = scale_of(self.graph, node)
        integers = self.graph.constants[node.inputs[0]]
        if scale is None or not (scale.is_single or scale.axis == int(turned)) or (turned and integers.ndim != 2):
            return None
        zero = scale.zero
        if scale.dtype == "uint8":
            integers, zero = (integers.astype(np.int16) - MOVED).astype(np.int8), zero - MOVED
        if zero.any():
            return None
        integers = integers.T if turned else integers
        return _Weights(integers, np.broadcast_to(scale.scale.reshape(-1), (len(integers),)))


def _quantized_values(graph: Graph) -> dict[str, Scale]:
    """Values that a QuantizeLinear makes, and that only a DequantizeLinear of the same scale reads."""
    readers: dict[str, list[Node]] = defaultdict(list)
    for node in graph.nodes:
        for name in node.inputs:
            readers[name].append(node)
    found: dict[str, Scale] = {}
    for node in graph.nodes:
        if not quantizes(node) or node.output in graph.outputs or node.inputs[0] in graph.constants:
            continue
        scale = scale_of(graph, node)
        tensor = graph.tensor(node.inputs[0])
        if scale is None or not scale.fits_maps(tensor.shape) or tensor.dtype != "float32":
            continue
        others = [scale_of(graph, reader) if dequantizes(reader) else None for reader in readers[node.output]]
        if all(other is not None and scale.equals(other) for other in others):
            found[node.output] = scale
    return found


def _wide(constants: Mapping[str, Array], node: Node, integers: Array) -> Array | None:
    """The floats of integers of int32, a bias with a scale for each or one, and zero points of zero; else None."""
    scale = constants.get(node.inputs[1])
    zero = constants.get(node.inputs[2]) if len(node.inputs) > 2 and node.inputs[2] else None
    if scale is None or (zero is not None and zero.any()):
        return None
    if scale.size != 1 and (integers.ndim != 1 or scale.size != integers.size):
        return None
    return (integers.astype(np.float64) * scale.reshape(-1)).astype(np.float32)
