"""The quantised values of a graph in QDQ form: the integers that stand for floats, and how one is made of the other."""

from __future__ import annotations

from collections import defaultdict
from dataclasses import dataclass, replace

from tvmopt.pipeline.graph.ir import Editor, Graph, Node, Origin
from tvmopt.pipeline.graph.quantized.scales import Scale, dequantizes, quantizes, scale_of
from tvmopt.schedules.compute.functions import QUANTIZED
from tvmopt.schedules.expression import Arg, Const, Expr, call
from tvmopt.schedules.workload import Tensor

_Mapping = tuple[str, int, bytes, bytes]
_Key = tuple[str, _Mapping | None, _Mapping]


@dataclass(frozen=True, slots=True)
class Quantized:
    """A quantised value: its name as uint8, and its scale."""

    name: str
    scale: Scale


class QuantizedValues:
    """What is known of the values of a graph while it is rewritten from its first node to the last.

    Attributes:
        graph: nodes of ONNX, as read.
        producers: the nodes that make its values.
        readers: the nodes that read each value, each as often as it does.
        quantized: the scales of values that a QuantizeLinear makes and only DequantizeLinear of that scale read.
        made: quantised values, by their names in the model.
        floats: what values of the model would be made of by a DequantizeLinear, by their names.
        given: values of `floats` that have their name already.
    """

    def __init__(self, graph: Graph) -> None:
        self.graph = graph
        self.producers = graph.producers()
        self.readers: dict[str, list[Node]] = defaultdict(list)
        for node in graph.nodes:
            for name in node.inputs:
                self.readers[name].append(node)
        self.quantized = self._quantized_values()
        self.made: dict[str, Quantized] = {}
        self.floats: dict[str, Quantized] = {}
        self.given: set[str] = set()
        self._again: dict[_Key, Quantized] = {}

    def quantize(self, editor: Editor, node: Node) -> None:
        """A QuantizeLinear of `quantized` becomes an element-wise function, or nothing where the integers exist."""
        scale, source = self.quantized[node.output], self.floats.get(node.inputs[0])
        if source is not None and source.scale.equals(scale):
            self.made[node.output] = source
            return
        key = self._key(node.inputs[0], scale)
        if key not in self._again:
            self._again[key] = Quantized(self._named(editor, node.output, scale), scale)
            self._add_quantize(editor, node, node.inputs[0], self._again[key])
        self.made[node.output] = self._again[key]

    def as_integers(self, editor: Editor, node: Node, name: str, scale: Scale) -> str:
        """The integers of a value of the model in a scale, made on behalf of `node` unless they exist."""
        source = self.floats.get(name)
        if source is not None and source.scale.equals(scale):
            return source.name
        key = self._key(name, scale)
        if key not in self._again:
            made = editor.value(f"{key[0]}_rescaled", self._tensor(name, scale))
            self._again[key] = Quantized(made, scale)
            self._add_quantize(editor, node, name, self._again[key])
        return self._again[key].name

    def place(self, editor: Editor, name: str, scale: Scale) -> Quantized:
        """A new value for the integers of `name`; where the model quantises it alike, the value of the model."""
        for reader in self.readers[name]:
            known = self.quantized.get(reader.outputs[0])
            if quantizes(reader) and known is not None and known.equals(scale):
                return Quantized(self._named(editor, reader.output, scale), scale)
        return Quantized(editor.value(f"{name}_integers", self._tensor(name, scale)), scale)

    def know(self, editor: Editor, name: str, integers: Quantized) -> None:
        """Notes the integers of a value; if it is an output of the model, its floats are made, too."""
        self.floats[name] = integers
        if name in self.graph.outputs:
            self.dequantized(editor, name)

    def round_to(self, editor: Editor, name: str, scale: Scale, node: Node) -> str:
        """The integers of a value that the model does not have, made on behalf of `node`."""
        tensor = replace(editor.values[name], dtype=QUANTIZED, fill=scale.unsigned_zero)
        made = editor.value(f"{name}_integers", tensor)
        inputs, numbers = self._numbers(editor, made, scale)
        editor.add(Node("pointwise", (name, *inputs), (made,), node.layers, {}, call("quantize", Arg(0), *numbers)))
        return made

    def dequantized(self, editor: Editor, name: str) -> str:
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

    def scale_behind(self, name: str) -> Scale | None:
        """The only scale in which a value is read; None if some reader wants it otherwise."""
        if name in self.graph.outputs or not self.readers[name]:
            return None
        scales = [self.quantized.get(reader.outputs[0]) if quantizes(reader) else None for reader in self.readers[name]]
        first = scales[0]
        alike = first is not None and all(scale is not None and scale.equals(first) for scale in scales)
        return first if alike else None

    def _add_quantize(self, editor: Editor, node: Node, name: str, integers: Quantized) -> None:
        inputs, numbers = self._numbers(editor, integers.name, integers.scale)
        inputs = (self.dequantized(editor, name), *inputs)
        layers = node.layers if quantizes(node) else self._layers(name, node)
        editor.add(Node("pointwise", inputs, (integers.name,), layers, {}, call("quantize", Arg(0), *numbers)))

    def _key(self, name: str, scale: Scale) -> _Key:
        """What tells apart the integers of values in several scales; the same bytes may stand for several values."""
        source = self.floats.get(name)
        if source is None:
            return name, None, _mapping(scale)
        return source.name, _mapping(source.scale), _mapping(scale)

    def _layers(self, name: str, node: Node) -> tuple[str, ...]:
        producer = self.producers.get(name)
        return node.layers if producer is None else producer.layers

    def _named(self, editor: Editor, name: str, scale: Scale) -> str:
        """The integers that a QuantizeLinear of the model makes, as uint8."""
        tensor = self._tensor(name, scale)
        if scale.dtype != QUANTIZED:
            return editor.value(f"{name}_unsigned", tensor, Origin(name, "moved"))
        editor.values[name] = tensor
        return name

    def _tensor(self, name: str, scale: Scale) -> Tensor:
        return replace(self.graph.tensor(name), dtype=QUANTIZED, fill=scale.unsigned_zero)

    def _numbers(self, editor: Editor, stem: str, scale: Scale) -> tuple[tuple[str, ...], tuple[Expr, Expr]]:
        """Scale and zero point in an expression, and the further input that it needs where there are several scales."""
        zero = Const(float(scale.unsigned_zero))
        if scale.is_single:
            return (), (Const(float(scale.scale.reshape(-1)[0])), zero)
        return (editor.constant(f"{stem}_scales", scale.scale.reshape(1, -1, 1, 1)),), (Arg(1), zero)

    def _quantized_values(self) -> dict[str, Scale]:
        """Values that a QuantizeLinear makes, and that only a DequantizeLinear of the same scale reads."""
        graph, found = self.graph, dict[str, Scale]()
        for node in graph.nodes:
            if not quantizes(node) or node.output in graph.outputs or node.inputs[0] in graph.constants:
                continue
            scale = scale_of(graph, node)
            tensor = graph.tensor(node.inputs[0])
            if scale is None or not scale.fits_maps(tensor.shape) or tensor.dtype != "float32":
                continue
            read = self.readers[node.output]
            others = [scale_of(graph, reader) if dequantizes(reader) else None for reader in read]
            if all(other is not None and scale.equals(other) for other in others):
                found[node.output] = scale
        return found


def _mapping(scale: Scale) -> _Mapping:
    return scale.dtype, 0 if scale.is_single else scale.axis, scale.scale.tobytes(), scale.zero.tobytes()
