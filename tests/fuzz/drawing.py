"""Random graphs that grow node by node; onnxruntime says of each node whether it is valid, and what it makes."""

from __future__ import annotations

import random
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import onnx
from onnx import helper, numpy_helper

from tvmopt.pipeline.errors import UnsupportedModelError
from tvmopt.pipeline.support.onnxruntime import run_model

MOST_ELEMENTS = 20_000
"""Nodes that make larger values are not added."""

LARGEST = 1e3
"""Nodes that make larger numbers are not added: functions that grow fast would end in infinity."""

EXACT = {"Abs", "Concat", "Expand", "Flatten", "Gather", "Identity", "Max", "MaxPool", "Min", "Neg", "Pad", "Relu"}
EXACT |= {"Reshape", "Slice", "Split", "Squeeze", "Tile", "Transpose", "Unsqueeze", "Where", "DepthToSpace"}
"""Operators whose results carry no rounding, so that a step function of them cannot come out differently."""

Operand = str | np.ndarray | None


@dataclass
class Drawing:
    """A graph that grows.

    Attributes:
        random: what all choices come from.
        opset: version of the operators.
        values: an example of every value so far, by name.
        nodes: of ONNX.
        constants: by name.
        inputs: names of the graph's inputs.
        exact: values that carry no rounding.
    """

    random: random.Random
    opset: int
    values: dict[str, np.ndarray] = field(default_factory=dict)
    nodes: list[onnx.NodeProto] = field(default_factory=list)
    constants: dict[str, np.ndarray] = field(default_factory=dict)
    inputs: list[str] = field(default_factory=list)
    exact: set[str] = field(default_factory=set)

    def numbers(self, *shape: int, scale: float = 1.0) -> np.ndarray:
        """Normal random float32 numbers."""
        drawn = np.random.default_rng(self.random.getrandbits(32)).standard_normal(shape) * scale
        return np.asarray(drawn, np.float32)

    def integers(self, low: int, high: int, *shape: int) -> np.ndarray:
        """Random int64 numbers from `low` up to, but not including, `high`."""
        return np.asarray(np.random.default_rng(self.random.getrandbits(32)).integers(low, high, shape), np.int64)

    def input(self, array: np.ndarray) -> str:
        """A new input of the graph, like `array`."""
        name = f"x{len(self.inputs)}"
        self.inputs.append(name)
        self.values[name] = array
        self.exact.add(name)
        return name

    def pick(self, fits: Callable[[np.ndarray], bool], exact: bool = False) -> str | None:
        """The name of one of the values that fit, more often of a late one; None if there is none."""
        names = [n for n, value in self.values.items() if fits(value) and (not exact or n in self.exact)]
        if not names:
            return None
        return self.random.choice(names[-3:] if self.random.random() < 0.7 else names)

    def add(self, operator: str, *operands: Operand, made: int = 1, **attributes: Any) -> list[str]:
        """Adds a node if it is valid and its results are of a useful size.

        Args:
            operator: of ONNX.
            operands: names of values, arrays that become constants, None for an absent one.
            made: how many results it has.
            attributes: of the node.

        Returns:
            The names of its results; none if it was not added.
        """
        taken, constants = [], {}
        for operand in operands:
            if isinstance(operand, np.ndarray):
                name = f"c{len(self.constants) + len(constants)}"
                constants[name] = operand
                taken.append(name)
            else:
                taken.append(operand or "")
        results = [f"v{len(self.nodes)}" + (f"_{i}" if made > 1 else "") for i in range(made)]
        if not onnx.defs.has(operator, self.opset) or onnx.defs.get_schema(operator, self.opset).deprecated:
            return []
        node = helper.make_node(operator, taken, results, f"{operator}{len(self.nodes)}", **attributes)
        given = {name: self.values[name] for name in taken if name in self.values}
        try:
            arrays = run_model(graph_model([node], given, dict.fromkeys(results), constants, self.opset), given)
        except UnsupportedModelError:
            return []
        if not all(map(_useful, arrays.values())):
            return []
        self.nodes.append(node)
        self.constants.update(constants)
        self.values.update(arrays)
        integers = all(array.dtype.kind in "iub" for array in arrays.values())
        if integers or (operator in EXACT and all(name in self.exact for name in given)):
            self.exact.update(results)
        return results

    def model(self) -> onnx.ModelProto:
        """The whole graph: what nothing reads is an output, and often a value that something reads as well."""
        read = {name for node in self.nodes for name in node.input}
        made = [name for node in self.nodes for name in node.output]
        outputs = [name for name in made if name not in read]
        if self.random.random() < 0.4:
            outputs.append(self.random.choice(made))
        inputs = {name: self.values[name] for name in self.inputs if name in read}
        constants = {name: array for name, array in self.constants.items() if name in read}
        return graph_model(self.nodes, inputs, {name: self.values[name] for name in outputs}, constants, self.opset)


def graph_model(
    nodes: list[onnx.NodeProto],
    inputs: Mapping[str, np.ndarray],
    outputs: Mapping[str, np.ndarray | None],
    constants: dict[str, np.ndarray],
    opset: int,
) -> onnx.ModelProto:
    """A model of `nodes`, whose inputs and outputs are like the arrays given; None for an output not known yet."""
    taken, made = (list(map(_info, values, values.values())) for values in (inputs, outputs))
    held = [numpy_helper.from_array(array, name) for name, array in constants.items()]
    graph = helper.make_graph(nodes, "fuzz", taken, made, held)
    return helper.make_model(graph, opset_imports=[helper.make_opsetid("", opset)], ir_version=10)


def _info(name: str, array: np.ndarray | None) -> onnx.ValueInfoProto:
    if array is None:
        return onnx.ValueInfoProto(name=name)
    return helper.make_tensor_value_info(name, helper.np_dtype_to_tensor_dtype(array.dtype), array.shape)


def draw(family: Callable[[Drawing], None], seed: int) -> onnx.ModelProto:
    """The model that `family` grows from `seed`: 5 to 15 operators."""
    drawing = Drawing(random.Random(seed), 18 if seed % 4 == 3 else 21)
    wanted = drawing.random.randint(5, 15)
    for _ in range(20 * wanted):
        if len(drawing.nodes) >= wanted:
            break
        family(drawing)
    return drawing.model()


def _useful(array: np.ndarray) -> bool:
    if not 0 < array.size <= MOST_ELEMENTS:
        return False
    return array.dtype.kind != "f" or bool(np.isfinite(array).all() and np.abs(array).max() < LARGEST)
