"""The costs of all layers of a model."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from tvmopt.pipeline.inspection.costs.quantized import QuantizedForm
from tvmopt.pipeline.inspection.costs.rules import PICKING, VIEWS, count, family_of
from tvmopt.pipeline.inspection.costs.types import LayerCost, Operation, elements
from tvmopt.pipeline.types import ImportedModel, TensorSpec

if TYPE_CHECKING:
    import onnx

Specs = Mapping[str, TensorSpec]

STEERING: Mapping[str, tuple[int, ...]] = {
    "BatchNormalization": (3, 4),  # running statistics
    "GRU": (4,),  # lengths
    "LSTM": (4,),
    "OneHot": (2,),
    "RNN": (4,),
    "Resize": (1, 2, 3),
    "Upsample": (1,),
}
"""Operands that are not parameters, though they may be constant and have more than one element."""


@dataclass(frozen=True, slots=True)
class ModelCosts:
    """The costs of a model.

    Attributes:
        inputs: the model's inputs whose sizes are known.
        outputs: the model's outputs whose sizes are known.
        layers: in the model's order.
        parameters: elements of all constants; those that several layers share count once.
        parameter_bytes: their bytes.
        uncounted: the reason for each layer whose operations are not counted, by its name.
    """

    inputs: tuple[TensorSpec, ...]
    outputs: tuple[TensorSpec, ...]
    layers: tuple[LayerCost, ...]
    parameters: int
    parameter_bytes: int
    uncounted: Mapping[str, str]

    @property
    def total(self) -> LayerCost:
        """All layers as one: the model's inputs and outputs, its operations, parameters and bytes together."""
        return LayerCost(
            layer="total",
            operator="",
            inputs=self.inputs,
            outputs=self.outputs,
            flops=sum(layer.flops for layer in self.layers),
            integer_ops=sum(layer.integer_ops for layer in self.layers),
            parameters=self.parameters,
            read_bytes=sum(layer.read_bytes for layer in self.layers),
            written_bytes=sum(layer.written_bytes for layer in self.layers),
        )


def layer_costs(model: ImportedModel) -> tuple[LayerCost, ...]:
    """What each layer of `model` costs, in the model's order; `pipeline.inspection.costs` says how it is counted.

    Layers are the nodes of the source model that depend on its inputs' values. Nodes that compute constants or shapes
    are not layers: the constants belong to the layers that use them.
    """
    return model_costs(model.original, model.normalized).layers


def model_costs(original: onnx.ModelProto, normalized: onnx.ModelProto | None) -> ModelCosts:
    """What the layers of an ONNX model cost.

    Args:
        original: the source model, with static inputs and named nodes.
        normalized: the same model, fully or partly normalised; None when that is not possible. It gives the shapes that
            the source model hides, and the operations of functions and control structures.
    """
    return _Counter(original, normalized).costs()


