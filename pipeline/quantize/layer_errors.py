"""How far the results of quantised layers are from the original's, as signal-to-quantisation-noise ratio.

One model computes everything: the original; the quantised model beside it; and each quantised layer once more, with
inputs from the original. It returns nothing but sums of squares, however large the results are.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import replace

import onnx
from onnx import helper

from tvmopt.pipeline.data.calibration import Feed
from tvmopt.pipeline.quantize.layers import PASSING, producers_of, quantized_nodes
from tvmopt.pipeline.quantize.types import LayerReport, Noise
from tvmopt.pipeline.support.onnxruntime import open_session, run_session

_QUANTIZED, _ALONE = "tvmopt.quantized/", "tvmopt.alone/"
"""What the names of the copies begin with: the quantised model, and its layers with inputs from the original."""

_SIGNAL, _WHOLE, _BY_ITSELF = "signal", "noise", "noise alone"
"""What the names of the outputs begin with: energies of a right value, and of differences from it."""

_FLOATS = (onnx.TensorProto.FLOAT, onnx.TensorProto.UNDEFINED)


def measure_errors(
    layers: Iterable[LayerReport], original: onnx.ModelProto, quantized: onnx.ModelProto, feeds: Iterable[Feed]
) -> tuple[list[LayerReport], dict[str, Noise]]:
    """The errors of quantised layers and of the model's outputs.

    Args:
        layers: of `original`.
        original: the model of floats.
        quantized: the same in QDQ form, with the same names of nodes and values.
        feeds: inputs to run both on, at least one; errors are those of all of them together.

    Returns:
        `layers`, with errors where they are quantised; and the error of each output of floats.
    """
    comparison = _Comparison(original, quantized)
    session = open_session(comparison.model())
    totals: dict[str, float] = {}
    for feed in feeds:
        for name, energy in run_session(session, feed).items():
            totals[name] = totals.get(name, 0.0) + float(energy)

    def noise(kind: str, value: str) -> Noise | None:
        found = totals.get(f"{kind} {value}")
        return None if found is None else Noise(totals[f"{_SIGNAL} {value}"], found)

    results = {node.name: node.output[0] for node in original.graph.node}
    complete = [
        replace(layer, whole=noise(_WHOLE, results[layer.layer]), alone=noise(_BY_ITSELF, results[layer.layer]))
        if layer.is_quantized
        else layer
        for layer in layers
    ]
    outputs = {value.name: noise(_WHOLE, value.name) for value in original.graph.output}
    return complete, {name: found for name, found in outputs.items() if found is not None}


class _Comparison:
    """The model that computes all errors.

    Args:
        original: the model of floats.
        quantized: the same in QDQ form.
    """

    def __init__(self, original: onnx.ModelProto, quantized: onnx.ModelProto) -> None:
        self._original, self._quantized = original, quantized
        self._inputs = {value.name for value in original.graph.input}
        self._values = {name for node in original.graph.node for name in node.output} | self._inputs
        self._constants = {tensor.name for tensor in quantized.graph.initializer}
        self._producers = producers_of(quantized)
        self._nodes: list[onnx.NodeProto] = []
        self._outputs: list[str] = []
        self._copied: set[str] = set()

    def model(self) -> onnx.ModelProto:
        """The model; its outputs are scalars."""
        made = {name for node in self._quantized.graph.node for name in node.output}
        self._nodes += [self._renamed(node, _QUANTIZED) for node in self._quantized.graph.node]
        for node in quantized_nodes(self._quantized).values():
            if node.output[0] in self._values:
                self._compare(node.output[0])
                self._compare_alone(node)
        for value in self._original.graph.output:
            if value.type.tensor_type.elem_type in _FLOATS and value.name in made:
                self._compare(value.name)
        return self._built()

    def _built(self) -> onnx.ModelProto:
        model = onnx.ModelProto()
        model.CopyFrom(self._original)
        model.graph.node.extend(self._nodes)
        for tensor in self._quantized.graph.initializer:
            copy = model.graph.initializer.add()
            copy.CopyFrom(tensor)
            copy.name = _QUANTIZED + tensor.name
        del model.graph.value_info[:]
        del model.graph.output[:]
        model.graph.output.extend(helper.make_empty_tensor_value_info(name) for name in self._outputs)
        return model

    def _compare(self, value: str) -> None:
        """Compares a value of the original with that of the quantised model."""
        if f"{_SIGNAL} {value}" in self._outputs:
            return
        self._energy(value, f"{_SIGNAL} {value}")
        self._difference(value, _QUANTIZED + value, f"{_WHOLE} {value}")

    def _compare_alone(self, node: onnx.NodeProto) -> None:
        """Compares the result of a layer with that of its quantised form on the original's values.

        Does nothing where its inputs are not among the original's values.
        """
        operands = [self._operand(name) for name in node.input]
        if None in operands:
            return
        copy = self._renamed(node, _ALONE)
        copy.input[:] = [name or "" for name in operands]
        self._nodes.append(copy)
        self._difference(node.output[0], copy.output[0], f"{_BY_ITSELF} {node.output[0]}")

    def _difference(self, right: str, made: str, result: str) -> None:
        difference = f"{_ALONE}difference {result}"
        self._nodes.append(helper.make_node("Sub", [right, made], [difference], difference))
        self._energy(difference, result)

    def _energy(self, value: str, result: str) -> None:
        self._nodes.append(helper.make_node("ReduceSumSquare", [value], [result], f"{_ALONE}{result}", keepdims=0))
        self._outputs.append(result)

    def _operand(self, name: str) -> str | None:
        """What a quantised layer reads in place of `name` if its inputs are the original's; None if that has it not."""
        back = self._producers.get(name)
        if not name or back is None:  # absent, a constant, or an input of the model
            return name if not name or name in self._inputs else _QUANTIZED + name
        if back.op_type != "DequantizeLinear":
            if back.op_type in PASSING or name not in self._values:
                return self._again(back, name)
            return name
        rounding = self._producers.get(back.input[0])
        if rounding is None:  # a quantised constant
            return _QUANTIZED + name
        source = self._source(rounding.input[0])
        if rounding.op_type != "QuantizeLinear" or source is None:
            return None
        if name not in self._copied:
            self._copied.add(name)
            self._nodes += self._pair(rounding, back, source)
        return _ALONE + name

    def _source(self, name: str) -> str | None:
        """A value before it is rounded: the original's, a constant, or what is made of the original's by new nodes."""
        if name in self._values:
            return name
        if name in self._constants:
            return _QUANTIZED + name
        node = self._producers.get(name)
        return None if node is None else self._again(node, name)

    def _again(self, node: onnx.NodeProto, name: str) -> str | None:
        """As `_operand`, of a result of `node`: computed again, as it is of rounded values or not the original's."""
        operands = [self._operand(operand) for operand in node.input]
        if None in operands:
            return None
        if name not in self._copied:
            self._copied.update(node.output)
            copy = self._renamed(node, _ALONE)
            copy.input[:] = [operand or "" for operand in operands]
            self._nodes.append(copy)
        return _ALONE + name

    def _pair(self, rounding: onnx.NodeProto, back: onnx.NodeProto, source: str) -> Sequence[onnx.NodeProto]:
        copies = self._renamed(rounding, _ALONE), self._renamed(back, _ALONE)
        for copy, node in zip(copies, (rounding, back), strict=True):
            copy.input[1:] = [_QUANTIZED + name for name in node.input[1:]]
        copies[0].input[0] = source
        return copies

    def _renamed(self, node: onnx.NodeProto, prefix: str) -> onnx.NodeProto:
        copy = onnx.NodeProto()
        copy.CopyFrom(node)
        copy.name = prefix + node.name
        copy.input[:] = [prefix + name if name and name not in self._inputs else name for name in node.input]
        copy.output[:] = [prefix + name if name else name for name in node.output]
        return copy
