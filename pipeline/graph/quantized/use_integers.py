"""Computes with the integers that a model in QDQ form quantises its values to. Returns a new graph.

1. QuantizeLinear and DequantizeLinear of bytes become element-wise functions, which fuse with their neighbours; each
   reader of a DequantizeLinear gets its own. Quantised values of int8 are moved by 128 and become uint8.
2. A convolution of a quantised map with quantised constant weights becomes one of integers. Its sums, as float32, are
   multiplied with both scales; the bias is added as a float. A QuantizeLinear behind it becomes part of its kernel.
3. So does a matrix product; one of few rows is a convolution of images of one pixel. Layers of bytes that are cast to
   floats, less a zero point that may be computed, are computed with integers, too.
4. Operators that move elements or choose among them do so with the integers (`move`).
5. Averages of maps, and interpolations, read the integers (`average`).
6. A DequantizeLinear of a constant that is left becomes a constant of float32.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import replace

import numpy as np

from tvmopt.pipeline.graph.attributes import attributes
from tvmopt.pipeline.graph.ir import Array, Editor, Graph, Node, Origin, rewrite
from tvmopt.pipeline.graph.quantized.average import average, interpolate
from tvmopt.pipeline.graph.quantized.kernels import SUMS, Data, add_kernel, add_pixels
from tvmopt.pipeline.graph.quantized.move import move
from tvmopt.pipeline.graph.quantized.scales import MOVED, dequantizes, quantizes, scale_of
from tvmopt.pipeline.graph.quantized.values import Quantized, QuantizedValues
from tvmopt.pipeline.graph.quantized.weights import Weights, products_fit, weights_of, whole_weights
from tvmopt.pipeline.graph.recognize.images import window_of
from tvmopt.schedules.compute.functions import QUANTIZED
from tvmopt.schedules.compute.integers import NARROW, WIDE, largest_sum
from tvmopt.schedules.dtypes import FLOAT32
from tvmopt.schedules.expression import ACC, Arg, Const, call
from tvmopt.schedules.llvm.convolution.shape import is_narrow
from tvmopt.schedules.llvm.parts.quads import multiplies_bytes, multiplies_rows
from tvmopt.schedules.operators import INTEGER_CONV2D, INTEGER_DENSE, INTEGER_DEPTHWISE_CONV2D, Operator
from tvmopt.schedules.target import Target
from tvmopt.schedules.workload import Attr, Tensor

FEW_ROWS = 4
"""Dense layers of at most this many rows are computed row by row: all that they take is reading their weights."""


def use_integers(graph: Graph, target: Target) -> Graph:
    """Replaces what can be computed with integers.

    Args:
        graph: nodes of ONNX, as read.
        target: decides whether convolutions have kernels of integers.
    """
    if not any(quantizes(node) or dequantizes(node) or node.kind == "Cast" for node in graph.nodes):
        return graph
    return _Integers(graph, target).run()


class _Integers(QuantizedValues):
    def __init__(self, graph: Graph, target: Target) -> None:
        super().__init__(graph)
        self.target = target
        self.wide: dict[str, str] = {}
        """Computed zero points as int32, by their names."""
        self.around: dict[str, int] = {}
        """What the padding of bytes holds, by their names, where a reader has asked for it."""

    def run(self) -> Graph:
        return rewrite(self.graph, self._rule)

    def _rule(self, editor: Editor, node: Node) -> bool:
        if self._quantized(editor, node) or self._real(editor, node) or self._computed(editor, node):
            return True
        inputs = tuple(self.dequantized(editor, name) for name in node.inputs)
        if inputs == node.inputs:
            return False
        editor.add(replace(node, inputs=inputs))
        return True

    def _quantized(self, editor: Editor, node: Node) -> bool:
        """A QuantizeLinear."""
        if not quantizes(node):
            return False
        if node.output in self.quantized:
            self.quantize(editor, node)
            return True
        return self._quantize_for_all(editor, node)

    def _real(self, editor: Editor, node: Node) -> bool:
        """A DequantizeLinear: a constant, or left to its readers."""
        if not dequantizes(node):
            return False
        known = self._constant(node.output)
        if known is not None:
            editor.constants[node.output] = known
            del editor.values[node.output]
            return True
        source = self.made.get(node.inputs[0]) or self._bytes(editor, node)
        if source is None:
            return False
        self.floats[node.output] = source
        if node.output in self.graph.outputs:
            self.dequantized(editor, node.output)
        return True

    def _computed(self, editor: Editor, node: Node) -> bool:
        """A layer that has kernels of integers."""
        if node.kind == "Conv":
            return self._convolution(editor, node)
        if node.kind in ("Gemm", "MatMul"):
            return (node.kind == "MatMul" and self._product(editor, node)) or self._dense(editor, node)
        return any(rule(self, editor, node) for rule in (move, average, interpolate))

    def _bytes(self, editor: Editor, node: Node) -> Quantized | None:
        """What a DequantizeLinear reads whose bytes are given, or computed otherwise than by a QuantizeLinear alone."""
        name, scale = node.inputs[0], scale_of(self.graph, node)
        tensor = self.graph.tensor(name)
        if name in self.graph.constants or scale is None or not scale.fits_maps(tensor.shape):
            return None
        if scale.dtype == QUANTIZED:
            return Quantized(name, scale) if self._surrounded(editor, name, scale.unsigned_zero) else None
        made = editor.value(f"{name}_unsigned", Tensor(tensor.shape, QUANTIZED, fill=scale.unsigned_zero))
        expr = call("quantize", call("to_float32", Arg(0)), Const(1.0), Const(float(MOVED)))
        editor.add(Node("pointwise", (name,), (made,), node.layers, {}, expr))
        return Quantized(made, scale)

    def _surrounded(self, editor: Editor, name: str, fill: int) -> bool:
        """Whether the padding of bytes holds `fill`: it does from now on, unless a reader has asked for another."""
        if self.around.setdefault(name, fill) != fill:
            return False
        editor.values[name] = replace(editor.values[name], fill=fill)
        return True

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
        data = self._data(node.inputs[0])
        if data is None:
            return False
        weights = self._weights(node.inputs[1])
        has_bias, bias = self._bias(node)
        if weights is None or not weights.sums_fit or (has_bias and bias is None):
            return False
        tensor = self.graph.tensor(node.inputs[0])
        values, groups = attributes(node), int(attributes(node).get("group", 1))
        window = window_of(values, tensor.shape[2:], weights.integers.shape[2:])
        operator = self._operator(tensor.shape, weights.integers.shape, groups, window.dilations)
        if operator is None or min(window.pads) < 0:
            return False
        if operator is INTEGER_CONV2D and (data.scales.size > 1 or (groups > 1 and weights.shifts.any())):
            return False  # sums over channels of several scales, or of which each group has its own
        attrs: dict[str, Attr] = {**window.attrs(), "dilations": window.dilations, "groups": groups}
        if math.prod(weights.integers.shape[2:]) > 1 and largest_sum(weights.integers) >= NARROW:
            attrs[WIDE] = 1
        around = data.zero if isinstance(data.zero, int) else 0
        if any(window.pads) and not self._surrounded(editor, data.name, around):
            return False
        made = replace(node, op=operator.name, attrs=attrs, proto=None)
        add_kernel(editor, made, self._read(editor, data, node), weights, bias)
        return True

    def _dense(self, editor: Editor, node: Node) -> bool:
        """A dense layer; of few rows as a convolution of images of one pixel, each with the elements of a row."""
        data, values = self._data(node.inputs[0]), attributes(node)
        if data is None or data.scales.size > 1 or not multiplies_bytes(self.target):
            return False
        plain = values.get("alpha", 1.0) == values.get("beta", 1.0) == 1.0 and not values.get("transA", 0)
        weights = self._weights(node.inputs[1], turned=not values.get("transB", 0))
        if not plain or weights is None or weights.integers.ndim != 2 or not weights.sums_fit:
            return False
        made = editor.values[node.output]
        has_bias, bias = self._bias(node)
        by_column = bias is not None and bias.ndim and bias.shape[-1] == bias.size == made.shape[-1]
        layer = replace(node, op=INTEGER_DENSE.name, attrs={"packed": 1}, proto=None)
        if has_bias and not by_column:
            layer = replace(layer, outputs=(editor.value(f"{node.output}_product", made),))
        self._rows(editor, layer, self._read(editor, data, node), weights, bias if by_column else None)
        if has_bias and not by_column:
            inputs = (layer.output, self.dequantized(editor, node.inputs[2]))
            editor.add(Node("pointwise", inputs, node.outputs, node.layers, {}, call("add", Arg(0), Arg(1))))
        return True

    def _rows(self, editor: Editor, node: Node, data: Data, weights: Weights, bias: Array | None) -> None:
        """A product of rows with weights."""
        made = editor.values[node.output].shape
        rows = math.prod(made[:-1])
        if rows > FEW_ROWS:
            add_kernel(editor, node, data, weights, bias)
            return
        result = editor.value(f"{node.output}_pixels", Tensor((rows, made[-1], 1, 1)), Origin(node.output, "maps"))
        pixels = replace(weights, integers=weights.integers[:, :, None, None])
        attrs: dict[str, Attr] = {"strides": (1, 1), "pads": (0, 0, 0, 0), "dilations": (1, 1), "groups": 1}
        convolution = replace(node, op=INTEGER_CONV2D.name, outputs=(result,), attrs=attrs)
        add_kernel(editor, convolution, add_pixels(editor, data, rows, node.layers), pixels, bias)
        editor.add(Node("reshape", (result,), node.outputs, node.layers))

    def _product(self, editor: Editor, node: Node) -> bool:
        """A product of two quantised matrices that are both computed, or of several."""
        left, right = (self.floats.get(name) for name in node.inputs)
        shapes = [self.graph.tensor(name).shape for name in node.inputs]
        if left is None or right is None or not (left.scale.is_single and right.scale.is_single):
            return False
        if not multiplies_rows(self.target) or min(map(len, shapes)) < 2 or shapes[0][:-2] != shapes[1][:-2]:
            return False
        if not products_fit(shapes[0][-1]):
            return False
        zeros = {"zero": left.scale.unsigned_zero, "right_zero": right.scale.unsigned_zero}
        factor = np.float32(left.scale.scale.reshape(-1)[0] * right.scale.scale.reshape(-1)[0])
        expr = call("mul", call("to_float32", ACC), Const(float(factor)))
        attrs: dict[str, Attr] = {"packed": 0, **zeros}
        inputs = (left.name, right.name)
        editor.add(replace(node, op=INTEGER_DENSE.name, inputs=inputs, attrs=attrs, epilogue=expr, proto=None))
        return True

    def _operator(
        self, data: tuple[int, ...], weight: tuple[int, ...], groups: int, dilations: tuple[int, ...]
    ) -> Operator | None:
        """The operator of integers that has a kernel for a convolution; None if none has."""
        if len(data) != 4 or not multiplies_bytes(self.target):
            return None
        if groups == data[1] == weight[0] > 1:
            return INTEGER_DEPTHWISE_CONV2D if dilations == (1, 1) else None
        block = self.target.channel_block(QUANTIZED)
        inputs, outputs = data[1] // groups, weight[0] // groups
        aligned = (inputs % block == 0 and outputs % block == 0) or is_narrow(outputs, inputs, groups, block)
        return INTEGER_CONV2D if groups == 1 or aligned else None

    def _data(self, name: str) -> Data | None:
        """What a layer reads that reads the floats `name`, if these stand for quantised values; else None."""
        if name in self.floats:
            known = self.floats[name]
            return Data(known.name, known.scale.scale, known.scale.unsigned_zero)
        node = self.producers.get(name)
        zero: int | str | None = 0
        if node is not None and node.kind == "Sub":
            zero, node = self._zero(node.inputs[1]), self.producers.get(node.inputs[0])
        integers = self._cast(node)
        if integers is None or zero is None or self.graph.tensor(integers).shape != self.graph.tensor(name).shape:
            return None
        return Data(integers, np.ones(1, np.float32), zero)

    def _zero(self, name: str) -> int | str | None:
        """A zero point as a float: its number, or the name of the byte that it is computed from; None for others."""
        number = self.graph.scalar(name)
        if number is not None:
            return int(number) if number in range(256) else None
        source = self._cast(self.producers.get(name))
        return source if source is not None and self.graph.tensor(source).elements == 1 else None

    def _cast(self, node: Node | None) -> str | None:
        """The computed bytes, unsigned, that `node` makes floats of; None for others."""
        if node is None or node.kind != "Cast" or self.graph.tensor(node.output).dtype != FLOAT32:
            return None
        (name,) = node.inputs
        return name if name in self.graph.values and self.graph.tensor(name).dtype == QUANTIZED else None

    def _read(self, editor: Editor, data: Data, layer: Node) -> Data:
        """`data` of a layer, with its zero point as int32, if that is computed."""
        if isinstance(data.zero, int):
            return data
        if data.zero not in self.wide:
            self.wide[data.zero] = editor.value(f"{data.zero}_wide", Tensor((), SUMS))
            layers = self._layers(data.zero, layer)
            node = Node("pointwise", (data.zero,), (self.wide[data.zero],), layers, {}, call("to_int32", Arg(0)))
            editor.add(node)
        return replace(data, zero=self.wide[data.zero])

    def _weights(self, name: str, turned: bool = False) -> Weights | None:
        """Constant weights that are quantised, or differences of bytes as floats; None for others."""
        if name in self.graph.constants:
            array = self.graph.constants[name]
            return whole_weights(array.T if turned else array) if array.ndim > 1 else None
        return weights_of(self.graph, self.producers, name, turned)

    def _quantize_for_all(self, editor: Editor, node: Node) -> bool:
        """A QuantizeLinear to uint8 that others than a DequantizeLinear read, or whose scale is computed."""
        tensors = [self.graph.tensor(name) for name in (*node.inputs, node.output)]
        if tensors[0].dtype != FLOAT32 or tensors[-1].dtype != QUANTIZED or node.inputs[0] in self.graph.constants:
            return False
        scale, further = scale_of(self.graph, node), node.inputs[1:]
        if scale is not None and scale.is_single:
            further, numbers = self._numbers(editor, node.output, scale)
        elif len(tensors) == 4 and further[0] in self.graph.values and tensors[1].elements == 1 == tensors[2].elements:
            known = self.graph.scalar(further[1])
            numbers = (Arg(1), call("to_float32", Arg(2)) if known is None else Const(known))
            further = further if known is None else further[:1]
        else:
            return False
        inputs, expr = (self.dequantized(editor, node.inputs[0]), *further), call("quantize", Arg(0), *numbers)
        editor.add(Node("pointwise", inputs, node.outputs, node.layers, {}, expr))
        return True


def _wide(constants: Mapping[str, Array], node: Node, integers: Array) -> Array | None:
    """The floats of integers of int32, a bias with a scale for each or one, and zero points of zero; else None."""
    scale = constants.get(node.inputs[1])
    zero = constants.get(node.inputs[2]) if len(node.inputs) > 2 and node.inputs[2] else None
    if scale is None or (zero is not None and zero.any()):
        return None
    if scale.size != 1 and (integers.ndim != 1 or scale.size != integers.size):
        return None
    return (integers.astype(np.float64) * scale.reshape(-1)).astype(np.float32)