class _Counter:
    """Walks over a model's nodes."""

    def __init__(self, original: onnx.ModelProto, normalized: onnx.ModelProto | None) -> None:
        from tvmopt.pipeline.inspection.costs.values import constant_sources, nbytes, value_specs

        self.nbytes = nbytes
        self.original, self.normalized = original, normalized
        self.specs = value_specs(original, normalized)
        self.sources = constant_sources(original)
        self.quantized = QuantizedForm(original.graph, self.specs)
        self.uncounted: dict[str, str] = {}

    def costs(self) -> ModelCosts:
        nodes = [node for node in self.original.graph.node if not self._is_constant(node)]
        layers = tuple(self._cost(node) for node in nodes)
        parameters = frozenset().union(*(self._parameters(node) for node in nodes))
        known = [self.specs[name] for name in parameters if name in self.specs]
        inputs, outputs = (
            tuple(self.specs[value.name] for value in values if value.name in self.specs)
            for values in (self.original.graph.input, self.original.graph.output)
        )
        return ModelCosts(
            inputs, outputs, layers, sum(map(elements, known)), sum(map(self.nbytes, known)), self.uncounted
        )

    def _is_constant(self, node: onnx.NodeProto) -> bool:
        return all(name in self.sources for name in node.output if name)

    def _cost(self, node: onnx.NodeProto) -> LayerCost:
        multiplies = self.quantized.multiplies(node)
        taken = [self.quantized.bytes_of(name) if multiplies else name for name in dict.fromkeys(node.input)]
        inputs = tuple(self.specs[name] for name in taken if name in self.specs)
        outputs = tuple(self.specs[name] for name in node.output if name in self.specs)
        flops, integer_ops = self._operations(node)
        if multiplies:
            flops, integer_ops = 0, flops + integer_ops
        written = sum(map(self.nbytes, outputs))
        read = sum(map(self.nbytes, inputs))
        if node.op_type in VIEWS or self.quantized.is_folded(node):
            read = written = 0
        elif node.op_type in PICKING and inputs:
            read = read - self.nbytes(inputs[0]) + min(written, self.nbytes(inputs[0]))
        return LayerCost(
            layer=node.name,
            operator=node.op_type,
            inputs=inputs,
            outputs=outputs,
            flops=flops,
            integer_ops=integer_ops,
            parameters=sum(elements(self.specs[name]) for name in self._parameters(node) if name in self.specs),
            read_bytes=read,
            written_bytes=written,
        )

    def _parameters(self, node: onnx.NodeProto) -> frozenset[str]:
        """The initialisers and constants that are parameters of `node`."""
        steering = STEERING.get(node.op_type, ())
        found = frozenset().union(
            *(self.sources.get(name, ()) for index, name in enumerate(node.input) if index not in steering)
        )
        return frozenset(name for name in found if self._is_parameter(name))

    def _is_parameter(self, name: str) -> bool:
        spec = self.specs.get(name)
        return spec is not None and bool(spec.shape) and spec.dtype not in ("bool", "int64")

    def _operations(self, node: onnx.NodeProto) -> tuple[int, int]:
        """Operations of a node, or of the nodes that it became; notes the reason if they cannot be counted."""
        if self.quantized.is_folded(node):
            return 0, 0
        if family_of(node.op_type) is None or node.domain not in ("", "ai.onnx"):
            return self._operations_within(node)
        operation = _operation(node, self.specs)
        if operation is None:
            self.uncounted[node.name] = "the size of an operand or result is not known"
            return 0, 0
        return count(operation)

    def _operations_within(self, node: onnx.NodeProto) -> tuple[int, int]:
        """Operations of the normalised nodes that stand for a function or a control structure."""
        from tvmopt.pipeline.importers.onnx_form.layer_names import layer_of
        from tvmopt.pipeline.inspection.costs.values import graph_specs

        graph = self.normalized.graph if self.normalized is not None else None
        parts = [part for part in graph.node if layer_of(part) == node.name] if graph is not None else []
        if graph is None or not parts or any(family_of(part.op_type) is None for part in parts):
            self.uncounted[node.name] = f"no rule counts the operations of {node.op_type}"
            return 0, 0
        specs = graph_specs(graph)
        counted = [count(operation) for part in parts if (operation := _operation(part, specs)) is not None]
        return sum(flops for flops, _ in counted), sum(integers for _, integers in counted)


def _operation(node: onnx.NodeProto, specs: Specs) -> Operation | None:
    """`node` as the rules see it; None when a size is not known."""
    import onnx

    if any(name and name not in specs for name in (*node.input, *node.output)):
        return None
    attributes: dict[str, Any] = {}
    for attribute in node.attribute:
        value = onnx.helper.get_attribute_value(attribute)
        attributes[attribute.name] = value.decode() if isinstance(value, bytes) else value
    inputs, outputs = (tuple(specs.get(name) for name in names) for names in (node.input, node.output))
    return Operation(node.op_type, attributes, inputs, outputs)
